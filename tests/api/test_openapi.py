"""The description: valid by the standard's own schema, and drives requests that hold against it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgpack
import pytest
import schemathesis
import trio
from hypothesis import HealthCheck, settings
from openapi_spec_validator import OpenAPIV31SpecValidator

from daemon import limits
from daemon.api.docs import page
from daemon.api.problems import PRESSURE, STATUS
from daemon.api.table import table
from protocol.apps.registry import RULES
from protocol.errors import CODES
from tests.api.serving import DOCUMENT, Api, serving

EXAMPLES, EXAMPLES_LONG = 15, 1_000
LONG = settings.get_current_profile_name() == "long"
ENDLESS = "/v1/events"
"""An answer without an end; test_events.py has it."""


class Served:
    """A node in memory, served from a thread for clients that block."""

    def __init__(self) -> None:
        self.api: Api | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._run,))

    async def _run(self) -> None:
        with TemporaryDirectory() as directory:
            async with serving(Path(directory), patience_seconds=3_600) as self.api:
                self._token = trio.lowlevel.current_trio_token()
                self.api.node.make_block(self.api.node.envelopes(1, 3))
                self.api.node.make_block([])
                self._ready.set()
                await self.api.node.service.stopping()

    def __enter__(self) -> str:
        self._thread.start()
        assert self._ready.wait(20)
        assert self.api is not None
        return self.api.base

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        assert self.api is not None
        trio.from_thread.run_sync(self.api.stop, "the test is over", trio_token=self._token)
        self._thread.join()


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    """Where a node with two blocks is served."""
    with Served() as url:
        yield url


def test_the_document_is_valid() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_every_row_is_described_once() -> None:
    described = [(m.upper(), p) for p, methods in DOCUMENT["paths"].items() for m in methods]
    assert described == list(dict.fromkeys((route.method, route.path) for route in table()))
    names = [route.name for route in table()]
    assert len(set(names)) == len(names)


def test_every_application_is_described() -> None:
    """Operations, results and spaces of the rules, each with a schema of its own."""
    schemas = DOCUMENT["components"]["schemas"]
    for name, application in RULES[1].applications.items():
        for operation in application.operations.values():
            assert f"operation.{name}.{operation.name}" in schemas
    assert {f"state.{space}" for space in RULES[1].spaces} <= set(schemas)


def test_references_lead_somewhere() -> None:
    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    for reference in walk(DOCUMENT):
        assert reference.removeprefix("#/components/schemas/") in DOCUMENT["components"]["schemas"]


def test_codes_of_answers_are_of_the_table() -> None:
    """L-10."""
    assert set(STATUS) <= set(CODES)
    assert set(STATUS) >= PRESSURE
    assert [row["code"] for row in DOCUMENT["x-papilio-codes"]] == list(CODES)


def test_text_of_the_description_cannot_become_markup() -> None:
    spoiled = {**DOCUMENT, "info": {"title": "<b>", "version": "<i>", "description": "a <script> & `<u>`"}}
    text = page(spoiled, {})
    assert "<script" not in text
    assert "&lt;script&gt; &amp; <code>&lt;u&gt;</code>" in text


def octets(value: Any) -> Any:
    """What schemathesis made for a byte string; anything else stays as wrong as it is."""
    value = getattr(value, "data", value)
    return value.encode("utf-8", "replace") if isinstance(value, str) else value


@schemathesis.serializer("application/vnd.papilio.proof", "application/octet-stream")
def file_body(_context: Any, value: Any) -> bytes:
    """A body that is bytes."""
    data = octets(value)
    return data if isinstance(data, bytes) else repr(data).encode()


@schemathesis.serializer("application/msgpack")
def msgpack_body(_context: Any, value: Any) -> bytes:
    """A body of msgpack: an array of byte strings, or whatever else was made to be wrong."""
    wrong = {} if isinstance(value, bytes | str) else value
    packed: bytes = msgpack.packb([octets(item) for item in value] if isinstance(value, list) else wrong, default=str)
    return packed


SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SCHEMA.config.checks.negative_data_rejection.expected_statuses.append("431")  # which a long path or query gets


@SCHEMA.exclude(path=ENDLESS).parametrize()
@settings(
    max_examples=EXAMPLES_LONG if LONG else EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_schemathesis_finds_nothing(case: schemathesis.Case[Any], base: str) -> None:
    """Requests made from the description, right and wrong ones: every answer is as described, none is our failure."""
    wait_ms = str((case.query or {}).get("wait_ms", ""))
    if wait_ms.isdecimal() and 1 < int(wait_ms) <= limits.API_WAIT_MS_MAX:
        case.query["wait_ms"] = 1  # nothing becomes final here: the wait would only be long
    case.call_and_validate(base_url=base)
