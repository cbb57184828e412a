"""The JSON objects in a text, whatever stands around them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from protocols.task import Json

_DECODER = json.JSONDecoder(strict=False)


def placed(text: str) -> Iterator[tuple[int, int, Mapping[str, Json]]]:
    """The JSON objects in a text, in order, none inside another, each with where it begins and ends."""
    start = text.find("{")
    while start >= 0:
        end = start + 1
        try:
            value, end = _DECODER.raw_decode(text, start)
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # a half of a surrogate pair can be written nowhere
            yield start, end, value
        except (ValueError, RecursionError):
            pass
        start = text.find("{", end)
