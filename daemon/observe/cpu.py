"""CPU time of the node's own process by part: network, consensus, signatures, execution, storage, API.

A clock at the event loop: after each step of a task, what the loop's thread has used since the step before belongs to
the part whose task it was. A task's part is found by the name of its function, or its parent's, or so on, once for each
task. Where the work of one part is called from another's task (`timed`), or done in a thread (`in_thread`), it is
measured there and counted where it belongs.

Looking at every step costs some microseconds each (measured: 4 on a busy machine, 0.7 of it the system's clock), so it
is done in *windows*, a tenth of the time; what the thread used from one window's end to the next is shared out as the
window was. So it costs a few tenths of a percent, and nothing at all unless wanted (`[metrics] cpu_by_part`).

What the parts are: *network* the channels to other nodes; *consensus* every step of the pure node, its pool and batches
included; *signatures* checks on the loop, and handing others to the verify workers; *execution* handing blocks to the
execute worker; *storage* journal, segments, scrub, and all threads but the API's; *api* clients. What the workers use
themselves is theirs: the system tells it of their processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import wraps
from threading import Lock
from typing import Final, ParamSpec, TypeVar

import trio
from prometheus_client.core import CounterMetricFamily, Metric

P = ParamSpec("P")
T = TypeVar("T")


class Part(Enum):
    """Of the node."""

    NETWORK = "network"
    CONSENSUS = "consensus"
    SIGNATURES = "signatures"
    EXECUTION = "execution"
    STORAGE = "storage"
    API = "api"
    OTHER = "other"


PARTS: Final = (
    ("daemon.net.", Part.NETWORK),
    ("daemon.runtime.peers.", Part.NETWORK),
    ("daemon.api.", Part.API),
    ("daemon.runtime.parts.Parts.drive", Part.CONSENSUS),
    ("daemon.runtime.workers.verifiers.", Part.SIGNATURES),
    ("daemon.runtime.workers.executor.", Part.EXECUTION),
    ("daemon.runtime.pump.", Part.STORAGE),
    ("daemon.runtime.finals.", Part.STORAGE),
    ("daemon.runtime.hands.", Part.STORAGE),
    ("daemon.runtime.disk.", Part.STORAGE),
    ("daemon.runtime.mender.", Part.STORAGE),
)
"""Beginnings of the names of tasks' functions. The hands' own tasks read blocks for peers."""


WINDOW_SECONDS: Final = 0.05
PAUSE_SECONDS: Final = 0.45


class CpuClock(trio.abc.Instrument):
    """See the essay. Made in the loop's thread."""

    def __init__(self) -> None:
        self._loop: dict[Part, float] = dict.fromkeys(Part, 0.0)
        self._threads: dict[Part, float] = dict.fromkeys(Part, 0.0)
        self._lock = Lock()
        self._tasks: dict[trio.lowlevel.Task, Part] = {}
        self._window: dict[Part, float] = dict.fromkeys(Part, 0.0)
        self._watching = False
        self._moved = 0.0
        self._last = self._settled = time.thread_time()

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await trio.sleep(PAUSE_SECONDS)
            with self.window():
                await trio.sleep(WINDOW_SECONDS)

    @contextmanager
    def window(self) -> Iterator[None]:
        """Look at every step while the block runs; then share out what was used since the last time."""
        self._window = dict.fromkeys(Part, 0.0)
        self._last, self._moved, self._watching = time.thread_time(), 0.0, True
        trio.lowlevel.add_instrument(self)
        try:
            yield
        finally:
            trio.lowlevel.remove_instrument(self)
            self._watching = False
            self._tasks.clear()
            self._share_out()

    def _share_out(self) -> None:
        now = time.thread_time()
        used, self._settled = now - self._settled, now
        seen = sum(self._window.values())
        for part, seconds in self._window.items():
            self._loop[part] += used * seconds / seen if seen else 0.0
        if not seen:
            self._loop[Part.OTHER] += used

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Trio's: a task has given way."""
        now = time.thread_time()
        part = self._tasks.get(task)
        if part is None:
            part = self._tasks[task] = part_of(task)
        self._window[part] += now - self._last - self._moved
        self._last, self._moved = now, 0.0

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """Trio's: forget it."""
        self._tasks.pop(task, None)

    def timed(self, part: Part, work: Callable[P, T]) -> Callable[P, T]:
        """The same, counted as that part's on whatever task it is called. Not for what calls another of these."""

        @wraps(work)
        def measured(*args: P.args, **kwargs: P.kwargs) -> T:
            if not self._watching:
                return work(*args, **kwargs)
            began = time.thread_time()
            try:
                return work(*args, **kwargs)
            finally:
                used = time.thread_time() - began
                self._window[part] += used
                self._moved += used

        return measured

    def in_thread(self, part: Part, work: Callable[[], T]) -> Callable[[], T]:
        """The same, counted as that part's while it runs in a thread."""

        def measured() -> T:
            began = time.thread_time()
            try:
                return work()
            finally:
                used = time.thread_time() - began
                with self._lock:
                    self._threads[part] += used

        return measured

    def seconds(self) -> dict[Part, float]:
        """Of this process since its start, up to the last window. Threads that are nobody's are the storage's."""
        with self._lock:
            threads = dict(self._threads)
        found = {part: used + threads[part] for part, used in self._loop.items()}
        beside = time.process_time() - time.thread_time() - sum(threads.values())
        found[Part.STORAGE] += max(0.0, beside)
        return found

    def source(self) -> Iterator[Metric]:
        """For `daemon.observe.metrics`."""
        words = "CPU time of the node's own process, by part; of its workers the system tells."
        family = CounterMetricFamily("papilio_node_cpu_seconds", words, labels=["part"])
        for part, used in self.seconds().items():
            family.add_metric([part.value], used)
        yield family


def part_of(task: trio.lowlevel.Task) -> Part:
    """Whose work a task does."""
    looked: trio.lowlevel.Task | None = task
    while looked is not None:
        name = looked.name
        for beginning, part in PARTS:
            if name.startswith(beginning):
                return part
        nursery = looked.parent_nursery
        looked = None if nursery is None else nursery.parent_task
    return Part.OTHER
