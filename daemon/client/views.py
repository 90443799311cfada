"""What nodes answer, as typed values: receipts, outcomes, networks, nodes, blocks, events.

Read from JSON strictly: what is not of the form that the API promises is `BadAnswer`, and counts as no answer at all;
the client then asks another endpoint. Fields that this program does not know are kept in `raw` where there is one: a
newer node may say more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from daemon.client.sealing import open_result
from protocol.codec.json import from_json
from protocol.errors import OK, Malformed
from protocol.ledger.application import Rules
from protocol.ledger.records import Operation

Json = Mapping[str, Any]


class BadAnswer(ValueError):
    """Not what the API promises."""


class Stage(Enum):
    """What a node knows of a transaction (L-9)."""

    FINAL = "final"
    PENDING = "pending"
    REFUSED = "refused"
    EXPIRED = "expired"
    NOT_SEEN = "not_seen"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The outcome of a final transaction (L-21).

    transaction: 32 bytes. height, time_ms, position: of the block, and in it. code: `ok`, or why nothing was done.
    operation: index of the one that failed. words: of the failure. results: for each operation the record it returned,
    or None; where the operations are not known here, what the node said in JSON. log_index: its place in the network's
    receipt log, which is its position in the stream of events.
    """

    transaction: bytes
    height: int
    time_ms: int
    position: int
    code: str
    operation: int | None
    words: str
    results: tuple[Any, ...] = ()
    log_index: int | None = None

    @property
    def ok(self) -> bool:
        """Whether the operations were applied; False: nothing changed."""
        return self.code == OK


@dataclass(frozen=True, slots=True)
class Outcome:
    """A node's answer to "what became of it". receipt: where it is final. code, words: where this node refused it."""

    stage: Stage
    receipt: Receipt | None = None
    code: str = ""
    words: str = ""

    @property
    def is_certain(self) -> bool:
        """Whether no node will ever say otherwise."""
        return self.stage in (Stage.FINAL, Stage.EXPIRED)


@dataclass(frozen=True, slots=True)
class NetworkView:
    """A network as its nodes describe it. raw: the whole answer (members, validators, parameters)."""

    name: str
    network_id: bytes
    envelope_ttl_max_ms: int
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class BlockView:
    """A final block. transactions: ids in order, as far as the node lists them. raw: the whole answer."""

    height: int
    hash: bytes
    time_ms: int
    transactions: tuple[bytes, ...]
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class Event:
    """A final transaction, as the stream of events tells it.

    position: its index in the network's receipt log: resume after it, at any node. raw: the whole event.
    """

    position: int
    transaction: bytes
    height: int
    time_ms: int
    code: str
    account: bytes
    operations: tuple[tuple[str, str], ...]
    raw: Json = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the operations were applied."""
        return self.code == OK


# -- Reading ----------------------------------------------------------------------------------------


def json_object(body: bytes | str) -> Json:
    """The JSON object in a body. Raises BadAnswer."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise BadAnswer("an answer that is not JSON") from None
    if not isinstance(value, dict):
        raise BadAnswer("an answer that is not a JSON object")
    return value


def hex_of(value: Json, name: str, size: int | None = 32) -> bytes:
    """A byte string, which the API writes as hex. Raises BadAnswer."""
    text = value.get(name)
    try:
        data = bytes.fromhex(text) if isinstance(text, str) else None
    except ValueError:
        data = None
    if data is None or (size is not None and len(data) != size):
        raise BadAnswer(f"{name} is not hex of {size} bytes")
    return data


def integer_of(value: Json, name: str) -> int:
    """An integer, a JSON number or, where it may be large, decimal text. Raises BadAnswer."""
    number = value.get(name)
    if isinstance(number, str) and number.isascii() and number.isdecimal() and len(number) <= 20:
        number = int(number)
    if type(number) is not int:
        raise BadAnswer(f"{name} is not an integer")
    return number


def text_of(value: Json, name: str, default: str | None = None) -> str:
    """Text. Raises BadAnswer if it is missing and there is no default."""
    text = value.get(name, default)
    if not isinstance(text, str):
        raise BadAnswer(f"{name} is not text")
    return text


def list_of(value: Json, name: str) -> Sequence[Any]:
    """An array. Raises BadAnswer."""
    items = value.get(name)
    if not isinstance(items, list):
        raise BadAnswer(f"{name} is not an array")
    return items


def object_of(value: Json, name: str) -> Json:
    """An object. Raises BadAnswer."""
    inner = value.get(name)
    if not isinstance(inner, dict):
        raise BadAnswer(f"{name} is not an object")
    return inner


def read_receipt(value: Json, rules: Rules | None = None, operations: Sequence[Operation] = ()) -> Receipt:
    """A receipt; with its operations, the results are opened to records. Raises BadAnswer."""
    results = tuple(list_of(value, "results"))
    if rules is not None and operations and len(results) == len(operations):
        results = tuple(_result(rules, *pair) for pair in zip(operations, results, strict=True))
    return Receipt(
        transaction=hex_of(value, "transaction"),
        height=integer_of(value, "height"),
        time_ms=integer_of(value, "time_ms"),
        position=integer_of(value, "position"),
        code=text_of(value, "code"),
        operation=None if value.get("operation") is None else integer_of(value, "operation"),
        words=text_of(value, "words"),
        results=results,
    )


def _result(rules: Rules, operation: Operation, value: Any) -> Any:
    application = rules.applications.get(operation.app)
    kind = None if application is None else application.operations.get(operation.name)
    try:
        if isinstance(value, dict) and kind is not None and kind.result is not None:
            return from_json(kind.result, value)
        if isinstance(value, str):
            return open_result(rules, operation, bytes.fromhex(value))
    except (ValueError, Malformed) as fault:
        raise BadAnswer(f"the result of {operation.app}.{operation.name}: {fault}") from fault
    return value


def read_outcome(
    value: Json, transaction: bytes, rules: Rules | None = None, operations: Sequence[Operation] = ()
) -> Outcome:
    """An outcome of the transaction that was asked for. Raises BadAnswer, also for one of another transaction."""
    try:
        stage = Stage(text_of(value, "status"))
    except ValueError:
        raise BadAnswer(f"an outcome {value.get('status')!r} that nobody knows") from None
    if value.get("transaction") is not None and hex_of(value, "transaction") != transaction:
        raise BadAnswer("an outcome of another transaction")
    receipt = None
    if stage is Stage.FINAL:
        receipt = read_receipt(object_of(value, "receipt"), rules, operations)
        if receipt.transaction != transaction:
            raise BadAnswer("a receipt of another transaction")
        receipt = replace(receipt, log_index=integer_of(value, "log_index"))
    return Outcome(stage, receipt, text_of(value, "code", ""), text_of(value, "detail", ""))


def read_event(position: int, value: Json) -> Event:
    """One event of the stream. Raises BadAnswer."""
    listed = [item for item in list_of(value, "operations") if isinstance(item, dict)]
    return Event(
        position=position,
        transaction=hex_of(value, "transaction"),
        height=integer_of(value, "height"),
        time_ms=integer_of(value, "time_ms"),
        code=text_of(value, "code"),
        account=hex_of(value, "account"),
        operations=tuple((text_of(item, "app"), text_of(item, "name")) for item in listed),
        raw=value,
    )
