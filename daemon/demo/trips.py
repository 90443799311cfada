"""Bicycle trips from a CSV file: columns are found by name, others are ignored.

What a trip is on the ledger:

* **Claim key**: the unsalted hash of the system's name, start and end in UTC milliseconds, and the two stations. So the
  same trip gives the same key whoever claims it, however its times were written, and a second claim is refused.
* **Quantity**: metres between the two stations by `protocol.apps.distance`, from the coordinates as decimal text. It is
  the straight line; a trip that ends where it began has zero metres and earns nothing.

A file without a needed column is refused, with its line and the nearest column that is there. A row that cannot be used
is left out and told: files of a whole month have some.
"""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from daemon.config.problems import ConfigurationFault, Problem
from protocol import limits
from protocol.apps.distance import distance_m, parse_degrees
from protocol.apps.points.records import claim_key
from protocol.errors import Refused

COLUMNS: Final = (
    *("started_at", "ended_at"),
    *("start_station_id", "start_station_latitude", "start_station_longitude"),
    *("end_station_id", "end_station_latitude", "end_station_longitude"),
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_DELIMITERS: Final = ",;\t"


@dataclass(frozen=True, slots=True)
class Trip:
    """One trip. Times in ms since 1970 (UTC), distance in metres; claim: 32 bytes; line: in its file, from 1."""

    claim: bytes
    started_ms: int
    ended_ms: int
    distance_m: int
    line: int


@dataclass(frozen=True, slots=True)
class TripFile:
    """What a file holds. trips: those that can be used, in order. left_out: rows that cannot, in words. rows: all."""

    file: Path
    trips: tuple[Trip, ...]
    left_out: tuple[Problem, ...]
    rows: int


class _BadRow(ValueError):
    """What is wrong with one value of a row: column, expected, found."""

    def __init__(self, column: str, expected: str, found: str) -> None:
        super().__init__(column)
        self.column = column
        self.expected = expected
        self.found = found


def read_trips(file: Path, system: str, trips_max: int) -> TripFile:
    """The first `trips_max` usable trips of a CSV file of the bicycle system `system`.

    Raises ConfigurationFault if the file cannot be read, lacks a column, or has no usable trip.
    """
    table = _read_rows(file)
    header = next(table, None)
    if header is None:
        raise ConfigurationFault([Problem(str(file), 1, 1, "", "a line with the names of columns", "an empty file")])
    places = _places(file, header)
    trips: list[Trip] = []
    left_out: list[Problem] = []
    rows = 0
    for row in table:
        if not any(field.strip() for field in row):
            continue
        rows += 1
        if len(trips) >= trips_max:
            continue
        try:
            trips.append(_trip(system, {name: _field(row, name, place) for name, place in places.items()}, table.line))
        except _BadRow as bad:
            left_out.append(Problem(str(file), table.line, places[bad.column] + 1, bad.column, bad.expected, bad.found))
    if not trips:
        nothing = Problem(str(file), 0, 0, "", "at least one usable trip", f"none in {rows} rows")
        raise ConfigurationFault([nothing, *left_out[:10]])
    return TripFile(file, tuple(trips), tuple(left_out), rows)


class _Rows:
    """The rows of a CSV file; `line` is where the last one ended, so a quoted line break does not shift it."""

    def __init__(self, file: Path, text: str) -> None:
        first = text.split("\n", 1)[0]
        delimiter = max(_DELIMITERS, key=first.count)
        self._file = file
        self._reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)

    @property
    def line(self) -> int:
        return self._reader.line_num

    def __iter__(self) -> _Rows:
        return self

    def __next__(self) -> list[str]:
        try:
            return next(self._reader)
        except csv.Error as fault:
            raise ConfigurationFault(
                [Problem(str(self._file), self.line, 1, "", "a row of CSV", str(fault))]
            ) from fault


def _read_rows(file: Path) -> _Rows:
    try:
        return _Rows(file, file.read_bytes().decode("utf-8-sig"))
    except OSError as fault:
        found = (fault.strerror or str(fault)).lower()
        raise ConfigurationFault([Problem(str(file), 0, 0, "", "a CSV file of trips", found)]) from fault
    except UnicodeDecodeError as fault:
        line = fault.object[: fault.start].count(b"\n") + 1
        raise ConfigurationFault([Problem(str(file), line, 1, "", "text in UTF-8", fault.reason)]) from fault


def _places(file: Path, header: Sequence[str]) -> dict[str, int]:
    """Where each needed column stands. Raises ConfigurationFault with every one that is missing, and its nearest."""
    names = [name.strip() for name in header]
    missing = []
    for column in COLUMNS:
        if column not in names:
            near = difflib.get_close_matches(column, [n for n in names if n not in COLUMNS], n=1, cutoff=0.4)
            found = f"no such column; the nearest is {near[0]}" if near else "no such column, and none like it"
            missing.append(Problem(str(file), 1, 1, column, "a column of this name", found))
    if missing:
        raise ConfigurationFault(missing)
    return {column: names.index(column) for column in COLUMNS}


def _field(row: Sequence[str], column: str, place: int) -> str:
    value = row[place].strip() if place < len(row) else ""
    if not value:
        raise _BadRow(column, "a value", "nothing")
    return value


def _trip(system: str, row: dict[str, str], line: int) -> Trip:
    started_ms, ended_ms = _time_ms(row, "started_at"), _time_ms(row, "ended_at")
    if ended_ms < started_ms:
        raise _BadRow("ended_at", "an end after the start", row["ended_at"])
    parts = (system, str(started_ms), str(ended_ms), row["start_station_id"], row["end_station_id"])
    return Trip(claim_key(*(part.encode() for part in parts)), started_ms, ended_ms, _metres(row), line)


def _time_ms(row: dict[str, str], column: str) -> int:
    expected = "a time with its offset, as in 2024-02-01 04:04:32.892+00:00"
    try:
        time = datetime.fromisoformat(row[column])
    except ValueError:
        raise _BadRow(column, expected, row[column]) from None
    if time.tzinfo is None:
        raise _BadRow(column, expected, row[column])
    time_ms = (time - _EPOCH) // _MILLISECOND
    if not 0 <= time_ms <= limits.U53_MAX:
        raise _BadRow(column, "a time after 1970", row[column])
    return time_ms


def _metres(row: dict[str, str]) -> int:
    names = [f"{end}_station_{part}" for end in ("start", "end") for part in ("latitude", "longitude")]
    for name in names:
        try:
            parse_degrees(row[name], 90 if name.endswith("latitude") else 180, name)
        except Refused as fault:
            raise _BadRow(name, fault.words.partition("expected ")[2], row[name]) from fault
    return distance_m(*(row[name] for name in names))
