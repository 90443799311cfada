"""Whole runs on real processes: what they report, that a planted failure is found, and that nothing stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import daemon.lab.lab
from daemon.cli.exits import ExitCode
from daemon.demo.commands import PAPILIO, environment
from daemon.lab.judging import Disk, Judgement, judge
from daemon.lab.spaces import why_no_networks
from daemon.store.segment_file import segment_path
from tests.audit.kit import flip
from tests.cli.calling import Call

PATIENCE_SECONDS = 300.0
TIMING = """
[timing]
delta = "250 ms"
retry_interval = "500 ms"
relay_delay = "500 ms"
idle_interval = "2 s"

[load]
clients = 2
pause = ["200 ms", "500 ms"]
"""
SHORT = f"""words = "One of two is cut off, then it crashes."
members = 2
{TIMING}
[faults]
until = "1 s"
[[at]]
time = "1 s"
fault = "one_way"
nodes = [0]
lasts = "800 ms"
[[at]]
time = "2 s"
fault = "crash"
nodes = [1]
lasts = "300 ms"
[[at]]
height = 9999
within = "1 s"
fault = "pause"
nodes = [0]
lasts = "1 s"
"""
LONG = f"""words = "A network of one is frozen for a minute."
members = 1
{TIMING}
[[at]]
time = "100 ms"
fault = "pause"
lasts = "1 min"
"""
QUIET = f"""words = "Nothing goes wrong."
members = 1
{TIMING}
[faults]
until = "1 s"
"""


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    return Call(capsys)


def scenario(folder: Path, text: str) -> Path:
    file = folder / "made.toml"
    file.write_text(text, encoding="utf-8")
    return file


def processes_of(place: Path) -> list[int]:
    """Processes that name this place in their command."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(str(place).encode() in word for word in words) and int(entry.parent.name) != os.getpid():
            found.append(int(entry.parent.name))
    return found


def wait_until(holds: Callable[[], bool], words: Callable[[], str]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < until, words()
        time.sleep(0.05)


def test_a_short_scenario_from_end_to_end(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = call("lab", "run", scenario(tmp_path, SHORT), "--seed", 5, "--out", out)
    assert said.code == 0, said.out + said.err
    assert said.out == (out / "report.txt").read_text()
    report = json.loads((out / "report.json").read_text())
    assert report["ok"] is True
    assert report["faults"] == {"one_way": 1, "crash": 1}
    assert report["missing"] == ["pause"], "a fault that never happened is said"
    assert "never happened: pause" in said.out
    assert report["restarts"] == 1
    assert report["clients"]["final"] >= 2
    assert report["settled_ms"] is not None
    assert report["lines"]["bytes_passed"] > 0, "the lines lead through the proxy"
    rules = {"agreement", "validity", "votes", "durability", "soundness", "proofs", "liveness"}
    assert set(report["checked"]) == rules
    told = [row["words"] for row in report["timeline"] if "0" in row["words"]]
    assert told[:2] == ["one_way 0 begins", "one_way 0 ends"]
    assert "node 1 is back" in said.out
    page = (out / "run.html").read_text()
    assert "real processes" in page
    assert page.count("<path d=") >= 2, "a line of heights for each node"
    assert sorted(path.name for path in out.iterdir()) == ["report.json", "report.txt", "run.html"]
    assert processes_of(tmp_path) == []


def test_a_bit_that_flips_before_the_end_is_found_and_all_is_kept(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def spoilt(network: Any, disks: list[Disk], *rest: Any) -> Judgement:
        flip(segment_path(disks[0].data / "segments", 1), 300)
        return await judge(network, disks, *rest)

    monkeypatch.setattr(daemon.lab.lab, "judge", spoilt)
    out = tmp_path / "out"
    said = call("lab", "run", scenario(tmp_path, QUIET), "--out", out)
    assert said.code == ExitCode.FAILED
    assert "VIOLATED durability at node 0" in said.out
    assert "also violated validity at node 0" in said.out
    assert f"repeat with: papilio lab run {tmp_path / 'made.toml'} --seed 0" in said.out
    assert "stopped" in said.out, "the last lines of the log"
    assert (out / "network" / "node-0" / "data" / "segments").is_dir()


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.long)])
def test_nothing_is_left_of_a_run_that_is_ended_while_a_node_is_frozen(tmp_path: Path, how: signal.Signals) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    command = [*PAPILIO, "lab", "run", str(scenario(tmp_path, LONG))]
    with (tmp_path / "err").open("wb") as err:
        run = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=err, env={**environment(), "TMPDIR": str(place)}
        )
    try:
        wait_until(lambda: "now: pause all" in (tmp_path / "err").read_text(), (tmp_path / "err").read_text)
        nodes = processes_of(place)
        assert nodes
        run.send_signal(how)
        code = run.wait(PATIENCE_SECONDS)
    finally:
        run.kill()
        run.wait()
    if how is signal.SIGINT:
        assert code == ExitCode.INTERRUPTED
        assert list(place.iterdir()) == [], "a folder of its own is removed"
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in nodes), lambda: f"{nodes} ended")


