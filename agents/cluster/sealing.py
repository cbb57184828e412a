"""Hands secrets over to one process: sealed to its public key, so that nothing on the way can read them.

X25519 (RFC 7748), HKDF with SHA-256 (RFC 5869) and ChaCha20-Poly1305 (RFC 8439), as in HPKE's base mode (RFC 9180).
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE = bytes(12)
"""The same for all: every key seals one message."""


class Lock:
    """The key pair of a process. It lives in memory only."""

    def __init__(self) -> None:
        self._private = X25519PrivateKey.generate()
        self.public = self._private.public_key().public_bytes_raw()

    def opened(self, sealed: bytes) -> Mapping[str, str]:
        """What was sealed to `public`.

        :raises cryptography.exceptions.InvalidTag: it was sealed to another key, or changed.
        """
        ephemeral, secret = sealed[:KEY_BYTES], sealed[KEY_BYTES:]
        shared = self._private.exchange(X25519PublicKey.from_public_bytes(ephemeral))
        values: Mapping[str, str] = orjson.loads(_cipher(shared, ephemeral, self.public).decrypt(NONCE, secret, None))
        return values


def seal(values: Mapping[str, str], public: bytes) -> bytes:
    """The values, which only the owner of the key `public` can read."""
    private = X25519PrivateKey.generate()
    ephemeral = private.public_key().public_bytes_raw()
    shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    return ephemeral + _cipher(shared, ephemeral, public).encrypt(NONCE, orjson.dumps(dict(values)), None)


def _cipher(shared: bytes, ephemeral: bytes, public: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(HKDF(SHA256(), KEY_BYTES, ephemeral + public, b"promptflow secrets").derive(shared))
