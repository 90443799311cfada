"""Namespaces without a name: each lives as long as a process that sleeps in it, and is gone with it.

The system kills the sleeper when the thread that started it ends, so neither links nor mounts stay behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal

from tests.system.processes import until

TOOLS = ("setpriv", "unshare", "nsenter")
Kind = Literal["net", "mount"]


def has_tools(*others: str) -> bool:
    """Whether this user may try: root, with these programs."""
    return os.geteuid() == 0 and all(map(shutil.which, (*TOOLS, *others)))


@asynccontextmanager
async def namespace(kind: Kind) -> AsyncIterator[tuple[int, tuple[str, ...]]]:
    """A new namespace: the process that holds it, and the prefix of commands that run in it."""
    with _sleeper(kind) as pid:
        file = {"net": "net", "mount": "mnt"}[kind]

        async def entered() -> bool:
            return os.readlink(f"/proc/{pid}/ns/{file}") != os.readlink(f"/proc/self/ns/{file}")

        await until(entered, f"a {kind} namespace")
        yield pid, ("nsenter", "--target", str(pid), f"--{kind}", "--")


@contextmanager
def _sleeper(kind: Kind) -> Iterator[int]:
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", f"--{kind}", "sleep", "infinity"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=Path("/"))
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()
