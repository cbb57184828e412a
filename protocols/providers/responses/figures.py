"""What an answer says in figures and names: believed within types and ranges, in one place for all wire formats.

What a server does not count, or counts as no server can, is unknown. It is estimated, for the caps and for the
prices, and counted as estimated: a zero would let any cap on tokens or dollars pass.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from protocols.model import Finish, Request, Usage
from protocols.prompt import estimate_tokens

MOST_TOKENS: Final = 10**8
"""Tokens of one call, at most: ten times the largest window that is published. Sums of such stay far within the 64
bits of SQLite."""
HALF: Final = re.compile("[\ud800-\udfff]")
"""Of a surrogate pair, which UTF-8 cannot carry. A question mark in its place would ask."""
TURN: Final = 4
"""Tokens that a chat template puts around one turn, about."""
BYTES: Final = 4
"""Of a token, about."""
LONGEST_NAME: Final = 200
MOST_OVER: Final = 4
MOST_WRITTEN: Final = 10**6
"""Tokens of a reply that are believed whatever its request allowed, and how many times those that it allowed."""
NOT_WRITTEN: Final = frozenset(
    {"role", "type", "id", "index", "name", "format", "finish_reason", "logprobs", "signature", "error"}
)
"""The fields of a message, of its parts and its choice that the model has not written."""


@dataclass(frozen=True, slots=True)
class Told:
    """The tokens that a server says it has counted, each None where it does not say. `input` is all of it; `cached`
    and `written` are parts of it."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    written: int | None = None


def count(value: object, most: int = MOST_TOKENS) -> int | None:
    """A whole number from 0 to `most`, which JSON may write as a float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= most and value == int(value) else None


def used(told: Told, request: Request | None, message: object, finish: Finish = "stop") -> Usage:
    """What a call has used that was answered with `message`, or with its parts: as told, and estimated where it is
    not. What was cut off at its length has taken all the tokens that it was allowed.

    No request takes no tokens, and no text is written in none, so a zero there is a server that does not count. Parts
    of the input that are more than all of it are left out: such a call is priced as if nothing came from a cache.
    """
    tokens_in = told.input or about(request)
    tokens_out = output = believed(told.output, request)
    if not output:
        text, least = written(message), request.max_tokens if request and finish == "length" else 0
        tokens_out = 0 if output == 0 and not text and not least else max(estimate_tokens(text), least)
    cached, fresh = told.cached or 0, told.written or 0
    if not told.input or cached + fresh > tokens_in:
        cached = fresh = 0
    estimated = not told.input or output != tokens_out
    return Usage(tokens_in, tokens_out or 0, cached, fresh, int(estimated))


def about(request: Request | None) -> int:
    """About as many tokens as a request takes; 0 where it is not known."""
    return TURN * len(request.messages) + -(-request.size // BYTES) if request else 0


def believed(output: int | None, request: Request | None) -> int | None:
    """The tokens of a reply as they are told; None for more than its request allowed, by far."""
    most = max(MOST_WRITTEN, MOST_OVER * request.max_tokens) if request else MOST_TOKENS
    return output if output is None or output <= most else None


def written(message: object) -> str:
    """All that a model has written in a message or its parts: text, thoughts, the arguments of tools, wherever they
    stand. Servers give a thought under two names; it was written once."""
    texts: dict[str, None] = {}
    left = [message]
    while left:
        match left.pop():
            case str(text):
                texts[text] = None
            case list(parts):
                left.extend(parts)
            case dict(fields):
                left.extend(value for name, value in fields.items() if name not in NOT_WRITTEN)
    return "".join(texts)


def read_json(body: bytes) -> object:
    """The JSON of an answer that has been paid for: half of a surrogate pair, bytes that are no UTF-8 and a number
    out of range (NaN, Infinity, thousands of digits) cost that character or that number, and not the reply.

    :raises ValueError: it is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        try:
            return mended(json.loads(body.decode("utf-8-sig", "replace"), parse_int=whole))
        except (ValueError, RecursionError):
            raise error from None


def whole(digits: str) -> int | float:
    """An integer of JSON, as a float beyond 64 bits: Python refuses to read thousands of digits."""
    return int(digits) if len(digits) < 19 else float(digits)


def mended(value: object) -> object:
    """JSON whose texts can be written as UTF-8, and which has null for numbers that are not finite."""
    match value:
        case str():
            return HALF.sub("\N{REPLACEMENT CHARACTER}", value)
        case float():
            return value if math.isfinite(value) else None
        case list():
            return [mended(inner) for inner in value]
        case dict():
            return {mended(name): mended(inner) for name, inner in value.items()}
    return value


def finish_of(known: Mapping[object, Finish], reason: object) -> Finish:
    """Why a reply ended; `other` for a reason that is not known, or no text."""
    return known.get(reason, "other") if isinstance(reason, str) else "other"


def name_of(model: object) -> str:
    """The model's name as the provider gives it, "" if that is no text; cut at `LONGEST_NAME` characters."""
    return model[:LONGEST_NAME] if isinstance(model, str) else ""
