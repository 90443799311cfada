"""Domain-separated SHA-256 (L-2)."""

from __future__ import annotations

from hashlib import sha256

from protocol.crypto.contexts import Domain

HASH_BYTES = 32


def digest(domain: Domain, data: bytes) -> bytes:
    """SHA-256 over the domain's tag and `data`; 32 bytes (FIPS 180-4)."""
    return sha256(domain._value_ + data).digest()
