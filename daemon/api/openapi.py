"""The OpenAPI 3.1 document and the page at `/docs`, written from the table that serves.

Answers' schemas come from the typed dictionaries that handlers are checked against, requests' from the kinds that read
them, operations and values of the applications from `protocol.ledger.describe`, codes from `protocol.errors`. Nothing
is described twice, so nothing here can say something else than the node does.

Written when first asked for, since importing pydantic's schema machinery costs a node that nobody asks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from daemon import VERSION
from daemon.api import schemas
from daemon.api.docs import page
from daemon.api.messages import PROBLEM
from daemon.api.problems import STATUS, described
from daemon.api.routes import Parameter, Route
from daemon.api.table import TAGS, table
from protocol import limits
from protocol.errors import BAD_REQUEST, CODES, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE
from protocol.ledger.application import Rules
from protocol.ledger.describe import describe

_REFERENCE: Final = "#/components/schemas/"
_ABOUT: Final = (
    "HTTP API of a Papilio node: submit signed envelopes, wait for finality, read blocks, accounts and the state of "
    "applications, fetch proofs that verify offline, follow everything that becomes final.\n\n"
    "Byte strings are lower-case hex, times are milliseconds since 1970, integers that may pass 2^53 are decimal text. "
    "Refusals are problem+json with a stable `code`."
)


class TableDocuments:
    """Both documents, made once each; thread-safe enough: two threads make equal ones."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._openapi: bytes | None = None
        self._page: bytes | None = None

    def openapi(self) -> bytes:
        """The document as JSON."""
        if self._openapi is None:
            self._openapi = json.dumps(document(self._rules), ensure_ascii=False, separators=(",", ":")).encode()
        return self._openapi

    def page(self) -> bytes:
        """The page as HTML."""
        if self._page is None:
            examples = {route.name: route.examples for route in table()}
            self._page = page(json.loads(self.openapi()), examples).encode()
        return self._page


def document(rules: Rules) -> dict[str, Any]:
    """The whole document, for a network with these rules."""
    offered = describe(rules)
    routes = table(_value_schema(offered["spaces"]))
    names = _Names(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, names)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Papilio node", "version": VERSION, "description": _ABOUT, "license": _LICENSE},
        "servers": [{"url": "/", "description": "This node."}],
        "tags": [{"name": name, "description": words} for name, words in TAGS],
        "paths": paths,
        "components": {"schemas": {**names.schemas, **_application_schemas(offered)}},
        "x-papilio-applications": [_application(application) for application in offered["applications"]],
        "x-papilio-spaces": [{**space, "value": _ref(f"state.{space['name']}")} for space in offered["spaces"]],
        "x-papilio-codes": [{**described(code), "status": STATUS.get(code)} for code in CODES],
    }


_LICENSE: Final = {"name": "Apache-2.0", "identifier": "Apache-2.0"}


class _Names:
    """Typed dictionaries of the table as named schemas."""

    def __init__(self, routes: Iterable[Route]) -> None:
        classes: dict[str, Any] = {"Problem": schemas.Problem}
        for route in routes:
            found = [reply.schema for reply in route.replies]
            found += list(route.body.types.values()) if route.body is not None else []
            classes |= {schema.__name__: schema for schema in found if isinstance(schema, type)}
        adapters = [(name, "serialization", TypeAdapter(cls)) for name, cls in sorted(classes.items())]
        _, defined = TypeAdapter.json_schemas(adapters, ref_template=_REFERENCE + "{model}")  # type: ignore[arg-type]
        self.schemas: dict[str, Any] = defined["$defs"]
        for name, schema in self.schemas.items():
            schema["additionalProperties"] = name == "Problem"  # whose further members the table does not name
        self.schemas["Problem"]["properties"]["code"]["enum"] = list(CODES)

    def of(self, schema: Any) -> Any:
        """A reference to a class, or the schema itself."""
        return _ref(schema.__name__) if isinstance(schema, type) else schema


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REFERENCE + name}


