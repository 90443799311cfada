"""A memory limit for a node and its workers, as a service manager or a container sets it (root only).

The kernel's control groups, of version 2 or 1, whichever the machine has. Beyond the limit the kernel kills a process
of the group, whichever it likes.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.system.processes import POLL_SECONDS

GROUPS = Path("/sys/fs/cgroup")
SPARE_BYTES = 64 << 20
HOG = """
import pathlib, time
pathlib.Path("/proc/self/oom_score_adj").write_text("-1000")
held = []
while True:
    held.append(bytearray(b"x" * (1 << 20)))
    time.sleep(0.01)
"""
UNLIMITED = {"memory.max": "max", "memory.limit_in_bytes": "-1"}


@dataclass(frozen=True, slots=True)
class Group:
    """directory: of the group. limit, usage: names of its files."""

    directory: Path
    limit: str
    usage: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """Of a command that runs inside."""
        return ("sh", "-ec", f'echo $$ > {self.directory}/cgroup.procs; exec "$@"', "sh")

    @contextmanager
    def exhausted(self) -> Iterator[None]:
        """All memory of the group is in use: by what runs in it, and by a process that the kernel may not kill."""
        self._allow(self._used_bytes() + SPARE_BYTES)
        hog = subprocess.Popen([*self.prefix, "setpriv", "--pdeathsig", "KILL", sys.executable, "-c", HOG])
        try:
            yield
        finally:
            self._allow(None)
            hog.kill()
            hog.wait()

    def empty(self) -> None:
        """Kill what is left in it, and remove it."""
        while pids := (self.directory / "cgroup.procs").read_text().split():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(POLL_SECONDS)
        self.directory.rmdir()

    def _used_bytes(self) -> int:
        return int((self.directory / self.usage).read_text())

    def _allow(self, count: int | None) -> None:
        (self.directory / self.limit).write_text(UNLIMITED[self.limit] if count is None else str(count))


@contextmanager
def memory_group() -> Iterator[Group | None]:
    """A group for one node, gone with the block. None where it cannot be had."""
    group = _made()
    try:
        yield group
    finally:
        if group is not None:
            group.empty()


def _made() -> Group | None:
    name = f"papilio-test-{secrets.token_hex(4)}"
    for parent, limit, usage in (
        (GROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        (GROUPS, "memory.max", "memory.current"),
    ):
        if os.geteuid() != 0 or not parent.is_dir():
            continue
        with suppress(OSError):
            (parent / name).mkdir()
            if (parent / name / limit).exists():
                return Group(parent / name, limit, usage)
            (parent / name).rmdir()
    return None
