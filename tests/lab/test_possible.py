"""What of a scenario is made on real processes, and that the rest is refused with reasons before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config.problems import ConfigurationFault
from daemon.lab.possible import MADE, NOT_MADE, Machine, in_words, refusals, without
from daemon.lab.preparing import NotPossible, Prepared, prepare
from daemon.lab.strikes import BEGIN
from daemon.scenarios.shipped import names, read_file
from protocol.errors import OperatorFault
from protocol.sim.faults import FAULTS

ROOT, USER = Machine(disks=True), Machine(disks=False)


def prepared(name: object, *, members: int | None = None, lenient: bool = False, machine: Machine = USER) -> Prepared:
    return prepare(str(name), members=members, seconds=None, lenient=lenient, machine=machine)


def test_every_fault_of_the_simulator_is_made_or_said_not_to_be() -> None:
    assert set(MADE) | set(NOT_MADE) == set(FAULTS)
    assert not set(MADE) & set(NOT_MADE)
    assert set(BEGIN) == set(MADE)


def test_every_shipped_scenario_is_run_or_refused_with_its_place() -> None:
    ran = []
    for name in names():
        value = read_file(name)[1].value
        refused = refusals(value, ROOT)
        if refused:
            with pytest.raises(NotPossible) as fault:
                prepared(name, machine=ROOT)
            assert all(str(refusal) in fault.value.words for refusal in refused)
        else:
            ran.append(prepared(name, machine=ROOT).scenario.name)
    assert {"halves-and-heal", "ring-link-lost", "ten", "two-of-four-paused", "disk-full-for-days"} <= set(ran)
    assert len(ran) >= 40


def test_liars_and_loose_links_are_refused() -> None:
    told = [refusal.what for refusal in refusals(read_file("seven-liars")[1].value, ROOT)]
    assert told == ["byzantine: forger, false_executor"]
    (loose,) = refusals(read_file("lossy")[1].value, ROOT)
    assert loose.what == "link.ordered = false"
    assert "TCP" in loose.why


def test_what_speaks_of_snapshots_is_refused_and_the_rest_is_left() -> None:
    value = read_file("joins-by-snapshot")[1].value
    told = {refusal.what: refusal.why for refusal in refusals(value, ROOT)}
    assert "not judged here yet" in told["storage"]
    assert "not seen from outside" in told["at 2: crash"]
    left = without(value, refusals(value, ROOT))
    assert [entry.joining for entry in left.at] == [None, None]
    assert left.storage.by_snapshot == ()


def test_a_full_disk_needs_root() -> None:
    assert prepared("all-disks-full", machine=ROOT).left_out == []
    with pytest.raises(NotPossible, match="at 0: disk_full: a disk of its own for a node needs root"):
        prepared("all-disks-full")


def test_lenient_runs_the_rest_and_keeps_what_was_left_out() -> None:
    found = prepared("everything", lenient=True)
    left = {name for name, _ in found.scenario.faults.weights}
    assert left == set(read_file("everything")[1].value.faults.weights) & set(MADE) - {"disk_full"}
    assert {refusal.what.rpartition(": ")[2] for refusal in found.left_out} == set(NOT_MADE) - {"quorum_ahead"} | {
        "disk_full"
    }
    assert len(in_words(found.left_out)) == 3, "reasons, not places"


def test_a_disk_of_its_own_is_not_removed(tmp_path: Path) -> None:
    file = tmp_path / "disks.toml"
    file.write_text("""words = "Disks fill up, and go."
[faults.weights]
disk_full = 1
lost_disk = 2
""")
    with pytest.raises(NotPossible, match=r"faults\.weights: disk_full: a data directory that is a disk of its own"):
        prepared(file, machine=ROOT)
    found = prepared(file, machine=ROOT, lenient=True)
    assert found.scenario.faults.weights == (("lost_disk", 2),)
    assert [refusal.what for refusal in found.left_out] == ["faults.weights: disk_full"]


def test_lenient_refuses_a_scenario_of_which_nothing_is_left() -> None:
    with pytest.raises(OperatorFault, match="nothing of clock-a-day-wrong is left"):
        prepared("clock-a-day-wrong", lenient=True)
    assert prepared("changes-in-quiet", lenient=True).scenario.changes is None, "one that names no fault is quiet"


def test_what_is_left_is_a_whole_scenario() -> None:
    for name in names():
        value = read_file(name)[1].value
        assert refusals(without(value, refusals(value, USER)), USER) == []


def test_other_numbers_of_nodes(tmp_path: Path) -> None:
    assert prepared("quiet", members=7).nodes == 7
    with pytest.raises(ConfigurationFault, match="nodes from 0 to 2"):
        prepared("halves-and-heal", members=3)
    file = tmp_path / "many.toml"
    file.write_text('words = "More than fit on a machine."\nmembers = 40\n')
    for lenient in (False, True):
        with pytest.raises(NotPossible, match="40 nodes: at most 32"):
            prepared(file, lenient=lenient)
