"""Reading /proc, disks and metrics, of this very process and of made-up ones."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemon.bench.conditions import file_system, sync_ms
from daemon.bench.meters import Meters, Usage, counters, disk_bytes, processes_of

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here, and so no such figures")


@needs_proc
def test_cpu_and_memory_of_a_process_and_its_workers() -> None:
    meters = Meters(lambda: {"me": os.getpid()})
    meters.begin()
    total, began = 0, time.thread_time()
    while time.thread_time() - began < 0.1:  # of this thread alone: others of this process may be busy as well
        total += sum(range(10_000))
        meters.sample()
    used = meters.cpu_seconds()["me"]
    assert used["loop"] >= 0.07, "this thread is the first; the system counts in hundredths"
    assert meters.peak_bytes["me"] > 1 << 20


@needs_proc
def test_children_are_told_apart_by_their_name() -> None:
    code = "from daemon.runtime.workers.child import start; start('verify')"
    ours, theirs = socket.socketpair()
    with ours, theirs, subprocess.Popen([sys.executable, "-c", code], stdin=theirs.fileno()) as child:
        theirs.close()
        while child.pid not in processes_of(os.getpid()).get("verify", ()):
            assert child.poll() is None
            time.sleep(0.01)
        ours.close()
        assert child.wait() == 0, "it was not wanted"


def test_a_process_that_has_ended_has_no_figures() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    meters = Meters(lambda: {"gone": child.pid})
    meters.begin()
    meters.sample()
    assert meters.cpu_seconds() == {}


def test_what_a_killed_node_used_is_kept_and_what_came_before_is_not() -> None:
    usage = {"alder": Usage({("loop", 1): 5.0}, {"main": 10})}
    meters = Meters(dict)
    meters.take("alder", usage["alder"])
    meters.begin()
    meters.take("alder", Usage({("loop", 1): 6.0, ("verify", 2): 0.5}, {"main": 30}))
    meters.take("alder", Usage({("loop", 7): 2.0, ("verify", 8): 0.25}, {"main": 20}))
    assert meters.cpu_seconds() == {"alder": {"loop": 3.0, "threads": 0.0, "verify": 0.75, "execute": 0.0}}
    assert (meters.peak_bytes, meters.end_bytes) == ({"alder": 30}, {"alder": {"main": 20}})


def test_disk_use_by_part(tmp_path: Path) -> None:
    (tmp_path / "segments").mkdir()
    (tmp_path / "segments" / "1").write_bytes(bytes(10_000))
    (tmp_path / "lock").write_bytes(b"")
    assert disk_bytes(tmp_path) == {"segments": disk_bytes(tmp_path)["segments"]}
    assert disk_bytes(tmp_path)["segments"] >= 8_192


def test_counters_of_metrics() -> None:
    text = (
        "# HELP papilio_ledger_blocks_total Blocks.\npapilio_ledger_blocks_total 12.0\n"
        'papilio_net_traffic_total{kind="bytes_out"} 1.5e+03\n'
        'papilio_api_requests_total{method="GET",status="200"} 7.0\n'
    )
    assert counters(text) == {"ledger_blocks": 12, "net_traffic.bytes_out": 1500}


def test_the_disk_is_probed_and_nothing_is_left(tmp_path: Path) -> None:
    assert sync_ms(tmp_path)["count"] == 100
    assert list(tmp_path.iterdir()) == []
    assert file_system(tmp_path)
