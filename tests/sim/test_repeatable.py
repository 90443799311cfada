"""The same run gives the same bytes: in another process, under another hash seed, and with the world out of reach.

The child process imports everything first; from then on reading a clock, drawing from the system's randomness, opening
a file, a socket, a process or a thread ends it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.sim.run import run
from tests.sim.named import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]

CHILD = """
import builtins, os, random, sys, time, datetime, secrets, socket, threading, uuid
from protocol.sim.run import run
from daemon.scenarios.shipped import scenarios
SCENARIOS = scenarios()

def forbid(module, name):
    def refuse(*arguments, **named):
        raise SystemExit(f"forbidden: {module.__name__}.{name}")
    setattr(module, name, refuse)

clocks = "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time sleep localtime"
for name in clocks.split():
    forbid(time, name)
for name in ("random", "randint", "randrange", "choice", "shuffle", "getrandbits", "seed"):
    forbid(random, name)
forbid(os, "urandom"), forbid(os, "getrandom"), forbid(secrets, "token_bytes"), forbid(uuid, "uuid4")
forbid(builtins, "open")

running = True
FORBIDDEN = ("open", "import", "os.", "socket.", "subprocess.", "shutil.", "tempfile.", "_thread.", "ctypes.")

def hook(event, arguments):
    if running and (event in FORBIDDEN or event.startswith(tuple(f for f in FORBIDDEN if f.endswith(".")))):
        raise SystemExit(f"forbidden: {event} {arguments!r}"[:200])

sys.addaudithook(hook)
what = sys.argv[1]
if what == "run":
    text = run(SCENARIOS[sys.argv[2]], int(sys.argv[3])).text()
elif what == "clock":
    time.time()
elif what == "random":
    os.urandom(1)
elif what == "file":
    os.stat("/"), os.listdir("/")
elif what == "socket":
    socket.socket()
running = False
sys.stdout.write(text)
"""


def child(hash_seed: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CHILD, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", ["everything", "byzantine-leader", "storm"])
def test_two_processes_with_different_hash_seeds_and_nothing_of_the_world(name: str) -> None:
    first, second = (child(hash_seed, "run", name, "7") for hash_seed in (1, 4242))
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert first.stdout == run(SCENARIOS[name], 7).text(), "and in a process that ran other things before"
    assert f"scenario {name} seed 7: ok" in first.stdout


@pytest.mark.parametrize("reach", ["clock", "random", "file", "socket"])
def test_the_child_really_forbids(reach: str) -> None:
    ended = child(1, reach)
    assert ended.returncode != 0
    assert "forbidden" in ended.stderr


def test_another_seed_is_another_run() -> None:
    one, other = (run(SCENARIOS["crashes"], seed).text() for seed in (1, 2))
    assert one.replace("seed 1", "seed 2") != other
