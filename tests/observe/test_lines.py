"""One canonical line for each block and each refused thing."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from daemon.observe.lines import FINAL_REMEMBERED, Lines
from daemon.observe.logs import configure
from protocol.ledger.records import Executed
from protocol.node.interface import BlockExecuted, Fate, Note, Outcome, Refusal


class Limiter:
    """Lets the first of a kind pass, and says what it was asked."""

    def __init__(self) -> None:
        self.kinds: dict[str, int] = {}

    def allow(self, kind: str) -> int | None:
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        return 0 if self.kinds[kind] == 1 else None


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    handlers, level = logging.root.handlers[:], logging.root.level
    stream = io.StringIO()
    configure(stream=stream)
    yield stream
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def read(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def outcome(code: str, *, final: bool = True) -> Outcome:
    fate = Fate.FINAL if final else Fate.SKIPPED
    return Outcome(b"\x01" * 32, b"\x02" * 32, b"\x03" * 16, fate, code, 1 if final else None)


def result(height: int, *outcomes: Outcome) -> BlockExecuted:
    return BlockExecuted(Executed(height, b"\x05" * 32, 9, b"\x06" * 32), outcomes)


def test_a_block_is_one_line_with_all_there_is_to_know(stream: io.StringIO) -> None:
    lines = Lines(Limiter(), lambda: 1_500)
    lines.note(Note("block_final", {"height": 7, "hash": b"\x09" * 32, "batches": 2, "proposer": b"\x08" * 32}))
    lines.block(result(7, outcome("ok"), outcome("ok"), outcome("forbidden")), 1_400)
    (line,) = read(stream)
    expected = {
        "event": "block",
        "height": 7,
        "transactions": 3,
        "failed": {"forbidden": 1},
        "skipped": 0,
        "log_size": 9,
        "delay_ms": 100,
        "batches": 2,
        "hash": "09" * 32,
        "state_root": "05" * 32,
    }
    assert expected.items() <= line.items()
    assert lines.counters["transactions"] == 3
    assert lines.counters["transactions_failed"] == 1


def test_a_skipped_envelope_has_a_line_of_its_own(stream: io.StringIO) -> None:
    lines = Lines(Limiter(), lambda: 0)
    lines.block(result(7, outcome("expired", final=False)), 0)
    assert [line["event"] for line in read(stream)] == ["block", "skipped"]
    assert read(stream)[1]["code"] == "expired"


def test_a_refusal_is_one_line_repetition_is_limited_and_counted(stream: io.StringIO) -> None:
    limiter = Limiter()
    lines = Lines(limiter, lambda: 0)
    for _ in range(3):
        lines.note(Note("envelope_refused", {"code": "expired", "words": "too late", "transaction": None}))
    lines.refused(Refusal("pool_full", "full"), "api", count=50)
    assert [(line["event"], line["code"]) for line in read(stream)] == [
        ("refused", "expired"),
        ("refused", "pool_full"),
    ]
    assert lines.counters["refused_expired"] == 3
    assert lines.counters["refused_pool_full"] == 50


def test_a_note_cannot_take_the_place_of_the_lines_own_facts(stream: io.StringIO) -> None:
    Lines(Limiter(), lambda: 0).note(Note("odd", {"event": "block", "time": 1, "level": "x"}))
    (line,) = read(stream)
    assert (line["event"], line["event_"]) == ("odd", "block")


def test_what_is_kept_of_blocks_that_are_never_executed_is_bounded(stream: io.StringIO) -> None:
    lines = Lines(Limiter(), lambda: 0)
    for height in range(2 * FINAL_REMEMBERED):
        lines.note(Note("block_final", {"height": height}))
    assert len(lines._final) == FINAL_REMEMBERED
