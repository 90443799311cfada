"""The child's side of a worker: one blocking loop over jobs by urgency, and a sure death.

**Jobs are generators.** Each `yield` is a place where the job may be set aside. Between two such steps the loop reads
what has come in the meantime, without waiting, and goes on with the most urgent job. So a consensus job waits for one
chunk of a bulk job (`CHUNK_SIGNATURES`), however long that is, and one process serves both kinds. What a job returns
is sent back with its number.

**Death.** A worker must never outlive its node. Three things end it: the end of the pipe (the node closed it, or died);
on Linux the kernel's signal when the parent dies, asked for at the start and then checked against a parent that died
before; and an exception, which is a bug: its trace (code, not values) goes to the node as the answer to job 0.
SIGINT and SIGTERM are ignored: both reach the whole group from a terminal or systemd, and it is the node that decides
when its workers are done.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final, NoReturn

from daemon.collector import calm_collector
from daemon.runtime.workers.frames import READ_BYTES, Unframer, pack
from protocol.errors import BROKEN_INVARIANT, PapilioError

Job = Generator[None, None, Any]
START = "start"
"""First message of the parent: [START, parent's process id, what this worker needs]."""

NAMED: Final = "papilio-"
"""Before the name of a worker's process."""
COMM: Final = Path("/proc/self/comm")
FAULT_JOB = 0
"""Number under which a worker tells why it ends; jobs count from 1."""
FAULT_EXIT_CODE = 70

_PR_SET_PDEATHSIG = 1


class EndOfPipe(Exception):
    """The node has closed its end."""


class Pipe:
    """The child's end of the socket pair."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._unframer = Unframer()
        self._early: list[Any] = []

    def put_back(self, values: list[Any]) -> None:
        """Give these again, first of all: what came together with something else."""
        self._early = values + self._early

    def receive(self, *, wait: bool) -> list[Any]:
        """Values that have come; waits for some bytes if `wait`. Raises EndOfPipe."""
        values, self._early = self._early, []
        flags = 0 if wait and not values else socket.MSG_DONTWAIT
        while True:
            try:
                data = self._connection.recv(READ_BYTES, flags)
            except BlockingIOError:
                return values
            except ConnectionError:
                raise EndOfPipe from None
            if not data:
                raise EndOfPipe
            values.extend(self._unframer.feed(data))
            flags = socket.MSG_DONTWAIT

    def send(self, value: Any) -> None:
        """Send one value, whole. Raises EndOfPipe."""
        try:
            self._connection.sendall(pack(value))
        except ConnectionError:
            raise EndOfPipe from None


def die_with_parent(parent: int) -> None:
    """Ask the kernel for SIGKILL when the thread that started this process ends; exit if it has ended already."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def start(name: str) -> tuple[Pipe, Any]:
    """Take over standard input as the pipe; the parent's first message says what this worker needs.

    name: what it is, in one word; `ps` and `top` show it as papilio-NAME, of which Linux keeps 15 characters.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a container may have no /proc that can be written
            COMM.write_text(NAMED + name, encoding="ascii")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pipe = Pipe(socket.socket(fileno=os.dup(0)))
    values: list[Any] = []
    try:
        while not values:
            values = pipe.receive(wait=True)
    except EndOfPipe:  # the node ended before it wanted a worker
        sys.exit()
    (tag, parent, needs), *rest = values
    assert tag == START, "the parent says first what this worker needs"
    pipe.put_back(rest)
    die_with_parent(parent)
    calm_collector()
    return pipe, needs


def serve(pipe: Pipe, begin: Callable[[int, Any], Job]) -> None:
    """Serve jobs until the end of the pipe.

    A request is [number, urgency, kind, content], lower urgency first; `begin(kind, content)` makes its job; the
    answer is [number, what the job returned].
    """
    waiting: list[tuple[int, int, Job]] = []
    try:
        while True:
            for number, urgency, kind, content in pipe.receive(wait=not waiting):
                heapq.heappush(waiting, (urgency, number, begin(kind, content)))
            if not waiting:
                continue
            _, number, job = waiting[0]
            try:
                next(job)
            except StopIteration as end:
                heapq.heappop(waiting)
                pipe.send([number, end.value])
    except EndOfPipe:
        return
    except Exception as fault:  # noqa: BLE001 - whatever it is, the node is told and this process ends
        tell_fault(pipe, fault)


def tell_fault(pipe: Pipe, fault: Exception) -> NoReturn:
    """Tell the node why this worker ends: code of the table, words, trace; then end."""
    if isinstance(fault, PapilioError):
        code, words = fault.code, fault.words
    else:
        code, words = BROKEN_INVARIANT, f"{type(fault).__name__}: {fault}"
    with contextlib.suppress(EndOfPipe):
        pipe.send([FAULT_JOB, [code, words, traceback.format_exc()]])
    sys.exit(FAULT_EXIT_CODE)
