"""Kinds of parameters: how the text in a path or query is read, and the same as a JSON Schema.

`parse` raises ValueError with what was expected. It is strict: one text for one value, so no signs, no leading zeros,
no upper case digits in hex.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Protocol

from protocol import limits

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*", re.ASCII)
_POSITION: Final = re.compile(r"(?:-1|0|[1-9][0-9]{0,15})(?:@(?:0|[1-9][0-9]{0,15}))?", re.ASCII)


class Kind(Protocol):
    """One kind."""

    def parse(self, text: str) -> Any:
        """The value. Raises ValueError with words."""
        ...

    def schema(self) -> dict[str, Any]:
        """What texts are read, as JSON Schema."""
        ...


@dataclass(frozen=True, slots=True)
class Hex:
    """Bytes of one size."""

    size: int

    def parse(self, text: str) -> bytes:
        """See Kind."""
        if len(text) != 2 * self.size or not _HEX.fullmatch(text):
            raise ValueError(f"expected {self.size} bytes in lower-case hex")
        return bytes.fromhex(text)

    def schema(self) -> dict[str, Any]:
        """See Kind."""
        return {"type": "string", "pattern": f"^[0-9a-f]{{{2 * self.size}}}$"}


@dataclass(frozen=True, slots=True)
class Integer:
    """A decimal integer within bounds."""

    low: int
    high: int

    def parse(self, text: str) -> int:
        """See Kind."""
        if not _DECIMAL.fullmatch(text) or not self.low <= int(text) <= self.high:
            raise ValueError(f"expected a decimal integer from {self.low} to {self.high}")
        return int(text)

    def schema(self) -> dict[str, Any]:
        """See Kind."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Text:
    """Text of some characters."""

    length_max: int

    def parse(self, text: str) -> str:
        """See Kind."""
        if not 1 <= len(text) <= self.length_max:
            raise ValueError(f"expected 1 to {self.length_max} characters")
        return text

    def schema(self) -> dict[str, Any]:
        """See Kind."""
        return {"type": "string", "minLength": 1, "maxLength": self.length_max}


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One part of a state key: bytes in hex, text, or a decimal integer, as the space's description says."""

    def parse(self, text: str) -> str:
        """See Kind; the handler knows the space and reads on."""
        if len(text) > 2 * limits.STATE_KEY_BYTES_MAX:
            raise ValueError(f"expected at most {2 * limits.STATE_KEY_BYTES_MAX} characters")
        return text

    def schema(self) -> dict[str, Any]:
        """See Kind."""
        return {"type": "string", "maxLength": 2 * limits.STATE_KEY_BYTES_MAX}


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the event stream: `LOG_INDEX`, `LOG_INDEX@HEIGHT`, `-1` for the very beginning, or `now`."""

    def parse(self, text: str) -> tuple[int, int | None] | None:
        """(log index, height or None), or None for `now`."""
        if text == "now":
            return None
        if not _POSITION.fullmatch(text):
            raise ValueError("expected a log index, LOG_INDEX@HEIGHT, -1 or now")
        index, _, height = text.partition("@")
        return int(index), int(height) if height else None

    def schema(self) -> dict[str, Any]:
        """See Kind."""
        return {"type": "string", "pattern": f"^(now|{_POSITION.pattern.replace('?:', '')})$"}


HASH: Final = Hex(32)
HEIGHT: Final = Integer(1, limits.U53_MAX)
TIME_MS: Final = Integer(0, limits.U53_MAX)
