"""Small images of every format that models read, made byte by byte."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable, Mapping

from hypothesis import strategies as st

from protocols.images.headers import read_header
from protocols.images.image import Image, digest_of


def png(width: int, height: int, grey: int = 0) -> bytes:
    """A picture of one grey."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + bytes([grey]) * width) * height)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    """The headers of a progressive JPEG, after a table and a comment with the marker of a frame in it."""
    comment = b"\xff\xc0 no frame"
    return (
        b"\xff\xd8\xff\xdb\x00\x03\x01"
        + b"\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment
        + b"\xff\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03"
    )  # fmt: skip


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x00\x00\x00;"


def webp(kind: bytes, data: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def lossy(width: int, height: int) -> bytes:
    return webp(b"VP8 ", b"\x30\x01\x00\x9d\x01\x2a" + struct.pack("<HH", width, height))


def lossless(width: int, height: int) -> bytes:
    return webp(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14))


def extended(width: int, height: int) -> bytes:
    return webp(b"VP8X", b"\x10\x00\x00\x00" + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3])


FORMATS: Mapping[str, Callable[[int, int], bytes]] = {
    "image/png": png,
    "image/jpeg": jpeg,
    "image/gif": gif,
    "image/webp lossy": lossy,
    "image/webp lossless": lossless,
    "image/webp extended": extended,
}


def image(name: str = "a.png", width: int = 30, height: int = 20, grey: int = 0, detail: str = "") -> Image:
    """An image as an example has it."""
    content = png(width, height, grey)
    media, size = read_header(content)
    url = f"data:{media};base64,{base64.b64encode(content).decode()}"
    return Image(name, url, digest_of(content), media=media, size=size, detail=detail)


images = st.builds(image, st.sampled_from(["a.png", "b [x].png", "{text}"]), grey=st.integers(0, 3))
