"""`papilio lab`, as a person and a program use it; runs are in tests/lab/test_lab.py."""

from __future__ import annotations

from pathlib import Path

from daemon.cli.exits import ExitCode
from tests.cli.calling import Call


def test_list_says_which_can_be_run_for_how_long_and_why_others_cannot(call: Call) -> None:
    rows = {row["scenario"]: row for row in call("lab", "list", "--json").json}
    assert rows["ten"] == {"scenario": "ten", "runs": True, "nodes": 10, "span_ms": 35_000, "refused": []}
    assert not rows["forger"]["runs"]
    assert rows["forger"]["refused"] == ["byzantine: forger: liars are nodes that were altered"]
    said = call("lab", "list").out
    assert "halves-and-heal" in said
    assert "11.0 min" in said
    faults = {row["fault"]: row for row in call("lab", "list", "--faults", "--json").json}
    assert faults["pause"]["made"] is True
    assert "SIGSTOP" in faults["pause"]["words"]
    assert faults["clock_skew"]["made"] is False
    assert "on a stream nothing is lost" in call("lab", "list", "--faults").out


def test_what_cannot_be_made_is_refused_with_all_reasons_and_nothing_is_made(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = call("lab", "run", "clocks", "--out", out, "--json")
    assert said.code == ExitCode.CONFIGURATION
    told = said.json["error"]["refused"]
    assert [words.partition(": the")[0].partition(": a node")[0] for words in told] == [
        "faults.weights: quorum_ahead",
        "faults.weights: clock_skew",
    ]
    assert not out.exists()
    assert "--lenient" in call("lab", "run", "clocks").err


def test_wishes_that_make_no_sense(call: Call, tmp_path: Path) -> None:
    assert "give --seconds" in call("lab", "run", "two-of-four-paused", "--seconds", 2).err
    assert "nodes from 0 to 1" in call("lab", "run", "halves-and-heal", "--nodes", 2).err
    assert "the name of a scenario" in call("lab", "run", "no-such").err
    (tmp_path / "file").touch()
    said = call("lab", "run", "quiet", "--out", tmp_path)
    assert said.code == ExitCode.CONFIGURATION
    assert "name a new or empty directory" in said.err
