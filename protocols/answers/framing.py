"""Removes what surrounds an answer without being part of it: code fences and the keys of a JSON object."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from protocols.task import Json

_FENCE = re.compile(r"\s*(?:>\s*)*(?P<fence>`{3,}|~{3,})\s*(?P<language>[\w+-]*)\s*")
_BLOCK = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,})[^`\n]*\n(?P<text>.*?)^[ \t]*(?P=fence)[ \t]*$", re.DOTALL | re.MULTILINE
)
_INLINE = re.compile(r"\A\s*`{3}(?:[a-z]+\s)?(?P<text>[^`]*)`{3}\s*\Z")


def content_lines(text: str) -> Iterator[str]:
    """The stripped lines of a text, without the lines that open or close a fence."""
    inline = _INLINE.match(text)
    for line in (inline["text"] if inline else text).splitlines():
        if not _FENCE.fullmatch(line):
            yield line.strip()


def without_fences(text: str) -> str:
    """The `content_lines` joined to one text."""
    return "\n".join(content_lines(text))


def fenced(text: str) -> list[str]:
    """The contents of a text's code fences, in order."""
    inline = _INLINE.match(text)
    return [inline["text"]] if inline else [block["text"] for block in _BLOCK.finditer(text)]


def unwrapped(text: str) -> str:
    """A text without the single fence, or the backticks, around all of it. A fence with other text before or after it
    stays."""
    bare = text.strip()
    lines = bare.split("\n")
    opening = _FENCE.fullmatch(lines[0])
    if opening and len(lines) > 1 and lines[-1].strip() == opening["fence"] and _is_one(lines, opening["fence"]):
        return "\n".join(lines[1:-1])
    if len(bare) > 2 and bare[0] == bare[-1] == "`" and "`" not in bare[1:-1]:
        return bare[1:-1].strip("\n")
    return text


def _is_one(lines: Sequence[str], fence: str) -> bool:
    """Whether the last line closes the fence of the first: fences between them open with a language, and close."""
    depth = 0
    for line in lines[1:-1]:
        inner = _FENCE.fullmatch(line)
        if inner and inner["fence"].startswith(fence):
            depth += 1 if inner["language"] else -1
            if depth < 0:
                return False
    return depth == 0


def field_of(value: Mapping[str, Json], keys: Sequence[str]) -> Json:
    """The value of the first of `keys` that the object has, ignoring case and separators; None if it has none."""
    folded = {re.sub(r"[\s-]+", "_", key.strip().casefold()): inner for key, inner in value.items()}
    return next((folded[key] for key in keys if folded.get(key) is not None), None)
