"""What the ledger's applications offer, said for machines: operations, their arguments, and the state they keep.

One description feeds the API's own (OpenAPI), the command line and a reader's curiosity, so that none of them
can say something else than what `decode` takes. Values are described as JSON (`protocol.codec.json`); on the wire
and in hashes they are canonical records.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from protocol.codec import decode, encode
from protocol.codec.json import from_json, json_schema, to_json
from protocol.errors import CODES, NOT_FOUND, UNKNOWN_OPERATION, Malformed, Refused
from protocol.ledger.application import Application, OperationKind, Rules
from protocol.ledger.records import Operation, Receipt
from protocol.ledger.spaces import Part, Space, parse_state_key


class OperationName(Protocol):
    """What tells which operation it is: an `Operation`, or its name alone."""

    @property
    def app(self) -> str:
        """Name of the application."""
        ...

    @property
    def name(self) -> str:
        """Name of the operation in it."""
        ...


def describe(rules: Rules) -> dict[str, Any]:
    """All operations and spaces of these rules, with their schemas, in a defined order."""
    return {
        "rules": rules.version,
        "applications": [_describe_application(application) for application in rules.applications.values()],
        "spaces": [describe_space(space) for space in rules.spaces.values()],
    }


def describe_space(space: Space[Any]) -> dict[str, Any]:
    """One space: key parts and the schema of its values; of added records (L-20) their second key, too."""
    also = space.also
    return {
        "name": space.name,
        "words": space.words,
        "key": _describe_parts(space.parts),
        "value": json_schema(space.record),
        "added": space.added,
        "also": also and {"name": also.name, "words": also.words, "key": _describe_parts(also.parts)},
    }


def _describe_parts(parts: Iterable[Part]) -> list[dict[str, str]]:
    return [{"name": part.name, "type": part.kind, "words": part.words} for part in parts]


def operation_to_json(rules: Rules, operation: Operation) -> dict[str, Any]:
    """An operation for people: arguments opened if they are well formed, else their bytes as hex."""
    try:
        arguments: Any = to_json(decode(_kind(rules, operation.app, operation.name).arguments, operation.arguments))
    except (Refused, Malformed):
        arguments = operation.arguments.hex()
    return {"app": operation.app, "name": operation.name, "arguments": arguments}


def operation_from_json(rules: Rules, app: str, name: str, arguments: Any) -> Operation:
    """The operation that a person wrote as JSON. Raises Refused(unknown_operation), Malformed."""
    kind = _kind(rules, app, name)
    return Operation(app, name, encode(from_json(kind.arguments, arguments)))


def receipt_to_json(rules: Rules, receipt: Receipt, operations: Iterable[OperationName] = ()) -> dict[str, Any]:
    """A receipt for people; with its envelope's operations the results are opened."""
    described = to_json(receipt)
    kinds = [_result_class(rules, operation) for operation in operations]
    if len(kinds) == len(receipt.results):
        described["results"] = [
            to_json(decode(cls, data)) if cls is not None and data else None
            for cls, data in zip(kinds, receipt.results, strict=True)
        ]
    return described


def state_to_json(rules: Rules, key: bytes, value: bytes) -> dict[str, Any]:
    """A pair of the state for people. Raises Refused(not_found) for a space that these rules do not know."""
    name, parts = parse_state_key(key)
    space = rules.spaces.get(name)
    if space is None:
        raise Refused(NOT_FOUND, f"no space is named {name}")
    texts = [part.hex() if isinstance(part, bytes) else part for part in parts]
    named = {declared.name: text for declared, text in zip(space.parts, texts, strict=True)}
    return {"space": name, "key": named, "value": to_json(decode(space.record, value))}


def _describe_application(application: Application) -> dict[str, Any]:
    return {
        "name": application.name,
        "words": application.words,
        "operations": [_describe_operation(kind) for kind in application.operations.values()],
        "spaces": [space.name for space in application.spaces],
    }


def _describe_operation(kind: OperationKind) -> dict[str, Any]:
    return {
        "name": kind.name,
        "words": kind.words,
        "arguments": json_schema(kind.arguments),
        "result": None if kind.result is None else json_schema(kind.result),
        "refusals": [{"code": code, "meaning": CODES[code].meaning} for code in kind.refusals],
    }


def _kind(rules: Rules, app: str, name: str) -> OperationKind:
    application = rules.applications.get(app)
    if application is None or name not in application.operations:
        raise Refused(UNKNOWN_OPERATION, f"{app}.{name} is not an operation of this network")
    return application.operations[name]


def _result_class(rules: Rules, operation: OperationName) -> type[Any] | None:
    try:
        return _kind(rules, operation.app, operation.name).result
    except Refused:
        return None