def _operation(route: Route, names: _Names) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.words,
        "description": f"{route.words}\n\n{route.more}".strip(),
        "parameters": [_parameter(parameter) for parameter in route.parameters],
        "responses": _responses(route, names),
    }
    if route.body is not None:
        content = {media: {"schema": names.of(schema)} for media, schema in route.body.types.items()}
        found["requestBody"] = {"required": True, "description": route.body.words, "content": content}
    return found


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = parameter.kind.schema()
    if parameter.many:
        schema = {"type": "array", "items": schema, "maxItems": parameter.many_max}
    elif isinstance(parameter.default, int | str):
        schema = {**schema, "default": parameter.default}
    name = "Last-Event-ID" if parameter.name == "last-event-id" else parameter.name
    found: dict[str, Any] = {"name": name, "in": parameter.place, "description": parameter.words, "schema": schema}
    if parameter.many:
        found |= {"style": "form", "explode": True}
    return {**found, "required": True} if parameter.place == "path" else found


def _responses(route: Route, names: _Names) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for reply in route.replies:
        answer = found.setdefault(str(reply.status), {"description": reply.words, "content": {}})
        answer["content"][reply.content_type] = {"schema": names.of(reply.schema)}
    by_status: dict[str, list[str]] = {}
    for code in _codes(route):
        by_status.setdefault(str(STATUS[code]), []).append(code)
    for status, codes in sorted(by_status.items()):
        found[status] = _problem(codes)
    found["default"] = {"description": "Any other refusal.", "content": {PROBLEM: {"schema": _ref("Problem")}}}
    return found


def _codes(route: Route) -> tuple[str, ...]:
    """All codes that the operation's handler and the checks before it may answer with."""
    codes = list(route.problems)
    codes += [BAD_REQUEST] if BAD_REQUEST not in codes else []
    codes += [UNSUPPORTED_MEDIA_TYPE, TOO_LARGE] if route.body is not None else []
    return tuple(dict.fromkeys(codes))


def _problem(codes: list[str]) -> dict[str, Any]:
    words = "; ".join(f"`{code}`: {CODES[code].meaning}" for code in codes)
    schema = {"allOf": [_ref("Problem"), {"type": "object", "properties": {"code": {"enum": codes}}}]}
    found: dict[str, Any] = {"description": words, "content": {PROBLEM: {"schema": schema}}}
    if any(STATUS[code] in (409, 429, 503) for code in codes):
        header = {"description": "Seconds to wait at least.", "schema": {"type": "integer", "minimum": 0}}
        found["headers"] = {"Retry-After": header}
    return found


# -- Applications -------------------------------------------------------------------------------------


def _value_schema(spaces: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What GET /v1/state/{space} answers: one form for each space."""
    return {"oneOf": [_value_of(space) for space in spaces]}


def _value_of(space: Mapping[str, Any]) -> dict[str, Any]:
    parts = {part["name"]: {**_PARTS[part["type"]], "description": part["words"]} for part in space["key"]}
    return {
        "type": "object",
        "title": space["name"],
        "properties": {
            "space": {"const": space["name"]},
            "key": {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False},
            "value": _ref(f"state.{space['name']}"),
            "height": {"type": "integer", "minimum": 0},
        },
        "required": ["space", "key", "value", "height"],
        "additionalProperties": False,
    }


_PARTS: Final[Mapping[str, dict[str, Any]]] = {
    "bytes": {"type": "string", "pattern": "^([0-9a-f]{2})*$"},
    "text": {"type": "string"},
    "integer": {"type": "integer", "minimum": 0, "maximum": limits.U63_MAX},
}


def _application_schemas(offered: Mapping[str, Any]) -> dict[str, Any]:
    found = {f"state.{space['name']}": space["value"] for space in offered["spaces"]}
    for application in offered["applications"]:
        for operation in application["operations"]:
            name = f"{application['name']}.{operation['name']}"
            found[f"operation.{name}"] = operation["arguments"]
            if operation["result"] is not None:
                found[f"result.{name}"] = operation["result"]
    return found


def _application(application: Mapping[str, Any]) -> dict[str, Any]:
    """As described, with references in the place of schemas."""
    operations = []
    for operation in application["operations"]:
        name = f"{application['name']}.{operation['name']}"
        result = None if operation["result"] is None else _ref(f"result.{name}")
        operations.append({**operation, "arguments": _ref(f"operation.{name}"), "result": result})
    return {**application, "operations": operations}
