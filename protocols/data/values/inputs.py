"""Reads the values of input fields: texts, conversations, and texts with images.

A conversation is a list of `{"role": ..., "content": ...}`. An image is `{"image": "receipt.png"}`, with a path, a
data URL or an address. A list of parts, as OpenAI and Anthropic write them, is a text with images; a turn's content
may be one, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from protocols.data.values.pictures import ADDRESS, DATA_URL, Pictures
from protocols.images.image import Image
from protocols.model import ChatMessage, Speaker, spoken
from protocols.turns import Conversation, Mixed

ROLES: Final[Mapping[str, Speaker]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
TEXTS: Final = frozenset({"text", "input_text", "output_text"})
IMAGES: Final = frozenset({"image", "image_url", "input_image"})
CALLS: Final = ("tool_calls", "function_call")
NO_TEXT: Final = "is not a text"


def read_input(value: object, pictures: Pictures) -> str:
    """The value of an input field.

    :raises ValueError: it cannot be one; the message completes "input field X ".
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(one, Mapping) and "role" in one for one in value):
        return Conversation.of(_turn(one, number, pictures) for number, one in enumerate(value, start=1))
    if isinstance(value, Mapping) and _is_image(value):
        return _image(value, pictures)
    if isinstance(value, list | tuple) and all(isinstance(one, Mapping) and _is_part(one) for one in value):
        return _mixed([_part(one, pictures) for one in value])
    raise ValueError(NO_TEXT)


def read_conversation(value: object, pictures: Pictures) -> str:
    """The value of a field that is said to be a conversation, which may be written as JSON in a text.

    :raises ValueError: it is none; the message completes "input field X ".
    """
    if isinstance(value, str):
        try:
            value = orjson.loads(value) if value.strip() else []
        except orjson.JSONDecodeError as error:
            raise ValueError(f"is not a conversation in JSON: {error.msg} at column {error.colno}") from None
    found = read_input(value, pictures) if isinstance(value, list | tuple) else None
    if not isinstance(found, Conversation):
        raise ValueError('is not a conversation, a list of turns {"role": ..., "content": ...}')
    return found


def read_images(value: object, pictures: Pictures) -> str:
    """The value of a field that is said to hold images: the name of one, or a list of names.

    :raises ValueError: they cannot be used; the message completes "input field X ".
    """
    if isinstance(value, list | tuple):
        return _mixed([_shown(one, pictures) for one in value])
    return _shown(value, pictures)


def _shown(value: object, pictures: Pictures) -> str:
    if isinstance(value, str):
        return pictures.named(value)
    if isinstance(value, Mapping) and _is_part(value):
        return _part(value, pictures)
    raise ValueError("is not the name of an image, nor a list of names")


def _mixed(parts: Sequence[str]) -> str:
    """The parts as one value; a line end separates a text from what is beside it, unless white space does."""
    texts: list[str] = []
    for part in parts:
        images = [isinstance(one, Image) for one in (*texts[-1:], part)]
        apart = not texts or all(images) or texts[-1][-1:].isspace() or part[:1].isspace()
        texts += [part] if apart else ["\n", part]
    return Mixed(texts) if any(isinstance(part, Image) for part in parts) else "".join(texts)


def _turn(turn: Mapping[str, Any], number: int, pictures: Pictures) -> ChatMessage:
    """:raises ValueError: the turn is none that can be sent."""
    role, content = turn["role"], turn.get("content")
    speaker = ROLES.get(role) if isinstance(role, str) else None
    if speaker is None:
        raise ValueError(f"has a turn {number} of the role {_short(role)}; roles are {', '.join(ROLES)}")
    if any(turn.get(name) for name in CALLS):
        raise ValueError(f"has a turn {number} that calls tools; write the call and its result as text")
    if content is None:
        content = ""
    try:
        said = read_input([content] if isinstance(content, Mapping) else content, pictures)
    except ValueError as error:
        raise ValueError(f"has a turn {number} whose content {error}") from None
    if isinstance(said, Conversation):
        if said:
            raise ValueError(f"has a turn {number} whose content is a conversation again")
        said = ""
    made = spoken(speaker, said.parts if isinstance(said, Mixed) else (said,))
    if made.parts and speaker != "user":
        raise ValueError(f"has a turn {number} of the {speaker} with an image; only the user's turns may have one")
    return made


def _is_image(value: Mapping[str, Any]) -> bool:
    """Whether this is an image by itself; `bytes` and `path` are how data sets of the Hugging Face hub keep it."""
    return value.keys() == {"bytes", "path"} or ("image" in value and value.keys() <= {"image", "detail"})


def _is_part(value: Mapping[str, Any]) -> bool:
    return value.get("type") in TEXTS | IMAGES or _is_image(value)


def _part(part: Mapping[str, Any], pictures: Pictures) -> str:
    if part.get("type") not in TEXTS:
        return _image(part, pictures)
    if not isinstance(part.get("text"), str):
        raise ValueError("has a part without a text")
    return str(part["text"])


def _image(part: Mapping[str, Any], pictures: Pictures) -> Image:
    """:raises ValueError: the image cannot be used; the message completes "input field X "."""
    match part:
        case {"bytes": bytes(content)}:
            return pictures.made(Path(str(part.get("path") or "")).name, content)
        case {"source": {"type": "base64", "data": str(data)}}:
            return pictures.named(f"data:;base64,{data}")
        case {"image_url": {"url": str(name)}} | {"source": {"type": "url", "url": str(name)}}:
            return pictures.named(name, _detail(part) or _detail(part.get("image_url")))
        case {"image_url": str(name)} | {"image": str(name)} | {"bytes": None, "path": str(name)}:
            return pictures.named(name, _detail(part))
    raise ValueError('has an image that cannot be read; write it as {"image": "receipt.png"}')


def _detail(part: object) -> str:
    detail = part.get("detail") if isinstance(part, Mapping) else None
    return detail if isinstance(detail, str) else ""


def rooted(row: Mapping[str, object], folder: Path, images: Sequence[str] = ()) -> Mapping[str, object]:
    """A row with absolute paths in place of paths of images that begin at `folder`. `images`: the fields that are
    said to hold images."""
    inner = row.get("input")
    if isinstance(inner, Mapping):
        return {**row, "input": rooted(inner, folder, images)}
    return {name: _rooted(value, folder, name in images) for name, value in row.items()}


def _rooted(value: object, folder: Path, named: bool) -> object:
    if isinstance(value, Mapping):
        return {name: _rooted(inner, folder, name == "image") for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rooted(inner, folder, named) for inner in value]
    if isinstance(value, Path) or (named and isinstance(value, str)):
        name = str(value)
        return name if DATA_URL.match(name) or ADDRESS.fullmatch(name) else str((folder / name).absolute())
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"
