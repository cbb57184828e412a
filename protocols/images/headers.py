"""Reads format and size of an image from its first bytes: PNG, JPEG, GIF and WebP, the formats that both providers
read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Size = tuple[int, int]
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG before a frame's size; the others in this range announce tables."""
ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers of JPEG without a length."""


def read_header(content: bytes) -> tuple[str, Size]:
    """The media type of an image, and its width and height.

    :raises ValueError: the format is another, or the header is damaged; the message completes "the image is …".
    """
    for known, (media, size) in FORMATS.items():
        if content.startswith(known) and (media != "image/webp" or content[8:12] == b"WEBP"):
            try:
                width, height = size(content)
            except IndexError:
                width = height = 0
            if not width or not height:
                raise ValueError(f"a damaged {media.removeprefix('image/').upper()}, whose header gives no size")
            return media, (width, height)
    raise ValueError("no PNG, JPEG, GIF or WebP; save it as one of these")


def _number(content: bytes, start: int, count: int, little: bool = True) -> int:
    """:raises IndexError: the content ends before."""
    if len(content) < start + count:
        raise IndexError(start)
    return int.from_bytes(content[start : start + count], "little" if little else "big")


def _png(content: bytes) -> Size:
    return _number(content, 16, 4, little=False), _number(content, 20, 4, little=False)


def _gif(content: bytes) -> Size:
    return _number(content, 6, 2), _number(content, 8, 2)


def _jpeg(content: bytes) -> Size:
    place = 2
    while content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF or marker in ALONE:
            place += 1 if marker == 0xFF else 2
        elif marker in FRAMES:
            return _number(content, place + 7, 2, little=False), _number(content, place + 5, 2, little=False)
        else:
            place += 2 + _number(content, place + 2, 2, little=False)
    return 0, 0


def _webp(content: bytes) -> Size:
    match content[12:16]:
        case b"VP8 ":
            return _number(content, 26, 2) & 0x3FFF, _number(content, 28, 2) & 0x3FFF
        case b"VP8L":
            bits = _number(content, 21, 4)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return _number(content, 24, 3) + 1, _number(content, 27, 3) + 1
    return 0, 0


FORMATS: Mapping[bytes, tuple[str, Callable[[bytes], Size]]] = {
    b"\x89PNG\r\n\x1a\n": ("image/png", _png),
    b"\xff\xd8\xff": ("image/jpeg", _jpeg),
    b"GIF87a": ("image/gif", _gif),
    b"GIF89a": ("image/gif", _gif),
    b"RIFF": ("image/webp", _webp),
}
"""Media type and reader of the size by the first bytes."""
