"""Reads numbers and names in answers of all wire formats, and checks their types and ranges.

A count that a server does not report, or that is impossible, is unknown. It is estimated for caps and prices, and
marked as estimated: zeros instead would make caps on tokens or dollars ineffective.
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
"""Highest credible number of tokens of one call: ten times the largest published window. Sums of these stay far below
the 64 bits of SQLite."""
HALF: Final = re.compile("[\ud800-\udfff]")
"""A lone surrogate, which UTF-8 cannot hold. A question mark in its place would read as a question."""
TURN: Final = 4
"""Approximate tokens that a chat template adds around one turn."""
BYTES: Final = 4
"""Approximate bytes of a token."""
LONGEST_NAME: Final = 200
MOST_OVER: Final = 4
MOST_WRITTEN: Final = 10**6
"""A reply's token count is credible up to `MOST_WRITTEN`, or up to `MOST_OVER` times the limit of its request."""
NOT_WRITTEN: Final = frozenset(
    {"role", "type", "id", "index", "name", "format", "finish_reason", "logprobs", "signature", "error"}
)
"""The fields of a message, its parts and its choice that the model did not write."""


@dataclass(frozen=True, slots=True)
class Told:
    """The token counts that a server reports; None: not reported. `input` is the total; `cached` and `written` are
    parts of it."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    written: int | None = None


def count(value: object, most: int = MOST_TOKENS) -> int | None:
    """A whole number from 0 to `most`, which may be a float in JSON; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= most and value == int(value) else None


def used(told: Told, request: Request | None, message: object, finish: Finish = "stop") -> Usage:
    """The usage of a call that was answered with `message`, or with its parts: as reported, else estimated. A reply
    that was cut off at its limit counts with all the tokens of the limit.

    Requests and texts always take tokens, so a zero means that the server does not count. Parts of the input that
    exceed the total are ignored: such a call is priced as if nothing came from a cache.
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
    """Approximate input tokens of a request; 0 if the request is unknown."""
    return TURN * len(request.messages) + -(-request.size // BYTES) if request else 0


def believed(output: int | None, request: Request | None) -> int | None:
    """The reported tokens of a reply; None if they far exceed the limit of its request."""
    most = max(MOST_WRITTEN, MOST_OVER * request.max_tokens) if request else MOST_TOKENS
    return output if output is None or output <= most else None


def written(message: object) -> str:
    """Everything that a model wrote in a message or its parts: text, thoughts, the arguments of tools, in any field.
    Equal texts count once, because servers send a thought under two names."""
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
    """Parse the JSON of an answer leniently, because it has been paid for: a lone surrogate, bytes that are not UTF-8
    and a number out of range (NaN, Infinity, thousands of digits) lose only that character or number.

    :raises ValueError: the body is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        try:
            return mended(json.loads(body.decode("utf-8-sig", "replace"), parse_int=whole))
        except (ValueError, RecursionError):
            raise error from None


def whole(digits: str) -> int | float:
    """An integer in JSON; beyond 64 bits as a float, because Python refuses to read thousands of digits."""
    return int(digits) if len(digits) < 19 else float(digits)


def mended(value: object) -> object:
    """The same JSON with texts that can be written as UTF-8, and null for numbers that are not finite."""
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
    """How a reply ended; `other` if the reason is unknown or not a text."""
    return known.get(reason, "other") if isinstance(reason, str) else "other"


def name_of(model: object) -> str:
    """The provider's name of the model, cut at `LONGEST_NAME` characters; "" if it is not a text."""
    return model[:LONGEST_NAME] if isinstance(model, str) else ""
