"""Conversations and images, as `protocols/data/values/inputs.py` and `protocols/turns.py` read them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from agents.exports.standalone.rendering import BRACED, Message, Prompt

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
FORMATS = ((b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"), (b"RIFF", "webp"))
OPENING = "(The assistant speaks first.)"


class Image(str):
    """A label, and the part of a message that it stands for."""

    part: dict[str, Any]


class Mixed(str):
    """A text with images: its texts and images in their order."""

    parts: list[Any]


class Conversation(Mixed):
    """Turns, each a role and its parts. The text is the transcript."""

    turns: list[Any]


class ChatPrompt(Prompt):
    """A prompt whose inputs may be conversations and images."""

    def render(self, inputs: Mapping[str, object]) -> list[Message]:
        return super().render({name: read(value) for name, value in inputs.items()})

    def said(self, inputs: Mapping[str, str]) -> list[Message]:
        """The user message, or several where a conversation is a part of it."""
        if all(type(value) is str for value in inputs.values()):
            return super().said(inputs)
        pieces: list[Any] = []
        for text in self.varying:
            end, pieces = 0, [*pieces, "\n\n"]
            for found in BRACED.finditer(text):
                value = self.value(found[1], inputs)
                alone = text[: found.start()].rpartition("\n")[2] + text[found.end() :].partition("\n")[0]
                whole = isinstance(value, Conversation) and value.turns and not alone.strip()
                pieces += [text[end : found.start()], *([value] if whole else parts(value))]
                end = found.end()
            pieces.append(text[end:])
        return chat(pieces[1:])


def chat(pieces: list[Any]) -> list[Message]:
    """The messages of texts, images and conversations."""
    last = max((n for n, piece in enumerate(pieces) if isinstance(piece, Conversation)), default=-1)
    if last >= 0 and pieces[last].turns[-1][0] == "assistant" and not any(p.strip() for p in pieces[last + 1 :]):
        pieces = [*pieces[:last], *pieces[last].parts, *pieces[last + 1 :]]
    if not any(isinstance(piece, Conversation) for piece in pieces):
        return [message("user", pieces)]
    messages: list[Message] = []
    text: list[Any] = []
    begun = False
    for piece in [*pieces, None]:
        if isinstance(piece, str) and not isinstance(piece, Conversation):
            text.append(piece)
            continue
        turns = asked(text) + (piece.turns if piece is not None else [])
        for role, said in turns:
            if not begun and role == "assistant":
                messages.append(message("user", [OPENING]))
            begun = begun or role != "system"
            messages.append(message(role, said))
        text = []
    return messages


def asked(text: list[Any]) -> list[Any]:
    """A turn of the user with these parts, without white space at its ends; none if there are none."""
    said = joined(text)
    if said and not isinstance(said[0], Image):
        said[0] = said[0].lstrip()
    if said and not isinstance(said[-1], Image):
        said[-1] = said[-1].rstrip()
    return [("user", said)] if "".join(said) else []


def message(role: str, said: list[Any]) -> Message:
    whole = joined(said)
    if not any(isinstance(part, Image) for part in whole):
        return {"role": role, "content": "".join(whole)}
    shown = [part.part if isinstance(part, Image) else {"type": "text", "text": part} for part in whole]
    return {"role": role, "content": shown}


def parts(value: str) -> list[Any]:
    return value.parts if isinstance(value, Mixed) else [value]


def joined(texts: list[Any]) -> list[Any]:
    whole: list[Any] = []
    for part in texts:
        if whole and not isinstance(part, Image) and not isinstance(whole[-1], Image):
            whole[-1] += part
        elif part:
            whole.append(part)
    return whole


def read(value: object) -> str:
    """A text; a list of turns; a list of parts, or `{"image": ...}`.

    :raises ValueError: it is something else.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(one, Mapping) and "role" in one for one in value):
        turns = [(ROLES[turn["role"]], content(turn.get("content") or "")) for turn in value]
        turns = [(role, joined(said)) for role, said in turns if "".join(said).strip()]
        lines = [part for role, said in turns for part in (f"\n{role}: ", *said)]
        transcript = [lines[0][1:], *lines[1:]] if lines else []
        chat = Conversation("".join(transcript))
        chat.parts, chat.turns = joined(transcript), turns
        return chat
    said = content(value)
    whole = Mixed("".join(said))
    whole.parts = joined(said)
    return whole if any(isinstance(part, Image) for part in said) else str(whole)


def content(value: object) -> list[Any]:
    """The texts and images of a list of parts; a line end separates a text from what is beside it."""
    if isinstance(value, str):
        return [value]
    said: list[Any] = []
    for one in value if isinstance(value, (list, tuple)) else [value]:
        if not isinstance(one, Mapping):
            raise ValueError(f"{one!r} is neither a text, a turn nor an image")
        part = one["text"] if one.get("type") in ("text", "input_text", "output_text") else image(one)
        both = all(isinstance(each, Image) for each in (*said[-1:], part))
        apart = not said or both or said[-1][-1:].isspace() or part[:1].isspace()
        said += [part] if apart else ["\n", part]
    return said


def image(part: Mapping[str, Any]) -> Image:
    """:raises ValueError: it is no image, or of a format other than PNG, JPEG, GIF and WebP."""
    name, detail, source = part.get("image") or part.get("image_url"), part.get("detail"), part.get("source")
    if isinstance(name, Mapping):
        detail, name = name.get("detail") or detail, name.get("url")
    if isinstance(source, Mapping):
        name = source.get("url") or f"data:;base64,{source.get('data')}"
    if not isinstance(name, str):
        raise ValueError(f"{part!r} is neither a text, a turn nor an image")
    label, url, data = located(name)
    label = re.sub(r"[\s\[\]{}]+", "_", "".join(c if c.isprintable() else "_" for c in label))
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()[:12]
    made = Image(f"[image {label if len(label) <= 40 else '…' + label[-39:]} {digest}]")
    made.part = {"type": "image_url", "image_url": {"url": url, **({"detail": detail} if detail else {})}}
    return made


def located(name: str) -> tuple[str, str, bytes]:
    """The name of an image for its label, its address or data URL, and what its digest is made of."""
    if re.match(r"(?i)https?://", name):
        last = unquote(urlsplit(name).path).rstrip("/").rpartition("/")[2]
        return last or urlsplit(name).hostname or "", name, name.encode("utf-8", "replace")
    inline = re.match(r"(?i)data:[^,]*,", name)
    data = base64.b64decode("".join(name[inline.end() :].split())) if inline else Path(name).read_bytes()
    kind = next((kind for begins, kind in FORMATS if data.startswith(begins)), "")
    if not kind:
        raise ValueError("an image is of a format other than PNG, JPEG, GIF and WebP")
    url = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return kind if inline else Path(name).name, url, data
