"""A Bloom filter: what a file surely does not hold need not be looked for in it.

Bloom 1970, Space/time trade-offs in hash coding with allowable errors, https://doi.org/10.1145/362686.362692.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from struct import Struct

import numpy as np

BITS = 2**24
"""2 MB. With PROBES bits a key, 1 % of 1.5 million keys' absent ones seem present; beyond, more."""
LAST = BITS - 1
PROBES = 4
PLACES = Struct(f"<{PROBES}I")
AT_ONCE = 65_536
"""Keys that are added together."""


class Sieve:
    """Remembers keys of at least 16 random bytes, such as digests; no key is taken back."""

    def __init__(self) -> None:
        self._bits = bytearray(BITS // 8)

    def add(self, key: bytes) -> None:
        """Remember a key."""
        bits = self._bits
        for word in PLACES.unpack_from(key):
            bits[(word & LAST) >> 3] |= 1 << (word & 7)

    def add_all(self, keys: Iterable[bytes]) -> None:
        """Remember many keys, all of one length, which is a multiple of 4."""
        rest, bits = iter(keys), np.frombuffer(self._bits, np.uint8)
        while some := list(islice(rest, AT_ONCE)):
            words = np.frombuffer(b"".join(some), "<u4").reshape(len(some), -1)[:, :PROBES] & LAST
            np.bitwise_or.at(bits, words >> 3, (1 << (words & 7)).astype(np.uint8))

    def __contains__(self, key: bytes) -> bool:
        """True for every key that was added, and for a few others."""
        bits = self._bits
        return all(bits[(word & LAST) >> 3] >> (word & 7) & 1 for word in PLACES.unpack_from(key))
