"""What stands around an answer and is no part of it: code fences, and the keys of a JSON object."""

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
    """The lines of a text, stripped, without those that only open or close a fence."""
    inline = _INLINE.match(text)
    for line in (inline["text"] if inline else text).splitlines():
        if not _FENCE.fullmatch(line):
            yield line.strip()


def without_fences(text: str) -> str:
    """The same as one text."""
    return "\n".join(content_lines(text))


def fenced(text: str) -> list[str]:
    """What stands in the code fences of a text, in order."""
    inline = _INLINE.match(text)
    return [inline["text"]] if inline else [block["text"] for block in _BLOCK.finditer(text)]


def unwrapped(text: str) -> str:
    """A text without the one fence, or the backticks, that are around all of it. A fence that is a part of the text,
    with other text before or after it, stays."""
    bare = text.strip()
    lines = bare.split("\n")
    opening = _FENCE.fullmatch(lines[0])
    if opening and len(lines) > 1 and lines[-1].strip() == opening["fence"] and _is_one(lines, opening["fence"]):
        return "\n".join(lines[1:-1])
    if len(bare) > 2 and bare[0] == bare[-1] == "`" and "`" not in bare[1:-1]:
        return bare[1:-1].strip("\n")
    return text


def _is_one(lines: Sequence[str], fence: str) -> bool:
    """Whether the last line closes the fence of the first: those between are opened with a language, and closed."""
    depth = 0
    for line in lines[1:-1]:
        inner = _FENCE.fullmatch(line)
        if inner and inner["fence"].startswith(fence):
            depth += 1 if inner["language"] else -1
            if depth < 0:
                return False
    return depth == 0


def field_of(value: Mapping[str, Json], keys: Sequence[str]) -> Json:
    """The value of the first of these keys that an object has, whatever their case and separators; None for none."""
    folded = {re.sub(r"[\s-]+", "_", key.strip().casefold()): inner for key, inner in value.items()}
    return next((folded[key] for key in keys if folded.get(key) is not None), None)
