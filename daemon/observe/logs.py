"""The log: one line an event, JSON for machines and readable on a terminal.

An event has a stable name (`block`, `refused`, `peer_up`), plain facts, a level and a UTC time. On a terminal
structlog's console form is used, everywhere else one JSON object a line on standard error, where systemd or a
container picks it up. Nothing is buffered, so a crash loses no line.

**No secret, ever.** Three fences, each tested:

* Names: a fact whose name says secret (`seed`, `secret`, `password`, ...) is shown as `(withheld)`.
* Types: only plain values are shown: numbers, booleans, short text, bytes as hex up to 64 bytes. Any other object shows
  as the name of its type: no `repr` of ours or a library's decides what gets into the log.
* Content: longer bytes and text are cut to their length, so a client's data does not end in an operator's log.

Traces of exceptions hold code lines, never values (`show_locals` is off). Lines of libraries that use the
standard library's logging come through the same door, a few a minute of each kind: Trio says ten times a second that no
descriptor is left for the next client.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, TextIO

import structlog

from daemon.observe.limited import Limited

WITHHELD: Final = "(withheld)"
TEXT_MAX: Final = 2_000
"""Characters of one fact: words of a refusal fit many times; a trace has a bound of its own."""
TRACE_MAX: Final = 20_000
BYTES_MAX: Final = 64
HASH_BYTES: Final = 32
HEX_SHOWN: Final = 16
"""Digits of a hash or key on a terminal."""
_HEX: Final = frozenset("0123456789abcdef")
_SECRET_NAMES: Final = ("seed", "secret", "password", "passphrase", "private", "credential", "token", "signing_key")

Event = MutableMapping[str, Any]


Processor = Callable[[Any, str, Event], Event]


def configure(
    *,
    stream: TextIO | None = None,
    machine: bool | None = None,
    level: int = logging.INFO,
    also: Processor | None = None,
) -> None:
    """Set up logging for this process.

    stream: standard error unless given. machine: JSON lines; by default when the stream is no terminal.
    level: of `logging`; lines below it cost next to nothing.
    also: sees every line's facts, plain already: what keeps the last ones for a crash report.
    """
    stream = sys.stderr if stream is None else stream
    machine = not stream.isatty() if machine is None else machine
    terminal = structlog.dev.ConsoleRenderer(colors=stream.isatty(), sort_keys=False, timestamp_key="time")
    last: tuple[Any, ...] = (to_json,) if machine else (short, terminal)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            plain,
            *([also] if also is not None else []),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Forward()], level=max(level, logging.WARNING), force=True)


def plain(_logger: Any, _method: str, event: Event) -> Event:
    """Make every fact plain and harmless (see the essay)."""
    return {name: _safe(name, value) for name, value in event.items()}


def short(_logger: Any, _method: str, event: Event) -> Event:
    """For a terminal: of hashes and keys so much as the eye compares; machines get them whole."""
    return {name: _short(value) for name, value in event.items()}


def to_json(_logger: Any, _method: str, event: Event) -> str:
    """One line; `event`, `level` and `time` first, then the facts in the order given."""
    head = {name: event.pop(name) for name in ("time", "level", "event") if name in event}
    return json.dumps(head | dict(event), ensure_ascii=False, separators=(",", ":"))


def _safe(name: str, value: Any) -> Any:
    if any(part in name.lower() for part in _SECRET_NAMES):
        return WITHHELD
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return value.hex() if len(value) <= BYTES_MAX else f"{len(value)} bytes"
    if isinstance(value, str):
        longest = TRACE_MAX if name in ("exception", "trace") else TEXT_MAX
        return value if len(value) <= longest else f"{value[:longest]}... ({len(value)} characters)"
    if isinstance(value, list | tuple):
        return [_safe(name, item) for item in value[:64]]
    if isinstance(value, Mapping):
        return {str(key): _safe(str(key), item) for key, item in list(value.items())[:64]}
    return f"({type(value).__name__})"


def _short(value: Any) -> Any:
    if type(value) is str and len(value) >= 2 * HASH_BYTES and _HEX.issuperset(value):
        return f"{value[:HEX_SHOWN]}…"
    return value


class _Forward(logging.Handler):
    """Lines of the standard library's logging, as events of their own; the kind is the logger and the place."""

    def __init__(self) -> None:
        super().__init__()
        self._limited = Limited()

    def emit(self, record: logging.LogRecord) -> None:
        left_out = self._limited.allow(f"{record.name}/{record.pathname}:{record.lineno}")
        if left_out is None:
            return
        facts: dict[str, Any] = {"logger": record.name, "words": record.getMessage()}
        if record.exc_info:
            facts["exc_info"] = record.exc_info
        if left_out:
            facts["left_out"] = left_out
        structlog.get_logger().log(record.levelno, "library", **facts)
