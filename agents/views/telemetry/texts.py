"""The texts of a call as attributes of its span, as the semantic conventions for generative AI describe them.

The attributes and their JSON are those of release 0.1.0 of the conventions, which 1.38 had as well
(https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-input-messages.json,
gen-ai-output-messages.json and gen-ai-system-instructions.json). Each is a JSON string, since spans hold no nested
values here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from protocols.images.image import Image
from protocols.model import ChatMessage, Reply, Request, ToolCall

FINISH: Mapping[str, str] = {"stop": "stop", "length": "length", "refusal": "content_filter", "other": "error"}
"""The conventions' names of our reasons; `tool_call` is known by the calls."""
APART = "anthropic"
"""The provider that takes the system message apart from the others."""


def texts_of(request: Request, reply: Reply | None, provider: str) -> dict[str, Any]:
    """The attributes of a call with its texts. Of images only the kind, the size and the address are told."""
    apart = [said for said in request.messages if said.speaker == "system" and provider == APART]
    others = [said for said in request.messages if said not in apart]
    attributes: dict[str, Any] = {"gen_ai.input.messages": _json([_message(said) for said in others])}
    if apart:
        attributes["gen_ai.system_instructions"] = _json([part for said in apart for part in _parts(said)])
    if reply is not None:
        reason = "tool_call" if reply.calls else FINISH[reply.finish]
        said = _message(ChatMessage("assistant", reply.text, calls=reply.calls))
        attributes["gen_ai.output.messages"] = _json([{**said, "finish_reason": reason}])
        attributes["gen_ai.response.finish_reasons"] = [reason]
    return attributes


def _message(said: ChatMessage) -> dict[str, Any]:
    return {"role": said.speaker, "parts": [*_parts(said)]}


def _parts(said: ChatMessage) -> Iterator[dict[str, Any]]:
    if said.speaker == "tool":
        ids = [call.id for call in said.calls if call.id]
        yield {"type": "tool_call_response", **({"id": ids[0]} if ids else {}), "response": said.text}
        return
    for part in said.parts or filter(None, (said.text,)):
        yield _image(part) if isinstance(part, Image) else {"type": "text", "content": part}
    yield from map(_called, said.calls)


def _called(call: ToolCall) -> dict[str, Any]:
    named = {"id": call.id} if call.id else {}
    return {"type": "tool_call", **named, "name": call.name, "arguments": call.value}


def _image(image: Image) -> dict[str, Any]:
    """An address, or what is known of an image that is sent itself."""
    about = {"modality": "image", "mime_type": image.media}
    if image.url.startswith("data:"):
        return {"type": "image", **about, "name": image.name, "width": image.width, "height": image.height}
    return {"type": "uri", **about, "uri": image.url}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()
