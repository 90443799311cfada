"""`papilio sim`, as a person and a program use it."""

from __future__ import annotations

import json
from pathlib import Path

from daemon.cli.exits import ExitCode
from tests.cli.calling import Call

LATE = """words = "One Δ is not enough for anybody."
bound_deltas = 1
[faults]
until = "300 ms"
[[at]]
time = "100 ms"
fault = "power_cut"
lasts = "200 ms"
"""


def test_list(call: Call) -> None:
    said = call("sim", "list")
    assert said.code == 0
    assert "rolling-restart" in said.out
    assert len(call("sim", "list", "--json").json) >= 30
    faults = call("sim", "list", "--faults", "--json").json
    assert {"fault": "crash", "words": "a machine stops at once and starts again", "takes": ["nodes"]} in faults[
        "faults"
    ]
    assert "silent_leader" in faults["actors"]
    assert "damaged_segment" in call("sim", "list", "--faults").out


def test_the_same_seed_prints_the_same_bytes(call: Call) -> None:
    first, second = call("sim", "run", "one-power-cuts", "--seed", 3), call("sim", "run", "one-power-cuts", "--seed", 3)
    assert first.code == 0
    assert first.out == second.out
    assert first.out.startswith("scenario one-power-cuts seed 3: ok\n")
    assert "simulated seconds a second" in first.err
    value = call("sim", "run", "one-power-cuts", "--seed", 3, "--json").json
    assert value["ok"] is True
    assert value["happened"][0]["fault"] == "crash"


def test_a_failing_run_says_what_and_shows_columns_and_the_command_and_shrinks(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "late.toml"
    file.write_text(LATE)
    said = call("sim", "run", file, "--seed", 2)
    assert said.code == ExitCode.FAILED
    assert "VIOLATED liveness" in said.out
    head = next(line for line in said.out.splitlines() if line.strip().startswith("time "))
    assert [head.index(f"node {index}") for index in range(4)] == [14, 52, 90, 128]
    assert "fault: power_cut for 200 ms" in said.out
    assert said.out.endswith(f"repeat with: papilio sim run {file} --seed 2\n")
    smaller = tmp_path / "smaller.toml"
    told = call("sim", "shrink", file, "--seed", 2, "--runs", 12, "-o", smaller)
    assert told.code == 0
    assert f"papilio sim run {smaller} --seed" in told.out
    seed = told.out.split("--seed ")[1].split()[0]
    again = call("sim", "run", smaller, "--seed", seed)
    assert again.code == ExitCode.FAILED
    assert "VIOLATED liveness" in again.out
    searched = call("sim", "search", file, "--seeds", "2..3", "--jobs", 1)
    assert searched.code == ExitCode.FAILED
    assert "1 runs, 1 with a fault, 1 failed" in searched.out, "it stops at the first"
    collected = call("sim", "search", file, "--seeds", "2..3", "--jobs", 1, "--collect", "--json")
    assert collected.code == ExitCode.FAILED
    assert collected.json["scenarios"][0]["failed"] == [{"seed": seed, "rule": "liveness"} for seed in (2, 3)]
    assert len(collected.json["failures"]) == 2


def test_nothing_to_shrink(call: Call) -> None:
    said = call("sim", "shrink", "one", "--seed", 1, "--json")
    assert said.code == ExitCode.FAILED
    assert said.json["error"]["code"] == "not_failing"


def test_search_counts(call: Call) -> None:
    said = call("sim", "search", "one", "one-power-cuts", "--seeds", "1..2", "--jobs", 1)
    assert said.code == 0
    assert "one: 2 seeds, 0 with a fault, 0 failed" in said.out
    assert "4 runs, 2 with a fault, 0 failed" in said.out


def test_a_search_that_was_stopped_goes_on_with_its_record(call: Call, tmp_path: Path) -> None:
    """Steps: two seeds; the last line is cut off; three seeds: one is repeated, one is new; another program: all."""
    file = tmp_path / "runs.jsonl"
    asked = ("sim", "search", "one-power-cuts", "--jobs", 1, "--record", file)
    first = call(*asked, "--seeds", "1..2")
    assert "0 runs of these scenarios, 0 other lines" in first.err
    lines = file.read_text().splitlines()
    assert len(lines) == 2
    file.write_text(lines[0] + "\n" + lines[1][:-20])
    again = call(*asked, "--seeds", "1..3")
    assert "1 runs of these scenarios, 1 other lines passed over" in again.err
    assert [json.loads(line)["seed"] for line in file.read_text().splitlines() if line.endswith("}")] == [1, 2, 3]
    plain = call("sim", "search", "one-power-cuts", "--jobs", 1, "--seeds", "1..3")
    assert again.out == plain.out
    file.write_text(lines[0].replace('"of": "', '"of": "0') + "\n")
    assert "0 runs of these scenarios, 1 other lines" in call(*asked, "--seeds", "1..1").err


def test_plot_and_scale(call: Call, tmp_path: Path) -> None:
    said = call("sim", "plot", "one-power-cuts", "--seed", 1, "-o", tmp_path / "run.html")
    assert said.code == 0
    assert "<svg" in (tmp_path / "run.html").read_text()
    values = call("sim", "scale", "--members", "1,2", "--json").json
    assert [value["members"] for value in values] == [1, 2]
    assert values[1]["a_block"]["messages"] > values[0]["a_block"]["messages"] == 0


def test_mistakes(call: Call, tmp_path: Path) -> None:
    assert call("sim", "run", "chrashes").code == ExitCode.CONFIGURATION
    assert call("sim", "search").code == ExitCode.USAGE
    assert call("sim", "search", "one", "--all").code == ExitCode.USAGE
    for seeds in ("5..1", "x", "1..", "1...2"):
        assert call("sim", "search", "one", "--seeds", seeds).code == ExitCode.USAGE, seeds
    assert call("sim", "scale", "--members", "0,4").code == ExitCode.USAGE
    (tmp_path / "wrong.toml").write_text('words = "A mistake."\nmembres = 4\n')
    said = call("sim", "run", tmp_path / "wrong.toml")
    assert said.code == ExitCode.CONFIGURATION
    assert "wrong.toml:2:1" in said.err
    assert "members" in said.err
