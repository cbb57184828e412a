"""The JSON objects in a text, whatever stands around them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from protocols.task import Json

_DECODER = json.JSONDecoder(strict=False)
_BEGINS = re.compile(r"\{\s*[\"}]")
_MOST_BROKEN = 1_000
"""Beginnings of objects that are tried in vain, each of which may cost as much as the text is long."""


def placed(text: str) -> Iterator[tuple[int, int, Mapping[str, Json]]]:
    """The JSON objects in a text, in order, none inside another, each with where it begins and ends."""
    end = broken = 0
    for begin in _BEGINS.finditer(text):
        start = begin.start()
        if start < end:
            continue
        try:
            value, end = _DECODER.raw_decode(text, start)
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # a half of a surrogate pair can be written nowhere
            yield start, end, value
        except (ValueError, RecursionError):
            broken += 1
        if broken > _MOST_BROKEN:
            return
