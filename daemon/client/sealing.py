"""Envelopes as an application makes them: operations in, signed bytes out (L-5).

An operation is given in whichever form is at hand:

* the record of its arguments, such as `RecordEvidence(...)`: which operation it belongs to follows from its class;
* an `Operation`, encoded already;
* a mapping `{"app": ..., "name": ..., "arguments": {...}}`, as the API and the command line write one.

What no state of the ledger could accept is refused here, before anything is signed.

`Sealed` is what to keep: whoever writes it down before sending can ask, after any crash, what became of it, and may
send it again as often as wanted; it acts once (L-7). One that was sealed here knows whether any node may hold it
(`Copies`); of one that was read nobody knows, so a node may.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, Self

from daemon.client.account import Account, signing_keys
from protocol import limits
from protocol.apps.registry import rules_by_version
from protocol.codec import decode, encode
from protocol.codec.json import to_json
from protocol.errors import BAD_ARGUMENTS, TOO_LARGE, UNKNOWN_OPERATION, BrokenInvariant, ClientFault, Malformed
from protocol.ledger.application import Rules, read_operation
from protocol.ledger.describe import operation_from_json
from protocol.ledger.envelope import parse_envelope, seal_envelope
from protocol.ledger.records import EnvelopeBody, Operation

ID_BYTES: Final = 16
AnyOperation = Operation | Mapping[str, Any] | Any
"""An operation in one of the forms above; the last stands for the record of its arguments."""


class Copies:
    """Which deliveries may have left an envelope with a node: one object, shared by whoever sends it in this process.

    What comes from a file, another process or a deep copy has a past that nobody here knows: it may be anywhere. Every
    change is one call on a set, so threads may share it.
    """

    __slots__ = ("_deliveries",)

    def __init__(self, *deliveries: object) -> None:
        self._deliveries = set(deliveries)

    def __reduce__(self) -> tuple[Callable[[], Copies], tuple[()]]:
        return copies_unknown, ()

    def add(self, delivery: object) -> None:
        """It is about to post."""
        self._deliveries.add(delivery)

    def discard(self, delivery: object) -> None:
        """What it posted no node holds, for certain."""
        self._deliveries.discard(delivery)

    def besides(self, delivery: object) -> bool:
        """Whether another one may have left a copy."""
        return bool(self._deliveries - {delivery})


def copies_unknown() -> Copies:
    """Some delivery, once, somewhere."""
    return Copies("earlier")


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signed envelope.

    transaction: its id (32 bytes). data: the encoded `Envelope`, holding no secret. account, id, valid_until_ms: its
    identity and the block time at which it becomes void. operations: what it asks for. copies: whether some node may
    hold it. Who posts `data` by other means than a client of this process sends it here as `Sealed.read(data, ...)`.
    """

    transaction: bytes
    data: bytes
    account: bytes
    id: bytes
    valid_until_ms: int
    operations: tuple[Operation, ...]
    copies: Copies = field(default_factory=copies_unknown, compare=False)

    @classmethod
    def read(cls, data: bytes, network_id: bytes) -> Self:
        """A signed envelope that was written down; a node may hold it. Raises Refused if it is none of this network."""
        parsed = parse_envelope(data, network_id)
        body = parsed.body
        return cls(parsed.transaction, data, body.account, body.id, body.valid_until_ms, body.operations)

    def __repr__(self) -> str:
        return f"Sealed(transaction:{self.transaction.hex()}, {len(self.operations)} operations)"


def seal(
    account: Account,
    operations: Sequence[Operation],
    *,
    network_id: bytes,
    identifier: bytes,
    valid_until_ms: int,
    consents: Iterable[Account] = (),
) -> Sealed:
    """Sign one envelope by the account, and by those whose consent its operations need.

    identifier: 16 bytes, never used by this account before. Raises ClientFault if it would be too large, ValueError.
    """
    keys = signing_keys([account, *consents])
    signers = tuple(key.public for key in keys)
    body = EnvelopeBody(network_id, account.name, identifier, valid_until_ms, tuple(operations), signers)
    try:
        data = seal_envelope(body, keys)
    except BrokenInvariant as fault:
        words = f"{len(operations)} operations do not fit into one envelope: {fault.words}"
        raise ClientFault(words, code=TOO_LARGE) from fault
    if len(data) > limits.ENVELOPE_BYTES_MAX:
        words = f"the envelope would have {len(data)} bytes, at most {limits.ENVELOPE_BYTES_MAX}"
        raise ClientFault(words, code=TOO_LARGE)
    return replace(Sealed.read(data, network_id), copies=Copies())


def as_operation(rules: Rules, given: AnyOperation) -> Operation:
    """The operation in canonical form. Raises ClientFault, Refused: unknown_operation, bad_arguments, ..."""
    operation = _canonical(rules, given)
    read_operation(rules, operation)
    return operation


def open_result(rules: Rules, operation: Operation, data: bytes) -> Any:
    """The record that the operation returned; None if it returns none; the bytes if these rules do not know it."""
    application = rules.applications.get(operation.app)
    kind = None if application is None else application.operations.get(operation.name)
    if kind is None:
        return data or None
    return decode(kind.result, data) if kind.result is not None and data else None


def operation_json(rules: Rules, operation: Operation) -> dict[str, Any]:
    """The form `{"app": ..., "name": ..., "arguments": {...}}` of an operation that `as_operation` gave."""
    _, arguments = read_operation(rules, operation)
    return {"app": operation.app, "name": operation.name, "arguments": to_json(arguments)}


def _canonical(rules: Rules, given: AnyOperation) -> Operation:
    if isinstance(given, Operation):
        return given
    if isinstance(given, Mapping):
        if set(given) != {"app", "name", "arguments"}:
            raise ClientFault('an operation is {"app": ..., "name": ..., "arguments": {...}}', code=BAD_ARGUMENTS)
        try:
            return operation_from_json(rules, given["app"], given["name"], given["arguments"])
        except Malformed as fault:
            words = f"{given['app']}.{given['name']}: {fault.words}"
            raise ClientFault(words, code=BAD_ARGUMENTS) from fault
    name = _names_by_class(rules.version).get(type(given))
    if name is None:
        words = f"{type(given).__name__} is not the arguments of any operation of this network"
        raise ClientFault(words, code=UNKNOWN_OPERATION)
    try:
        return Operation(*name, encode(given))
    except BrokenInvariant as fault:
        raise ClientFault(f"{'.'.join(name)}: {fault.words}", code=BAD_ARGUMENTS) from fault


@lru_cache(maxsize=limits.RULES_VERSIONS_MAX)
def _names_by_class(version: int) -> dict[type[Any], tuple[str, str]]:
    """Class of arguments to (app, operation), under that version of the rules."""
    applications = rules_by_version(version).applications.values()
    return {kind.arguments: (app.name, kind.name) for app in applications for kind in app.operations.values()}
