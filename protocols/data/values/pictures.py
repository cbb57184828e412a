"""Reads the images that examples name: a file, a data URL, bytes, or an address, which the provider reads."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from protocols.errors import DataError
from protocols.files import text_files as files
from protocols.images.headers import read_header
from protocols.images.image import Image, digest_of

LARGEST = 15 * 2**18
"""Most bytes of an image: 5 MiB in base64, of which Anthropic takes no more. A smaller one loses nothing, since
providers shrink images of more than a few megapixels."""
ROW = 4 * LARGEST
"""Most bytes of the images of one example: Anthropic refuses requests of over 32 MB."""
TOGETHER = 2**30
"""Most bytes of the images of one source, which are held in memory."""
DATA_URL = re.compile(r"data:([^,;]*)(?:;[^,;]*)*?(;base64)?,", re.IGNORECASE)
ADDRESS = re.compile(r"https?://[^\s]+", re.IGNORECASE)


class Pictures:
    """The images of one source. `folder`: where relative paths begin. Each file is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._files = folder, dict[Path, Image]()
        self._together = self._row = 0

    def begin_row(self) -> None:
        """Begin another example."""
        self._row = 0

    def named(self, name: str, detail: str = "") -> Image:
        """The image that a path, a data URL or an address names. `detail`: for OpenAI's format.

        :raises ValueError: it cannot be used; the message names it.
        """
        if found := DATA_URL.match(name):
            return self.made("", _decoded(name[found.end() :], bool(found[2])), detail)
        if ADDRESS.fullmatch(name):
            last = unquote(urlsplit(name).path).rstrip("/").rpartition("/")[2] or urlsplit(name).hostname or ""
            return Image(last, name, digest_of(name.encode("utf-8", "replace")), detail=detail)
        path = self._folder / name
        if path in self._files:
            return self._seen(self._files[path], detail)
        image = self._files[path] = self.made(path.name, _read(path, name), detail)
        return image

    def made(self, name: str, content: bytes, detail: str = "") -> Image:
        """An image of these bytes; without a name it is called after its format.

        :raises ValueError: it is too large, or of an unknown format.
        """
        what = f"the image {_short(name)}" if name else "the image"
        if len(content) > LARGEST:
            raise ValueError(f"{what} has {len(content):,} bytes, more than {LARGEST:,}; make it smaller")
        try:
            media, size = read_header(content)
        except ValueError as error:
            raise ValueError(f"{what} is {error}") from None
        self._count(len(content), len(content))
        url = f"data:{media};base64,{base64.b64encode(content).decode('ascii')}"
        return Image(
            name or media.removeprefix("image/"), url, digest_of(content), media=media, size=size, detail=detail
        )

    def _seen(self, image: Image, detail: str) -> Image:
        self._count(3 * len(image.data) // 4, 0)
        if image.detail == detail:
            return image
        size = (image.width, image.height)
        return Image(image.name, image.url, image.digest, media=image.media, size=size, detail=detail)

    def _count(self, row: int, together: int) -> None:
        """:raises ValueError: the images of the row, or all of them, are too large."""
        self._row += row
        self._together += together
        if self._row > ROW:
            raise ValueError(f"its images have more than {ROW:,} bytes together; make them smaller")
        if self._together > TOGETHER:
            raise ValueError(f"the images up to here have more than {TOGETHER:,} bytes together; make them smaller")


def _read(path: Path, name: str) -> bytes:
    """The bytes of a file, and one more at most than may be.

    :raises ValueError: it cannot be read.
    """
    try:
        with files.opened(path, DataError, "it") as file:
            return file.read(LARGEST + 1)
    except DataError as error:
        reason = error.reason.removeprefix("cannot read it: ")
        raise ValueError(f"the image {_short(name)} cannot be read: {reason}") from None


def _decoded(text: str, base64_encoded: bool) -> bytes:
    """:raises ValueError: a data URL is not in base64."""
    if not base64_encoded:
        raise ValueError("the data URL of an image is not in base64; write data:image/png;base64,...")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the data URL of an image is damaged: it is not base64") from None


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else "…" + text[-59:])
