"""Finds JSON objects and lists in any text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from protocols.task import Json

_DECODER = json.JSONDecoder(strict=False)
_BEGINS = re.compile(r"\{\s*[\"}]")
_BEGINS_EITHER = re.compile(r"\{\s*[\"}]|\[\s*[\"\]{\d-]")
_MOST_BROKEN = 1_000
"""The search ends after this many failed attempts, each of which may take time linear in the text's length."""


def placed(text: str) -> Iterator[tuple[int, int, Mapping[str, Json]]]:
    """The outermost JSON objects in a text, in order, each as (start, end, object)."""
    return _placed(text, _BEGINS)


def values(text: str) -> Iterator[tuple[int, int, Json]]:
    """The outermost JSON objects and lists in a text, in order, each as (start, end, value)."""
    return _placed(text, _BEGINS_EITHER)


def _placed(text: str, begins: re.Pattern[str]) -> Iterator[tuple[int, int, Any]]:
    end = broken = 0
    for begin in begins.finditer(text):
        start = begin.start()
        if start < end:
            continue
        try:
            value, end = _DECODER.raw_decode(text, start)
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # raises for a lone surrogate
            yield start, end, value
        except (ValueError, RecursionError):
            broken += 1
        if broken > _MOST_BROKEN:
            return
