"""Logs: JSON for machines, readable on a terminal, and no secret, ever."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from daemon.limits import LOG_REPEATS_PER_MINUTE
from daemon.observe.logs import TEXT_MAX, WITHHELD, configure
from protocol.crypto.signing import SigningKey

SEED = bytes(range(1, 33))


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A log stream; the process's logging is as before afterwards."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield io.StringIO()
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def last(stream: io.StringIO) -> dict[str, Any]:
    parsed = json.loads(stream.getvalue().splitlines()[-1])
    assert isinstance(parsed, dict)
    return parsed


def test_a_line_for_machines_is_one_json_object(stream: io.StringIO) -> None:
    configure(stream=stream)
    structlog.get_logger().info("block", height=7, state_root=b"\x01" * 32, failed={"expired": 1}, words="two\nlines")
    assert stream.getvalue().count("\n") == 1
    line = last(stream)
    assert list(line)[:3] == ["time", "level", "event"]
    assert line["time"].endswith("Z")
    assert (line["event"], line["height"], line["state_root"]) == ("block", 7, "01" * 32)
    assert line["failed"] == {"expired": 1}


def test_a_terminal_gets_words(stream: io.StringIO) -> None:
    configure(stream=stream, machine=False)
    structlog.get_logger().info("block", height=7, hash=bytes(range(32)), batches=1, words="0" * 63 + "g")
    (line,) = stream.getvalue().splitlines()
    assert re.match(
        r"\d{4}-\d\d-\d\dT\S+Z \[info +\] block +height=7 hash=0001020304050607… batches=1 words=0{63}g$", line
    )


@pytest.mark.parametrize("machine", [True, False])
@pytest.mark.parametrize(
    "facts",
    [
        {"seed": SEED},
        {"node_seed_hex": SEED.hex()},
        {"voting_secret": SEED},
        {"private_key": SEED},
        {"key": SigningKey(SEED)},
        {"facts": {"inner": {"seed": SEED}, "key": SigningKey(SEED)}},
        {"items": [SigningKey(SEED)]},
        {"vars": SigningKey(SEED).__class__},
    ],
    ids=lambda facts: next(iter(facts)),
)
def test_no_seed_is_ever_printed(stream: io.StringIO, facts: dict[str, Any], machine: bool) -> None:
    configure(stream=stream, machine=machine)
    structlog.get_logger().warning("anything", **facts)
    assert_no_secret(stream.getvalue())
    assert "anything" in stream.getvalue()


def test_a_trace_shows_code_and_no_values(stream: io.StringIO) -> None:
    configure(stream=stream)
    seed = SEED
    try:
        SigningKey(seed).sign(None, b"", b"")  # type: ignore[arg-type]
    except (AttributeError, AssertionError):
        structlog.get_logger().exception("failed")
    assert "Traceback" in last(stream)["exception"]
    assert_no_secret(stream.getvalue())


def test_content_is_cut_to_its_length(stream: io.StringIO) -> None:
    """What clients send does not end in an operator's log."""
    configure(stream=stream)
    structlog.get_logger().info("x", data=b"m" * 65, words="w" * (TEXT_MAX + 1), secret_words="s")
    line = last(stream)
    assert line["data"] == "65 bytes"
    assert line["words"].endswith(f"({TEXT_MAX + 1} characters)")
    assert line["secret_words"] == WITHHELD


def test_lines_of_libraries_come_through_the_same_door(stream: io.StringIO) -> None:
    configure(stream=stream)
    logging.getLogger("hypercorn.error").warning("it %s", "happened")
    line = last(stream)
    assert (line["event"], line["logger"], line["words"]) == ("library", "hypercorn.error", "it happened")
    assert line["level"] == "warning"


def test_a_library_that_repeats_itself_does_not_fill_the_log(stream: io.StringIO) -> None:
    configure(stream=stream)
    for attempt in range(1_000):
        logging.getLogger("trio.serve_listeners").error("accept returned EMFILE, attempt %d", attempt)
    assert stream.getvalue().count("\n") == LOG_REPEATS_PER_MINUTE
    logging.getLogger("trio.serve_listeners").error("something else")
    assert last(stream)["words"] == "something else", "another place is another kind"


def assert_no_secret(text: str) -> None:
    forms = (SEED.hex(), SEED.hex().upper(), base64.b64encode(SEED).decode(), repr(SEED)[2:-1], str(list(SEED))[1:-1])
    for form in forms:
        assert form not in text
        assert form[:24] not in text
