"""The store's golden bytes: one hexadecimal string for each kind of file, in tests/vectors/store.json."""

from __future__ import annotations

import json
from pathlib import Path

_VECTORS = Path(__file__).parent.parent / "vectors" / "store.json"


def golden(name: str) -> bytes:
    """The bytes that the file of this kind has, for the content that its test writes."""
    return bytes.fromhex(json.loads(_VECTORS.read_text())[name])
