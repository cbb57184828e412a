"""The OpenAI completions wire format, for base models: a conversation becomes one plain text that the model
continues. vLLM, llama.cpp and most servers of open weights support it.

https://platform.openai.com/docs/api-reference/completions/create
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from protocols.errors import BadRequest
from protocols.model import ChatMessage, Instead, Reply, Request
from protocols.providers.parameters import with_parameters
from protocols.providers.responses.chat_reply import FINISH, first_choice, read_usage
from protocols.providers.responses.decoding import JsonObject, decode, unusable
from protocols.providers.responses.failures import Answer
from protocols.providers.responses.figures import finish_of, name_of, used
from protocols.providers.responses.rate_headers import read_allowance
from protocols.providers.transport.http import Endpoint, Transport, post

PATH: Final = "/completions"
STOP: Final = "\n\n"
"""A blank line ends a turn, and so the reply."""
NO_TOOLS: Final = "a completion is one text, without tools and schemas; a model that chats has them"
CUES: Final = (":", "：", "=", "->", "=>", "→")
"""Ends of a user's turn after which the assistant's turn follows on the same line."""

NO_IMAGES: Final = "a completion continues a text, and the request has an image; ask a model that chats and sees"


class CompletionsModel:
    """A `ChatModel` on an endpoint for text completions."""

    def __init__(self, model: str, endpoint: Endpoint, transport: Transport) -> None:
        self._model, self._endpoint, self._transport = model, endpoint, transport
        self.name = f"openai/{model}"
        self._headers = endpoint.headers()

    async def complete(self, request: Request) -> Reply:
        """See `ChatModel`. The reply ends before its first blank line.

        :raises BadRequest: the request has an image, offers tools or a schema, or its turns hold calls.
        """
        if request.has_images:
            raise BadRequest(NO_IMAGES, model=self.name)
        if request.offer or any(turn.calls for turn in request.messages):
            raise BadRequest(NO_TOOLS, model=self.name)
        body = request_body(request, self._model)
        answer = await post(self._transport, self._endpoint, PATH, self._headers, body, self.name)
        return read_reply(answer, self.name, self._endpoint.key, request)


def request_body(request: Request, model: str) -> JsonObject:
    """The JSON body of one call; the user's parameters override ours."""
    body: JsonObject = {
        "model": model,
        "prompt": laid_out(request.messages),
        "max_tokens": request.max_tokens,
        "stop": [STOP],
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    return with_parameters(body, request)


def laid_out(messages: Sequence[ChatMessage]) -> str:
    """The conversation as one text. Blank lines separate turns; the assistant's turn follows the user's on the same
    line if that ends with a cue such as `Label:`, else on the next. The reply continues the text, which has no space
    after a final cue, because tokenisers join a space with the following word."""
    text = ""
    for place, message in enumerate(messages):
        said = message.text.strip()
        if place and message.speaker == "assistant" and messages[place - 1].speaker == "user":
            text += (" " if text.endswith(CUES) else "\n") + said
        else:
            text += (STOP if text and said else "") + said
    if messages[-1].speaker == "assistant" or text.endswith(CUES):
        return text
    return text + "\n"


def read_reply(answer: Answer, name: str, key: str | None, request: Request | None = None) -> Reply:
    """The first choice of the answer to `request`, stripped, and up to its first blank line unless the user has set
    `stop`.

    :raises ModelError: see `decode`; also BadReply if there is no text.
    """
    payload = decode(answer, name, key, lambda usage: used(read_usage(usage), request, ""))
    choice, _ = first_choice(payload)
    finish = finish_of(FINISH, choice.get("finish_reason"))
    usage = used(read_usage(payload.get("usage")), request, choice, finish)
    text = choice.get("text")
    if not isinstance(text, str):
        raise unusable("has no choices[0].text", answer, name, key, usage)
    if request is None or "stop" not in request.parameters.fields:
        text, end, _ = text.lstrip().partition(STOP)  # not every server supports stop
        finish = "stop" if end and finish == "length" else finish  # the turn was complete before the limit
    said = text.strip()
    model, allowance = name_of(payload.get("model")), read_allowance(answer.headers, usage)
    missing: Instead | None = None if said or finish == "refusal" else "nothing"
    return Reply(said, usage, finish, answer.latency, model, allowance=allowance, instead=missing)
