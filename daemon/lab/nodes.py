"""Nodes as processes, and what is done to them from outside: started, killed, stopped in order, frozen.

A node is in a process group of its own with its workers: what hits a machine hits all of them, and Ctrl-C at the
terminal hits the lab only, which then ends them. They are tethered to the lab (tethered.py), so none outlives it. They
are started from the main thread, since the tether is tied to the thread that started them.

Faults overlap: who takes a node down or freezes it counts that, and it is up again when nobody holds it any more.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from daemon.config.texts import parse_address
from daemon.demo.commands import environment

STOP_SECONDS: Final = 120.0
"""From SIGTERM to the end: the node's own patience is some 20 s, and the machine may be busy."""


@dataclass(slots=True)
class LabNode:
    """One node. directory: with its node.toml. url: of its API. votes: whether it is a validator.

    prefix: of its command line. data_seen: where its data is seen from here, if only it has that disk mounted.
    lives: (from, to) of each, ms since the run began. ended: how it ended by itself, in words; empty if it did not.
    """

    index: int
    directory: Path
    url: str
    votes: bool
    prefix: tuple[str, ...] = ()
    data_seen: Path | None = None
    now_ms: Callable[[], int] = lambda: 0
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    held: int = 0
    frozen: int = 0
    lives: list[tuple[int, int | None]] = field(default_factory=list)
    ended: str = ""
    _ending: bool = False
    _killed: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return f"node {self.index}"

    @property
    def api(self) -> tuple[str, int]:
        """Host and port of its API."""
        place = parse_address(self.url.removeprefix("http://"))
        return place.host, place.port

    @property
    def log(self) -> Path:
        """Where its standard error goes."""
        return self.directory / "node.log"

    @property
    def data(self) -> Path:
        """Its data directory, as seen from here."""
        return self.data_seen or self.directory / "data"

    @property
    def runs(self) -> bool:
        """Whether there is a process, frozen or not."""
        return self.process is not None

    @property
    def up(self) -> bool:
        """Whether it runs and is not frozen."""
        return self.process is not None and not self.frozen

    # -- Life ---------------------------------------------------------------------------------------

    def start(self) -> bool:
        """Start the process, unless it runs, or somebody holds it down, or it ended by itself; whether it was."""
        if self.process is not None or self.held or self.ended:
            return False
        command = [*self.prefix, sys.executable, "-P", "-m", "daemon.lab.tethered", str(os.getpid()), "run"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [*command, str(self.directory)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                cwd="/",
                process_group=0,
            )
        self.starts += 1
        self.frozen = 0
        self._ending = self._killed = False
        self.lives.append((self.now_ms(), None))
        return True

    async def kill(self) -> None:
        """Signal 9 to it and its workers: nothing of it gets to run any more."""
        if self.process is not None:
            self._ending = self._killed = True
            self._signal(signal.SIGKILL)
            await self._gone()

    async def stop(self) -> bool:
        """SIGTERM; whether it ended in order, unless another fault killed it before it could."""
        process = self.process
        if process is None:
            return True
        self._ending = True
        self.frozen = 0
        self._signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_SECONDS):
            await self._gone()
            return process.returncode == 0 or self._killed
        await self.kill()
        return False

    def freeze(self) -> None:
        """SIGSTOP to it and its workers."""
        self.frozen += 1
        self._signal(signal.SIGSTOP)

    def thaw(self, process: subprocess.Popen[bytes] | None) -> None:
        """SIGCONT, if it is still this process and nobody else froze it."""
        if process is None or self.process is not process:
            return
        self.frozen = max(0, self.frozen - 1)
        if not self.frozen:
            self._signal(signal.SIGCONT)

    def look(self) -> bool:
        """Whether it ended by itself, as is noticed here for the first time."""
        process = self.process
        if process is None or self._ending or process.poll() is None:
            return False
        code = process.returncode
        self.ended = f"ended by itself with {f'exit code {code}' if code >= 0 else signal.Signals(-code).name}"
        self._signal(signal.SIGKILL)  # workers that have not noticed yet
        self._over()
        return True

    def destroy(self) -> None:
        """Whatever is left of it ends now."""
        if self.process is not None:
            self._signal(signal.SIGKILL)
            self.process.wait()
            self._over()

    async def _gone(self) -> None:
        """Wait until the process has ended."""
        process = self.process
        if process is None:
            return
        if process.poll() is None:
            handle = os.pidfd_open(process.pid)
            try:
                await trio.lowlevel.wait_readable(handle)  # a process's handle is readable once it has ended
            finally:
                os.close(handle)
            process.wait()
        if self.process is process:
            self._signal(signal.SIGKILL)
            self._over()

    def _over(self) -> None:
        self.process = None
        self.frozen = 0
        if self.lives and self.lives[-1][1] is None:
            self.lives[-1] = (self.lives[-1][0], self.now_ms())

    def _signal(self, number: int) -> None:
        """To the whole group, as long as there is any of it."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def tail(self, lines: int) -> list[str]:
        """The end of its log."""
        if not self.log.exists():
            return []
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
