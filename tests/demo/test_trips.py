"""Trips from CSV: columns by name, times and claims, rows that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config.problems import ConfigurationFault
from daemon.demo.data import TRIPS, TRIPS_SYSTEM
from daemon.demo.trips import COLUMNS, TripFile, read_trips
from protocol.apps.points.records import claim_key

ROW = {
    "started_at": "2024-02-01 04:04:32.892000+00:00",
    "ended_at": "2024-02-01 04:13:23.943000+00:00",
    "start_station_id": "407",
    "start_station_latitude": "59.937743",
    "start_station_longitude": "10.751648",
    "end_station_id": "413",
    "end_station_latitude": "59.929045",
    "end_station_longitude": "10.716926",
}


def write(folder: Path, *rows: dict[str, str], columns: tuple[str, ...] = COLUMNS, delimiter: str = ",") -> Path:
    lines = [delimiter.join(columns), *(delimiter.join(row[name] for name in columns) for row in rows)]
    file = folder / "trips.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def read(file: Path, trips_max: int = 100) -> TripFile:
    return read_trips(file, "oslo", trips_max)


def problems(file: Path) -> list[str]:
    with pytest.raises(ConfigurationFault) as caught:
        read(file)
    return [str(problem) for problem in caught.value.problems]


def test_the_carried_file() -> None:
    file = read_trips(TRIPS, TRIPS_SYSTEM, 5_000)
    assert len(file.trips) == file.rows == 5_000
    assert file.left_out == ()
    assert len({trip.claim for trip in file.trips}) == 5_000
    assert sum(trip.distance_m == 0 for trip in file.trips) == 119
    assert sum(trip.distance_m for trip in file.trips) == 6_749_171
    assert (file.trips[0].line, file.trips[-1].line) == (2, 5_001)


def test_a_trip_is_its_system_times_and_stations(tmp_path: Path) -> None:
    (trip,) = read(write(tmp_path, ROW)).trips
    assert (trip.started_ms, trip.ended_ms) == (1_706_760_272_892, 1_706_760_803_943)
    assert trip.claim == claim_key(b"oslo", b"1706760272892", b"1706760803943", b"407", b"413")
    assert trip.distance_m == 2_162


def test_the_same_moment_in_another_spelling_is_the_same_claim(tmp_path: Path) -> None:
    """P-5: a second claim is refused however it is written."""
    first = read(write(tmp_path, ROW)).trips[0]
    other = {**ROW, "started_at": "2024-02-01T05:04:32.892+01:00", "ended_at": "2024-02-01T04:13:23.943Z"}
    assert read(write(tmp_path, other)).trips[0].claim == first.claim
    assert read(write(tmp_path, {**ROW, "end_station_id": "414"})).trips[0].claim != first.claim
    assert read_trips(write(tmp_path, ROW), "bergen", 1).trips[0].claim != first.claim


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_are_found_by_name_and_others_ignored(tmp_path: Path, delimiter: str) -> None:
    columns = ("weather", *reversed(COLUMNS), "rider_name")
    row = {**ROW, "weather": "snow", "rider_name": "nobody's business"}
    file = read(write(tmp_path, row, columns=columns, delimiter=delimiter))
    assert file.trips[0].claim == read(write(tmp_path, ROW)).trips[0].claim


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    file = write(tmp_path, ROW)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert len(read(file).trips) == 1


def test_missing_columns_are_told_with_their_nearest(tmp_path: Path) -> None:
    columns = tuple(name.replace("start_station_latitude", "start_lat_station") for name in COLUMNS[1:])
    file = write(tmp_path, {**ROW, "start_lat_station": "1"}, columns=columns)
    told = problems(file)
    assert len(told) == 2
    assert told[0].startswith(f"{file}:1:1: started_at: expected a column of this name")
    assert "the nearest is start_lat_station" in told[1]


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("started_at", "yesterday", "a time with its offset"),
        ("started_at", "2024-02-01 04:04:32", "a time with its offset"),
        ("started_at", "1969-12-31 23:59:59+00:00", "a time after 1970"),
        ("ended_at", "2024-02-01 04:00:00+00:00", "an end after the start"),
        ("end_station_id", "", "a value"),
        ("start_station_latitude", "59,9", "decimal degrees"),
        ("end_station_longitude", "181", "at most 180 degrees"),
    ],
)
def test_a_row_that_cannot_be_used_is_left_out_and_told(tmp_path: Path, column: str, value: str, expected: str) -> None:
    bad = {**ROW, column: value}
    file = read(write(tmp_path, ROW, bad, {**ROW, "start_station_id": "9"}, delimiter=";"))
    assert [trip.line for trip in file.trips] == [2, 4]
    (problem,) = file.left_out
    assert (problem.line, problem.column, problem.key) == (3, COLUMNS.index(column) + 1, column)
    assert expected in problem.expected


def test_short_rows_and_empty_lines(tmp_path: Path) -> None:
    file = write(tmp_path, ROW)
    file.write_text(file.read_text(encoding="utf-8") + "\n2024-02-01\n", encoding="utf-8")
    found = read(file)
    assert (len(found.trips), found.rows, len(found.left_out)) == (1, 2, 1)


def test_the_limit_counts_usable_trips(tmp_path: Path) -> None:
    file = write(tmp_path, {**ROW, "started_at": "x"}, ROW, ROW, ROW)
    found = read(file, 2)
    assert (len(found.trips), found.rows) == (2, 4)


def test_files_that_are_no_trips(tmp_path: Path) -> None:
    assert "found no such file or directory" in problems(tmp_path / "none.csv")[0]
    empty = tmp_path / "empty.csv"
    empty.write_bytes(b"")
    assert "an empty file" in problems(empty)[0]
    assert "at least one usable trip" in problems(write(tmp_path))[0]
    latin = tmp_path / "latin.csv"
    latin.write_bytes(b"started_at\nT\xf8yen\n")
    assert f"{latin}:2:1: expected text in UTF-8" in problems(latin)[0]
    broken = write(tmp_path, ROW)
    broken.write_text(broken.read_text(encoding="utf-8") + '"a"b,c\n', encoding="utf-8")
    assert "expected a row of CSV" in problems(broken)[0]
