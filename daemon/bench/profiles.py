"""Where the time goes: py-spy on one node's processes while it is loaded, if py-spy is installed.

It is no dependency: it watches from outside. Samples are of threads that hold the interpreter: what runs without it
(syncs, writes to sockets, hashing of much at once) is not seen here, but in the CPU seconds. Its raw stacks are kept
beside the nodes' logs; the report has the functions in which most samples ended (`self`), and those through which they
passed (`total`), of each part.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import trio

from daemon.bench.meters import processes_of

RATE: Final = 200
SHOWN: Final = 25


def profiler() -> str | None:
    """The program py-spy: of this environment, or on the path."""
    beside = Path(sys.executable).parent / "py-spy"
    return str(beside) if beside.exists() else shutil.which("py-spy")


async def profile(program: str, pid: int, directory: Path, seconds: int) -> dict[str, Any]:
    """Profile a node's main process and workers for so long; shares of samples by function, in percent."""
    found: dict[str, Any] = {}

    async def one(part: str, of: int) -> None:
        out = directory / f"profile-{part}.txt"
        options = ["--gil", "--format", "raw", "--rate", str(RATE), "--duration", str(seconds), "--output", str(out)]
        done = await trio.run_process(
            [program, "record", *options, "--pid", str(of)],
            check=False,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
        )
        if done.returncode != 0 or not out.exists():
            found[part] = {"failed": done.stdout.decode(errors="replace").strip()[-300:]}
        else:
            found[part] = shares(out.read_text(encoding="utf-8", errors="replace"), seconds * RATE)

    async with trio.open_nursery() as nursery:
        for part, pids in processes_of(pid).items():
            if part != "other":
                nursery.start_soon(one, part, pids[0])
    return found


def shares(raw: str, samples: int) -> dict[str, Any]:
    """Of py-spy's raw stacks (`outer;inner COUNT` a line): percent of all samples, those in which nothing ran too."""
    ended: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [_function(frame) for frame in stack.split(";")]
        ended[frames[-1]] += int(count)
        for frame in set(frames):
            passed[frame] += int(count)
    return {
        "busy_percent": round(ended.total() * 100 / samples, 1),
        "self": [(name, round(count * 100 / samples, 1)) for name, count in ended.most_common(SHOWN)],
        "total": [(name, round(count * 100 / samples, 1)) for name, count in passed.most_common(SHOWN)],
    }


def _function(frame: str) -> str:
    """`name (path/file.py:LINE)` without the line."""
    name, _, place = frame.partition(" (")
    return f"{name} ({place.rpartition(':')[0] or place.rstrip(')')})" if place else name
