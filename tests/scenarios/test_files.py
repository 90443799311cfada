"""Scenario files: the shipped ones, the vocabulary, and what a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.files import read
from daemon.config.problems import ConfigurationFault, all_keys
from daemon.scenarios.durations import LONGEST_US, format_duration, parse_duration
from daemon.scenarios.meaning import to_scenario
from daemon.scenarios.shipped import directory, load, names, scenarios
from daemon.scenarios.tables import ScenarioFile
from daemon.scenarios.write import to_toml
from protocol.sim.faults import FAULTS
from protocol.sim.scenarios import Scenario
from protocol.sim.timetable import At

ROOT = Path(__file__).resolve().parents[2]


def test_there_are_many_and_each_has_a_sentence() -> None:
    assert len(names()) >= 30
    told = [scenario.words for scenario in scenarios().values()]
    assert len(set(told)) == len(told)
    assert all(words.endswith(".") and len(words.split()) > 2 for words in told)


def test_every_fault_is_in_some_scenario() -> None:
    used = {fault for scenario in scenarios().values() for fault, _ in scenario.faults.weights}
    used |= {entry.fault for scenario in scenarios().values() for entry in scenario.timetable}
    assert used == set(FAULTS)


@pytest.mark.parametrize("name", names())
def test_what_is_written_is_read_again(name: str, tmp_path: Path) -> None:
    value = read(directory() / f"{name}.toml", ScenarioFile).value
    (tmp_path / "again.toml").write_text(to_toml(value))
    assert read(tmp_path / "again.toml", ScenarioFile).value == value


def test_defaults_of_a_file_are_the_simulators_own() -> None:
    made = to_scenario(ScenarioFile(words="nothing at all"), "x")
    assert made == Scenario("x", "nothing at all", source="x")


def test_a_timetable_means_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'words = "One is cut off."\n[[at]]\ntime = "5 s"\nfault = "isolate"\nnodes = [3]\nlasts = "30 s"\n'
        '[[at]]\nheight = 7\nfault = "clock_skew"\nnodes = [0, 1]\nby = "-1 d"\nlasts = "2 min"\nstagger = "1 s"\n'
    )
    scenario = load(str(file))
    assert scenario.source == str(file)
    first, second = scenario.timetable
    assert (first.time_us, first.aim.nodes, first.aim.lasts_us) == (5_000_000, (3,), 30_000_000)
    assert (second.height, second.aim.amount) == (7, -86_400_000)
    assert [(after, aim.nodes) for after, aim in second.strikes()] == [(0, (0,)), (1_000_000, (1,))]
    assert second.span_us == 121_000_000


def test_repetitions_and_their_span() -> None:
    entry = At("crash", time_us=0, times=3, every_us=10)
    assert [after for after, _ in entry.strikes()] == [0, 10, 20]


JOINS = 'words = "A mistake."\n'


@pytest.mark.parametrize(
    "text,line,told",
    [
        ("members = 4\n", 0, "words: expected this key"),
        ('words = "A mistake."\nmembres = 4\n', 2, "the nearest known key is members"),
        ('words = "A mistake."\nmembers = 0\n', 2, "members: expected at least 1; found 0"),
        ('words = "A mistake."\n[timing]\ndelta = 100\n', 3, "timing.delta: expected a duration"),
        ('words = "A mistake."\n[timing]\ndelta = "1 s"\nretry_interval = "1 ms"\n', 2, "parameters that fit together"),
        ('words = "A mistake."\n[load]\nbusy = ["2 s", "1 s"]\n', 3, "the shorter duration first"),
        ('words = "A mistake."\n[faults.weights]\ncrsh = 1\n', 3, "the nearest known key is crash"),
        ('words = "A mistake."\nbyzantine = ["silent_leder"]\n', 2, "the nearest known key is silent_leader"),
        ('words = "A mistake."\nbyzantine = ["silent_leader", "double_voter"]\n', 2, "liars with a power of at most 1"),
        ('words = "A mistake."\npowers = [1, 2]\n', 2, "a power for each of 4 members; found 2"),
        ('words = "A mistake."\ntopology = "rign"\n', 2, "topology: expected one of"),
        ('words = "A mistake."\n[[at]]\nfault = "crash"\nlasts = "1 s"\n', 2, "exactly one of time, height"),
        ('words = "A mistake."\n[[at]]\ntime = "1 s"\nfault = "crash"\n', 2, "at[0].lasts: expected how long it lasts"),
        (
            JOINS + "real_signatures = true\n[storage]\nby_snapshot = [3]\n",
            4,
            "with it `snapshot_interval`; found none",
        ),
        (JOINS + '[storage]\nsnapshot_interval = "1 s"\nby_snapshot = [3]\n', 4, "with it `real_signatures = true`"),
        (JOINS + '[storage]\nsnapshot_interval = "1 us"\n', 3, "1 ms at least, or 0 s"),
        (JOINS + "[storage]\npruned = [4]\n", 3, "nodes from 0 to 3; found 4"),
        (JOINS + "[storage]\npruned = [0, 1, 2, 3]\n", 3, "one node at least that keeps all"),
        (JOINS + "[storage]\nkeep_blocks = 0\n", 3, "storage.keep_blocks: expected at least 1"),
        (
            JOINS + '[timing]\nenvelope_ttl_max = "5 s"\n',
            0,
            "load.lifetime: expected less than timing.envelope_ttl_max",
        ),
        (JOINS + "[timing]\nbatch_ttl_max = 32\n", 2, "batch_ttl_max must be more than 4 x execution_lag_max"),
        (JOINS + '[[at]]\njoining = 3\nfault = "crash"\nlasts = "1 s"\n', 3, "one of storage.by_snapshot; found 3"),
        (
            'words = "A mistake."\n[[at]]\ntime = "1 s"\nfault = "crash"\nlasts = "1 s"\nnodes = [4]\n',
            6,
            "nodes from 0 to 3; found 4",
        ),
        (
            'words = "A mistake."\n[[at]]\ntime = "1 s"\nfault = "crash"\nlasts = "1 s"\nby = "1 d"\n',
            6,
            "for crash only nodes, lasts",
        ),
        (
            'words = "A mistake."\n[[at]]\ntime = "1 s"\nfault = "partition"\nlasts = "1 s"\ngroups = [[0, 1], [1]]\n',
            6,
            "each node once",
        ),
        (
            'words = "A mistake."\n[[at]]\ntime = "1 s"\nfault = "crash"\nlasts = "1 s"\ntimes = 3\n',
            6,
            "with it `every`",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, line: int, told: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationFault) as caught:
        load(str(file))
    assert told in str(caught.value)
    assert caught.value.problems[0].line == line


def test_a_name_that_is_not_known_gets_the_nearest() -> None:
    with pytest.raises(ConfigurationFault, match="nearest known key is crashes"):
        load("chrashes")


@given(st.integers(-LONGEST_US, LONGEST_US))
def test_durations_are_read_as_they_are_written(us: int) -> None:
    text = format_duration(us)
    if len(text.lstrip("-").split()[0]) <= 12:
        assert parse_duration(text) == us


@pytest.mark.parametrize("text", ["1", "1.5 s", "s", "1 m", "1  s", "99999999999 d", 5, None, "+1 s"])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_every_key_is_documented() -> None:
    page = (ROOT / "protocol/sim/SPECIFICATION.md").read_text()
    for key in all_keys(ScenarioFile):
        name = key.rpartition(".")[2]
        assert f"`{name}`" in page or f"[{name}]" in page, key
    for fault in FAULTS:
        assert f"`{fault}`" in page, fault
