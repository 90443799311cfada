"""Worker processes: they answer by urgency, are given again what a death took, and never outlive their node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio

from daemon import limits
from daemon.runtime.workers.executor import Executor
from daemon.runtime.workers.frames import Unframer, pack
from daemon.runtime.workers.kinds import CheckKind, Urgency
from daemon.runtime.workers.link import Link, LinkFault, LinkLost, keep_alive, open_link
from daemon.runtime.workers.verifiers import Verifiers
from daemon.store.errors import StateDamaged, StoreFailed
from protocol.errors import BrokenInvariant
from protocol.node.interface import Execute

MODULE = "tests.runtime.fake_worker"
NEEDS = {"for": "tests"}


class Bench:
    """Verify workers that run the fake program, and their answers in the order in which they came."""

    def __init__(self, count: int = 1) -> None:
        self.losses: list[str] = []
        self.answers: list[Any] = []
        self.verifiers = Verifiers(count, NEEDS, lost=self.losses.append, module=MODULE)
        self._bell = trio.Event()

    def ask(self, *content: Any, urgency: Urgency = Urgency.BULK) -> None:
        self.verifiers.ask(urgency, CheckKind.BATCH, list(content), self._take)

    def _take(self, answer: Any) -> None:
        self.answers.append(answer)
        self._bell.set()

    async def until(self, count: int) -> list[Any]:
        with trio.fail_after(20):
            while len(self.answers) < count:
                self._bell = trio.Event()
                await self._bell.wait()
        return self.answers

    async def running(self) -> int:
        """Process id of the first worker, once it answers."""
        self.ask("pid")
        return int((await self.until(len(self.answers) + 1))[-1])


def stopping(nursery: trio.Nursery) -> None:
    nursery.cancel_scope.cancel()


async def test_many_answers_come_back_to_those_who_asked() -> None:
    bench = Bench(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.verifiers.run)
        for number in range(200):
            bench.ask("echo", [number, bytes(1000)])
        answers = await bench.until(200)
        stopping(nursery)
    assert sorted(number for number, _ in answers) == list(range(200))
    assert bench.verifiers.waiting_count == 0


async def test_consensus_overtakes_bulk_that_is_under_way() -> None:
    """A consensus job waits for one step of a bulk job, not for the job, nor for those that wait."""
    bench = Bench()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.verifiers.run)
        await bench.running()
        for _ in range(3):
            bench.ask("steps", 20, 5)
        bench.ask("echo", "urgent", urgency=Urgency.CONSENSUS)
        answers = await bench.until(5)
        stopping(nursery)
    assert answers[1:] == ["urgent", "done", "done", "done"]


async def test_what_a_death_took_is_given_again(tmp_path: Path) -> None:
    bench = Bench()
    counter = tmp_path / "deaths"
    counter.write_text("1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.verifiers.run)
        bench.ask("echo", "before")
        bench.ask("die", str(counter))
        bench.ask("echo", "after")
        answers = await bench.until(3)
        stopping(nursery)
    assert sorted(answers) == ["after", "alive", "before"]
    assert len(bench.losses) == 1


async def test_what_kills_twice_is_answered_as_failed(tmp_path: Path) -> None:
    bench = Bench()
    counter = tmp_path / "deaths"
    counter.write_text("1000")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.verifiers.run)
        bench.ask("die", str(counter))
        answers = await bench.until(1)
        bench.ask("echo", "alive")
        answers = await bench.until(2)
        stopping(nursery)
    assert answers == [None, "alive"]
    assert bench.verifiers.failed_count == 1
    assert counter.read_text() == "998"


async def test_an_exception_is_told_with_its_trace_and_is_a_death() -> None:
    bench = Bench()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.verifiers.run)
        bench.ask("raise")
        answers = await bench.until(1)
        stopping(nursery)
    assert answers == [None]
    assert "BrokenInvariant: as told" in bench.losses[0]


async def test_kill_9_in_the_middle_of_many_loses_none() -> None:
    bench = Bench(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.verifiers.run)
        process = await bench.running()
        for number in range(100):
            bench.ask("echo", number)
        os.kill(process, signal.SIGKILL)
        answers = await bench.until(101)
        stopping(nursery)
    assert sorted(answers[1:]) == list(range(100))


async def test_no_process_is_left_behind() -> None:
    bench = Bench(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.verifiers.run)
        process = await bench.running()
        bench.ask("steps", 1000, 5)
        stopping(nursery)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


async def test_a_worker_ignores_what_a_terminal_sends_to_the_group() -> None:
    bench = Bench()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.verifiers.run)
        process = await bench.running()
        os.kill(process, signal.SIGINT)
        os.kill(process, signal.SIGTERM)
        assert await bench.running() == process
        stopping(nursery)


PARENT = f"""
import os, trio
from daemon.runtime.workers.link import open_link
async def main():
    async with open_link({MODULE!r}, {NEEDS!r}) as link:
        await link.send([1, 0, 0, ["pid"]])
        print((await link.receive())[0][1], flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


async def test_a_worker_dies_with_its_node() -> None:
    """Also when the node is killed with -9 in the middle."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)  # noqa: ASYNC220
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    handle = os.pidfd_open(worker)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    with trio.fail_after(10):
        await trio.lowlevel.wait_readable(handle)  # a process handle is readable once the process has ended
    os.close(handle)


async def test_a_worker_that_keeps_dying_is_started_with_growing_pauses(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[float] = []

    async def life(link: Link) -> None:
        times.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        raise LinkLost("again")

    monkeypatch.setattr("daemon.runtime.workers.link.open_link", NoProcess)
    with trio.move_on_after(20):
        await keep_alive(MODULE, NEEDS, life, lost=lambda fault: None)
    pauses = [round(later - sooner, 3) for sooner, later in pairwise(times)]
    assert tuple(pauses[:5]) == (*limits.WORKER_RESTART_SECONDS, limits.WORKER_RESTART_SECONDS[-1])


class NoProcess:
    def __init__(self, module: str, needs: Any) -> None: ...

    async def __aenter__(self) -> None:
        await trio.lowlevel.checkpoint()

    async def __aexit__(self, *_: object) -> None:
        await trio.lowlevel.checkpoint()


async def test_a_fault_goes_before_a_broken_pipe() -> None:
    async with open_link(MODULE, NEEDS) as link:
        await link.send([1, 0, 0, ["raise"]])
        with pytest.raises(LinkFault, match="as told") as caught, trio.fail_after(10):
            await link.receive()
    assert caught.value.code == "broken_invariant"


def test_frames_are_cut_wherever_bytes_end() -> None:
    values = [[1, b"x" * 300], "two", [None, True, -5]]
    data = b"".join(pack(value) for value in values)
    for step in (1, 3, 7, len(data)):
        unframer = Unframer()
        found = [value for at in range(0, len(data), step) for value in unframer.feed(data[at : at + step])]
        assert found == values


def test_a_frame_above_the_bound_is_refused() -> None:
    with pytest.raises(BrokenInvariant):
        list(Unframer().feed((limits.WORKER_FRAME_BYTES_MAX + 1).to_bytes(4, "big")))


async def test_an_execute_worker_that_fails_stops_the_node() -> None:
    """Execution is deterministic: what it raises would come again."""
    executor = Executor(NEEDS, done=_never, read_again=_never_read, lost=lambda words: None, module=MODULE)
    executor.put(Execute(7, b"raise", ()))
    with pytest.raises(BrokenInvariant, match="at block 7"), trio.fail_after(20):
        await executor.run()


async def test_a_disk_that_fails_under_the_state_is_the_disks_failure() -> None:
    """Exit code 74, as when the journal's sync fails: the operator looks at the disk, not for a bug."""
    executor = Executor(NEEDS, done=_never, read_again=_never_read, lost=_never, module=MODULE)
    executor.put(Execute(7, b"disk", ()))
    with pytest.raises(StoreFailed, match="at block 7: no commit goes through"), trio.fail_after(60):
        await executor.run()


KILLS = limits.EXECUTE_DEATHS_MAX + 2


@pytest.mark.parametrize("how, words, told", [("killed", "it lives", KILLS), ("crashed", "died 5 times", 4)])
async def test_an_execute_worker_killed_from_outside_is_started_ever_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, words: str, told: int
) -> None:
    """The kernel kills when memory runs out, and no block is to blame; a worker that dies by itself stops the node."""
    monkeypatch.setattr(limits, "WORKER_RESTART_SECONDS", (0.0,))
    left = tmp_path / "left"
    left.write_text(str(KILLS))
    losses: list[str] = []
    executor = Executor(NEEDS, done=_never, read_again=_never_read, lost=losses.append, module=MODULE)
    executor.put(Execute(7, how.encode(), (str(left).encode(),)))
    with pytest.raises((BrokenInvariant, StateDamaged), match=words), trio.fail_after(60):
        await executor.run()
    assert len(losses) == told
    assert all(("signal 9" in loss) == (how == "killed") for loss in losses)


def _never(*results: object) -> None:
    raise AssertionError(results)


_never_read: Callable[[int], Awaitable[Execute]] = _never  # type: ignore[assignment]