# -- Long -------------------------------------------------------------------------------------------


def ran(call: Call, tmp_path: Path, text: str, *options: object) -> dict[str, Any]:
    """The report of a run in which every rule held."""
    out = tmp_path / "out"
    said = call("lab", "run", scenario(tmp_path, text), "--out", out, "--json", *options)
    assert said.code == 0, said.out[-4000:] + said.err
    report: dict[str, Any] = said.json
    assert report["missing"] == []
    return report


FOUR = f"""words = "Halves, a kill of two, a pause of two, and all at once."
{TIMING}
[[at]]
time = "1 s"
fault = "partition"
groups = [[0, 1], [2, 3]]
lasts = "12 s"
[[at]]
time = "18 s"
fault = "crash"
nodes = [1, 3]
lasts = "3 s"
[[at]]
time = "28 s"
fault = "pause"
nodes = [0, 2]
lasts = "10 s"
[[at]]
time = "42 s"
fault = "power_cut"
lasts = "4 s"
"""
DISKS = f"""words = "Disks: one full, one with a damaged block."
{TIMING}
[[at]]
time = "2 s"
fault = "disk_full"
nodes = [1]
lasts = "10 s"
[[at]]
height = 6
fault = "damaged_segment"
nodes = [0]
block = 3
"""
FORGETFUL = f"""words = "One member's disk is gone, or put back to an old copy."
bound_deltas = 200
own_disk_suffices = false
{TIMING}
[[at]]
height = 4
fault = "FAULT"
nodes = [2]
lasts = "4 s"
"""
ROUGH = f"""words = "Lines that corrupt, stall and delay, a starved node, and an observer in a star."
observers = 1
topology = "star"
{TIMING}
[[at]]
time = "1 s"
fault = "corrupt"
per_mille = 20
lasts = "10 s"
[[at]]
time = "4 s"
fault = "loss"
per_mille = 50
lasts = "10 s"
[[at]]
time = "6 s"
fault = "slow_work"
nodes = [3]
factor = 20
lasts = "8 s"
[[at]]
time = "8 s"
fault = "long_tail"
extra = "2 s"
lasts = "6 s"
"""


@pytest.mark.long
def test_a_partition_kills_pauses_and_a_power_cut(call: Call, tmp_path: Path) -> None:
    report = ran(call, tmp_path, FOUR)
    assert report["faults"] == {"partition": 1, "crash": 1, "pause": 1, "power_cut": 1}
    assert report["restarts"] == 6
    assert report["stall_ms"][1] - report["stall_ms"][0] >= 8_000, "nothing is final without a quorum"


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="a disk of its own needs root")
def test_a_full_disk_and_a_damaged_block(call: Call, tmp_path: Path) -> None:
    """L-28, L-25: whoever has no room goes on when it has; a damaged block is mended by peers."""
    ran(call, tmp_path, DISKS)


@pytest.mark.long
@pytest.mark.parametrize("fault", ["lost_disk", "old_image"])
def test_a_member_that_forgets(call: Call, tmp_path: Path, fault: str) -> None:
    """C-24."""
    assert ran(call, tmp_path, FORGETFUL.replace("FAULT", fault))["faults"] == {fault: 1}


@pytest.mark.long
def test_bad_lines_and_an_observer(call: Call, tmp_path: Path) -> None:
    report = ran(call, tmp_path, ROUGH)
    assert report["nodes"] == 5
    assert report["lines"]["corrupted"] > 0
    assert report["lines"]["stalled"] > 0


@pytest.mark.long
@pytest.mark.skipif(why_no_networks() != "", reason="network namespaces are not given here")
def test_nodes_in_networks_of_their_own(tmp_path: Path) -> None:
    """In a process of its own, which moves to another network."""
    before = subprocess.run(["ip", "link"], check=True, capture_output=True, text=True).stdout
    command = [*PAPILIO, "lab", "run", str(scenario(tmp_path, SHORT)), "--nodes", "4", "--namespaces", "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    report = json.loads(done.stdout)
    assert report["namespaces"] is True
    assert report["lines"]["bytes_passed"] > 0
    assert subprocess.run(["ip", "link"], check=True, capture_output=True, text=True).stdout == before


def test_namespaces_are_refused_in_words_where_they_are_not_given(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    said = call("lab", "run", "quiet", "--namespaces")
    assert said.code == ExitCode.CONFIGURATION
    assert "network namespaces need root" in said.err
