"""Workers that are forked before the node does anything else (spare.py): what they have, and how they end."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every worker is started as a program")

NODE = """
import json, os, sys
held = open(sys.argv[1])  # something of the node's
from daemon.runtime.workers.spare import spare_workers
with spare_workers():
    mine = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()
        and open(f"/proc/{entry}/stat").read().rpartition(")")[2].split()[1] == str(os.getpid())]
    print(json.dumps(mine), flush=True)
    sys.stdin.read()
"""

TAKING = """
import os, signal, subprocess
from daemon.runtime.workers.kinds import EXECUTE, VERIFY
from daemon.runtime.workers.spare import spare_workers, take_spare
with spare_workers(), spare_workers():
    process, pipe = take_spare(VERIFY)
    assert take_spare(VERIFY) is None, "there is one"
    try:
        process.wait(0.05)
    except subprocess.TimeoutExpired:
        process.kill()
    assert process.wait() == process.wait() == -signal.SIGKILL
    process.kill()  # it is gone: nothing happens
    process, pipe = take_spare(EXECUTE)
    pipe.close()
    assert process.wait(30) == 0, "it is not wanted any more"
with spare_workers():
    pass
try:
    os.waitpid(-1, os.WNOHANG)
    raise AssertionError("those that nobody took are left")
except ChildProcessError:
    print("done")
"""

BESIDE = """
import threading, time
from daemon.runtime.workers.kinds import EXECUTE
from daemon.runtime.workers.spare import spare_workers, take_spare
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
with spare_workers():
    print(take_spare(EXECUTE))
"""

POLICIES = """
import json, os, sys
from daemon.runtime.workers.kinds import EXECUTE, VERIFY
from daemon.runtime.workers.spare import spare_workers, take_spare
def choose(name):
    try:
        os.sched_setscheduler(0, getattr(os, name), os.sched_param(0))
    except OSError:
        return False
    return os.sched_getscheduler(0) == getattr(os, name)
taken = all([choose("SCHED_BATCH"), choose("SCHED_OTHER"), choose(sys.argv[1])])
with spare_workers():
    held = [take_spare(module) for module in (EXECUTE, VERIFY)]
    print(json.dumps([os.sched_getscheduler(pid) for pid in (0, *(process.pid for process, _ in held))] + [taken]))
"""


def _until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.01)


def _comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip()


def _started(code: str, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_they_hold_nothing_of_the_nodes_and_end_with_it(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("secret", encoding="ascii")
    node = _started(NODE, str(key))
    assert node.stdin is not None
    assert node.stdout is not None
    with node.stdin, node.stdout:
        workers: list[int] = json.loads(node.stdout.readline())
        assert len(workers) == 2
        _until(lambda: {_comm(pid) for pid in workers} == {"papilio-execute", "papilio-verify"})
        for pid in workers:
            files = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
            assert str(key) not in files
            assert len([file for file in files if file.startswith("socket:")]) == 1, "its own end of its own pipe"
        handles = [os.pidfd_open(pid) for pid in workers]
        node.kill()
        node.wait()
    for handle in handles:
        select.select([handle], [], [])  # a process handle is readable once the process has ended
        os.close(handle)


def test_each_is_taken_once_and_ends_as_it_is_told() -> None:
    done = subprocess.run([sys.executable, "-c", TAKING], check=True, capture_output=True, timeout=120)
    assert done.stdout == b"done\n"
    assert done.stderr == b""


def test_where_there_are_threads_nothing_is_forked() -> None:
    done = subprocess.run([sys.executable, "-c", BESIDE], check=True, capture_output=True)
    assert done.stdout == b"None\n"


@pytest.mark.parametrize(("before", "after"), [("SCHED_OTHER", "SCHED_BATCH"), ("SCHED_IDLE", "SCHED_IDLE")])
def test_node_and_workers_wait_for_their_turn_unless_somebody_chose_otherwise(before: str, after: str) -> None:
    """daemon/scheduling.py."""
    done = subprocess.run([sys.executable, "-c", POLICIES, before], check=True, capture_output=True)
    *found, taken = json.loads(done.stdout)
    if not taken:
        pytest.skip("this system does not let a process choose")
    assert found == [getattr(os, after)] * 3
