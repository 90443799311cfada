"""Two reports side by side: differences, which way is better, and loud words where the conditions differ."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from daemon import cli
from daemon.bench.comparing import at, compared, comparison_lines, read_report, verdict
from protocol.errors import OperatorFault
from tests.bench.made import make_report


def test_equal_reports_have_no_difference_and_no_warning() -> None:
    found = compared(make_report(), make_report())
    assert found["warnings"] == []
    assert all(row["same"] for row in found["conditions"])
    figures = [row for workload in found["workloads"] for row in workload["figures"]]
    assert {row["verdict"] for row in figures} == {"same"}
    assert {row["change_percent"] for row in figures} <= {0.0, None}
    assert len(figures) > 20, "of both workloads"


def test_a_difference_is_told_with_its_direction() -> None:
    before, after = make_report(), make_report()
    measured = after["workloads"][0]["measured"]
    measured["final_a_second"] = 16.0
    measured["latency_final"]["p99_ms"] = 75.0
    measured["cpu"]["parts_seconds"]["api"] = 1.0
    rows = {row["path"]: row for row in compared(before, after)["workloads"][0]["figures"]}
    final, p99 = rows["measured.final_a_second"], rows["measured.latency_final.p99_ms"]
    assert (final["before"], final["after"], final["change_percent"], final["verdict"]) == (8.0, 16.0, 100.0, "better")
    assert (p99["change_percent"], p99["verdict"]) == (50.0, "worse")
    assert rows["measured.cpu.parts_seconds.api"]["words"] == "CPU seconds, api"
    assert rows["measured.cpu.parts_seconds.api"]["change_percent"] is None, "there was nothing before"


def test_other_conditions_are_warned_of() -> None:
    before, after = make_report(), make_report()
    after["conditions"] = copy.deepcopy(after["conditions"])
    after["conditions"]["cores"] = 8
    after["conditions"]["libraries"] = {"trio": "0.99"}
    after["conditions"]["fsync_ms"] = {"p50_ms": 0.9, "p99_ms": 3.0}
    after["conditions"]["commit"] = "abc"
    before["conditions"] = {**before["conditions"], "load_average_before": [1.7, 1.0, 0.5]}
    after["workloads"][0]["mix"] = "another"
    after["workloads"][0]["measured"]["connections"] = 64
    del after["workloads"][1]
    warnings = compared(before, after)["warnings"]
    assert warnings == [
        "the conditions differ: libraries: trio 0.31 and 0.99",
        "the conditions differ: cores: 2 and 8",
        "the conditions differ: making 4 KiB durable takes 0.2 and 0.9 ms (p50)",
        "before: the machine was busy when the bench began (load average 1.7)",
        "idle is in one report only",
        "single: the mix differs",
        "single: connections differs, 2 and 64",
    ]
    lines = list(comparison_lines(compared(before, after), "a.json", "b.json"))
    assert lines[0] == "WARNING  the conditions differ: libraries: trio 0.31 and 0.99"
    assert any("libraries.trio" in line and "0.31" in line and "0.99" in line for line in lines)
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize(
    ("before", "after", "better", "told"),
    [(1, 2, "higher", "better"), (1, 2, "lower", "worse"), (2, 1, "lower", "better"), (1, 1, "lower", "same"),
     (1, 2, "neither", "changed")],
)  # fmt: skip
def test_which_way_is_better(before: float, after: float, better: str, told: str) -> None:
    assert verdict(before, after, better) == told


def test_a_path_finds_what_is_there_and_nothing_else() -> None:
    value = {"a": {"b": [1, {"c": 2}]}}
    assert (at(value, "a.b.0"), at(value, "a.b.1.c"), at(value, "a.b.9"), at(value, "a.x.y")) == (1, 2, None, None)


@pytest.mark.parametrize("text", ["", "[]", '{"papilio_bench": 2}', '{"papilio_bench": 2, "conditions": 1}'])
def test_what_is_no_report_is_refused_in_words(tmp_path: Path, text: str) -> None:
    file = tmp_path / "r.json"
    file.write_text(text)
    with pytest.raises(OperatorFault, match=r"is no report of papilio bench; one is written by"):
        read_report(file)
    file.write_text(json.dumps({**make_report(), "papilio_bench": 1}))
    with pytest.raises(OperatorFault, match="format 1, and this program compares 2"):
        read_report(file)


def test_the_command_compares_for_people_and_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file in files:
        file.write_text(json.dumps(make_report()))
    assert cli.main(["bench", "compare", *map(str, files)]) == 0
    assert "final a second" in capsys.readouterr().out
    assert cli.main(["bench", "compare", *map(str, files), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["workloads"][0]["name"] == "single"
    assert cli.main(["bench", "compare", str(files[0]), str(tmp_path / "absent")]) == 2
    files[0].write_text("{}")
    assert cli.main(["bench", "compare", *map(str, files)]) == 78


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["single", "--mix", "gold=1"], "--mix: 'gold=1' is not NAME=NUMBER"),
        (["single", "--size", "100"], "--operations and --size are of a --mix"),
        (["light", "--one-a-request", "--each", "5"], "contradict each other"),
        (["quick"], "'quick' is not one of"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_started(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_the_help_of_the_group_names_every_workload(capsys: pytest.CaptureFixture[str]) -> None:
    from daemon.bench.kinds import DEFAULT, KINDS
    from daemon.cli import bench

    assert tuple(KINDS) == bench.WORKLOADS
    assert DEFAULT == bench.DEFAULT
    assert cli.main(["bench", "--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"    {name} " in told or f"  {name} " in told for name in KINDS)
    assert cli.main(["bench", "catch-up", "--nodes", "3"]) == 1
    assert "catch-up needs 4 nodes" in capsys.readouterr().err
