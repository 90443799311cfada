"""One worker process from the parent's side: start it, talk to it, start it again when it dies.

`keep_alive` runs *lives* of a worker one after another: `life(link)` gets a fresh process and talks to it until it ends
(`LinkLost`) or the task is cancelled. Pauses between lives grow (`WORKER_RESTART_SECONDS`) and fall back once a life
was long enough. What was under way in the lost life is for the caller to give again.

The first life of a worker takes the process that was forked for it before the node read anything (spare.py), if there
is one; any other is started as a program. That is done from Trio's own thread, not with `trio.lowlevel.open_process`:
that starts it from a cached helper thread, and the kernel's death signal (child.py) follows the *thread* that started
the child, which Trio lets go after some idle seconds. Starting takes about a millisecond.

Whatever ends a life, its process is killed and reaped before the next begins or the task ends: none is left behind.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import trio

import daemon
from daemon import limits
from daemon.runtime.workers.child import FAULT_JOB, START
from daemon.runtime.workers.frames import READ_BYTES, Unframer, pack
from daemon.runtime.workers.kinds import ENVIRONMENT
from daemon.runtime.workers.spare import take_spare

_ROOT = str(Path(daemon.__file__).resolve().parent.parent)
"""Where this program's packages lie: a worker uses these and no others of the same name."""


class LinkLost(Exception):
    """The worker is gone; its text says how it ended.

    killed: by signal 9, so from outside, as the kernel does when memory runs out; what it worked on is not to blame.
    """

    killed = False

    def __str__(self) -> str:
        more = " (killed by signal 9: does the machine or its memory limit run out of memory?)" if self.killed else ""
        return super().__str__() + more


class LinkFault(LinkLost):
    """The worker ended itself with an exception: its code of the table, words, and trace."""

    def __init__(self, code: str, words: str, trace: str) -> None:
        super().__init__(f"{words}\n{trace}")
        self.code = code
        self.words = words


class Process(Protocol):
    """What is needed of a process, however it was started."""

    pid: int

    def kill(self) -> None:
        """SIGKILL."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Exit code, or minus the signal. Raises subprocess.TimeoutExpired after so many seconds."""
        ...


class Link:
    """A live worker: send values, iterate over what it answers."""

    def __init__(self, process: Process, stream: trio.SocketStream) -> None:
        self._process = process
        self._stream = stream
        self._unframer = Unframer()
        self._sending = trio.Lock()

    @property
    def process_id(self) -> int:
        """For operators and tests."""
        return self._process.pid

    async def send(self, value: Any) -> None:
        """Send one value. Raises LinkLost."""
        data = pack(value)
        async with self._sending:
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as fault:
                raise LinkLost("the worker's pipe is broken") from fault

    async def receive(self) -> list[Any]:
        """One or more values, as they come. Raises LinkLost, LinkFault (what it answered last is then given again)."""
        while True:
            try:
                data = await self._stream.receive_some(READ_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as fault:
                raise LinkLost("the worker's pipe is broken") from fault
            if not data:
                raise LinkLost(f"the worker closed its pipe (process {self._process.pid})")
            values = list(self._unframer.feed(bytes(data)))
            if values and values[-1][0] == FAULT_JOB:
                raise LinkFault(*values[-1][1])
            if values:
                return values


@asynccontextmanager
async def open_link(module: str, needs: Any) -> AsyncIterator[Link]:
    """Start the worker `module` and tell it what it needs. The process is dead and reaped when the block is left."""
    process, ours = take_spare(module) or _started(module)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    try:
        link = Link(process, stream)
        await link.send([START, os.getpid(), needs])
        yield link
    except LinkLost as lost:
        lost.killed = await _was_killed(process)
        raise
    finally:
        with trio.CancelScope(shield=True):
            await stream.aclose()
            process.kill()
            await trio.to_thread.run_sync(process.wait)


def _started(module: str) -> tuple[Process, socket.socket]:
    """`python -m module`, and our end of its pipe."""
    ours, theirs = socket.socketpair()
    environment = {name: value for name, value in os.environ.items() if name in ENVIRONMENT}
    environment["PYTHONPATH"] = os.pathsep.join([_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-P", "-m", module], stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=environment
    )
    theirs.close()
    return process, ours


async def _was_killed(process: Process) -> bool:
    """Whether a process whose pipe has ended was killed by somebody else."""
    try:
        code = await trio.to_thread.run_sync(partial(process.wait, limits.WORKER_END_SECONDS))
    except subprocess.TimeoutExpired:
        return False
    return code == -signal.SIGKILL


async def keep_alive(
    module: str, needs: Any, life: Callable[[Link], Awaitable[None]], *, lost: Callable[[LinkLost], None]
) -> None:
    """Run `life` with one process after another, until cancelled.

    lost: told of each lost life, before the pause.
    """
    deaths = 0
    while True:
        began = trio.current_time()
        try:
            async with open_link(module, needs) as link:
                await life(link)
                return
        except LinkLost as fault:
            lost(fault)
        deaths = 0 if trio.current_time() - began >= limits.WORKER_STEADY_SECONDS else deaths
        await trio.sleep(limits.WORKER_RESTART_SECONDS[min(deaths, len(limits.WORKER_RESTART_SECONDS) - 1)])
        deaths += 1


async def talk(*tasks: Callable[[], Awaitable[None]]) -> None:
    """Run the tasks of one life together until one ends it. Raises LinkLost, the most telling one."""
    lost: list[LinkLost] = []
    try:
        async with trio.open_nursery() as nursery:
            for task in tasks:
                nursery.start_soon(task)
    except* LinkLost as group:
        lost.extend(_leaves(group))
    if lost:
        raise max(lost, key=lambda loss: isinstance(loss, LinkFault))


def _leaves(group: BaseExceptionGroup[LinkLost]) -> Iterator[LinkLost]:
    for inner in group.exceptions:
        if isinstance(inner, BaseExceptionGroup):
            yield from _leaves(inner)
        else:
            yield inner
