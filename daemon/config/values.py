"""The types of values in configuration files: strict, frozen, and each able to say what it expects.

A `Wrong` raised by a type carries the two halves of a message, what was expected and what was found, and arrives in
`problems.translate`. In the models values are what the program uses (bytes of a key, an `Address`); in files they are
the texts of texts.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.functional_validators import AfterValidator

from daemon.config import texts
from daemon.config.problems import show
from daemon.config.texts import Address, Form
from protocol.limits import NAME_BYTES_MAX


class Wrong(ValueError):
    """A value that is not what its key wants."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}; found {found}")
        self.expected = expected
        self.found = found


class Table(BaseModel):
    """A table of a configuration file: nothing is converted, nothing unknown is taken, nothing changes."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", arbitrary_types_allowed=True)


def _reader(parse: Callable[[str], Any], expected: str) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            if isinstance(value, bytes | Address):
                return value  # made by the program, not read from a file
            raise Wrong(expected, show(value))
        try:
            return parse(value)
        except ValueError as error:
            raise Wrong(expected, f"{show(value)}: {error}") from None

    return read


def _of(form: Form) -> tuple[BeforeValidator, PlainSerializer]:
    return BeforeValidator(_reader(form.parse, form.expected)), PlainSerializer(form.format, return_type=str)


_key, _secret, _network, _journal, _hash, _account = (
    _of(form)
    for form in (
        texts.PUBLIC_KEY,
        texts.SECRET_KEY,
        texts.NETWORK_ID,
        texts.JOURNAL_ID,
        texts.HASH,
        texts.ACCOUNT,
    )
)
PublicKey = Annotated[bytes, *_key]
SecretKey = Annotated[bytes, *_secret]
NetworkId = Annotated[bytes, *_network]
JournalId = Annotated[bytes, *_journal]
HashText = Annotated[bytes, *_hash]
AccountName = Annotated[bytes, *_account]
AddressText = Annotated[
    Address,
    BeforeValidator(_reader(texts.parse_address, texts.ADDRESS_EXPECTED)),
    PlainSerializer(str, return_type=str),
]


def checked_name(value: str) -> str:
    """The name of a network or a member, as it is. Raises Wrong."""
    size = len(value.encode())
    if not value or size > NAME_BYTES_MAX or not value.isprintable() or value != value.strip():
        raise Wrong(
            f"a name of 1 to {NAME_BYTES_MAX} bytes, printable, with no space at either end",
            f"{show(value)} ({size} bytes)",
        )
    return value


NameText = Annotated[str, AfterValidator(checked_name)]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_ms(time: datetime) -> int:
    """Whole milliseconds since 1970 (UTC)."""
    return (time - _EPOCH) // timedelta(milliseconds=1)


def from_ms(time_ms: int) -> datetime:
    """The time `time_ms` milliseconds after the start of 1970 (UTC)."""
    return _EPOCH + timedelta(milliseconds=time_ms)


def _moment(value: datetime) -> datetime:
    if value < _EPOCH or value.microsecond % 1_000:
        raise Wrong("a time from 1970 on, in whole milliseconds", show(value))
    return value.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_moment)]


def bounded(low: int, high: int, words: str, **more: Any) -> Any:
    """A field for an integer from `low` to `high`, both included; its description says so."""
    return Field(ge=low, le=high, description=f"{words.rstrip('.')} ({low} to {high}).", **more)
