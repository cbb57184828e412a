"""An image as the value of an input field: a label for readers of text, and what is sent to a model."""

from __future__ import annotations

import hashlib
import re
from typing import Self

PATCH = 28
"""Pixels of a side of the patches that Anthropic's models count as one token each, and Qwen's too. OpenAI's newer
models count 1.2 tokens for each 32 pixels, which is fewer; older ones count by tiles, which is more for small images.
https://platform.claude.com/docs/en/build-with-claude/vision,
https://developers.openai.com/api/docs/guides/images-vision"""
FEWEST = 85
"""What OpenAI's models that count by tiles take for any image."""
MOST = 4784
"""The most tokens of an image at Anthropic, whose models shrink larger ones."""
UNKNOWN = 1568
"""Side in pixels of an image whose size is not known, since only its address is given."""
LONGEST_NAME = 40
DIGEST = 12
"""Hexadecimal digits of the digest in a label: so many tell a million images apart."""


class Image(str):
    """Its text is a label such as `[image receipt.png 3f0a1b2c4d5e]`, with the beginning of `digest`, so that equal
    labels are equal images. Journals, critics, memory and text models see the label alone.

    `name`: of its file, or of its format. `url`: a data URL, or an address that the provider reads. `media`: its
    media type, "" for an address. `digest`: of the bytes, or of the address. `width`, `height`: in pixels, 0 if
    unknown. `detail`: for OpenAI's format, "" leaves it out.
    """

    name: str
    url: str
    media: str
    digest: str
    width: int
    height: int
    detail: str

    def __new__(
        cls, name: str, url: str, digest: str, *, media: str = "", size: tuple[int, int] = (0, 0), detail: str = ""
    ) -> Self:
        """An image with this name in its label. `size`: width and height."""
        made = super().__new__(cls, f"[image {_plain(name)} {digest[:DIGEST]}]")
        made.name, made.url, made.media, made.digest, made.detail = name, url, media, digest, detail
        made.width, made.height = size
        return made

    def __deepcopy__(self, memo: object) -> Self:
        return self

    @property
    def data(self) -> str:
        """The bytes in base64; "" for an address."""
        return self.url.partition(",")[2] if self.media else ""

    @property
    def tokens(self) -> int:
        """Approximate tokens at any provider."""
        width, height = self.width or UNKNOWN, self.height or UNKNOWN
        return min(MOST, max(FEWEST, -(-width // PATCH) * -(-height // PATCH)))


def digest_of(content: bytes) -> str:
    """The digest of an image's bytes or address."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _plain(name: str) -> str:
    """A name that does not break the label or its line."""
    kept = re.sub(r"[\s\[\]{}]+", "_", "".join(c if c.isprintable() else "_" for c in name))
    return kept if len(kept) <= LONGEST_NAME else "…" + kept[1 - LONGEST_NAME :]
