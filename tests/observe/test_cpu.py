"""CPU time by part of the node: counted where the work belongs, and nothing is counted twice or lost."""

from __future__ import annotations

import time

import pytest
import trio
import trio.testing

from daemon.observe.cpu import CpuClock, Part
from daemon.observe.metrics import Metrics


def burn(seconds: float = 0.03) -> None:
    """Use so much CPU time of this thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(1_000))


async def working() -> None:
    burn()
    await trio.lowlevel.checkpoint()


async def working_as_a_child() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(working)


def run(clock: CpuClock, *tasks: object) -> dict[Part, float]:
    """The tasks in one window; what was counted of them."""

    async def main() -> None:
        with clock.window():
            async with trio.open_nursery() as nursery:
                for task in tasks:
                    nursery.start_soon(task)  # type: ignore[arg-type]

    trio.run(main)
    return clock.seconds()


def named(name: str, work: object = working) -> object:
    async def task() -> None:
        await work()  # type: ignore[operator]

    task.__module__, _, task.__qualname__ = name.rpartition(":")
    return task


def test_a_task_counts_for_the_part_of_its_function_or_its_parents() -> None:
    found = run(
        CpuClock(),
        named("daemon.api.server:Server.run", working_as_a_child),
        named("daemon.net.connection:Connection.run"),
        named("somewhere:else"),
    )
    assert found[Part.API] >= 0.03, "its child's, which has another name"
    assert found[Part.NETWORK] >= 0.03
    assert found[Part.OTHER] >= 0.03
    assert found[Part.EXECUTION] == 0.0
    assert list(found) == list(Part)


def test_work_of_another_part_is_moved_and_not_counted_twice() -> None:
    began = time.thread_time()
    clock = CpuClock()
    check = clock.timed(Part.SIGNATURES, burn)

    async def step() -> None:
        burn()
        check()
        await trio.lowlevel.checkpoint()

    found = run(clock, named("daemon.runtime.parts:Parts.drive", step))
    used = time.thread_time() - began
    assert found[Part.SIGNATURES] >= 0.03
    assert found[Part.CONSENSUS] >= 0.03
    counted = sum(seconds for part, seconds in found.items() if part is not Part.STORAGE)
    assert counted <= used


def test_threads_count_for_storage_unless_they_are_the_apis() -> None:
    clock = CpuClock()

    async def reading() -> None:
        await trio.to_thread.run_sync(clock.in_thread(Part.API, burn))
        await trio.to_thread.run_sync(burn)

    before = clock.seconds()[Part.STORAGE]  # other threads of this process, of tests before
    found = run(clock, named("daemon.api.server:Server.run", reading))
    assert found[Part.API] >= 0.03
    assert found[Part.STORAGE] - before >= 0.03


def test_a_failure_is_passed_on_and_counted() -> None:
    def failing() -> None:
        burn()
        raise ValueError

    clock = CpuClock()

    async def step() -> None:
        for work in (clock.timed(Part.SIGNATURES, failing), clock.in_thread(Part.API, failing)):
            with pytest.raises(ValueError):  # noqa: PT011 - the one above
                work()

    found = run(clock, step)
    assert found[Part.SIGNATURES] >= 0.03
    assert found[Part.API] >= 0.03


def test_what_lies_between_two_windows_is_shared_out_as_the_next() -> None:
    clock = CpuClock()
    clock.timed(Part.SIGNATURES, burn)()
    assert clock.seconds()[Part.SIGNATURES] == 0.0, "outside a window nothing is measured"
    found = run(clock, named("daemon.net.connection:Connection.run"))
    loop = sum(seconds for part, seconds in found.items() if part is not Part.STORAGE)
    assert loop >= 0.06
    assert found[Part.NETWORK] > 0.06 / 2, "most of the window was its"


async def test_it_looks_now_and_then_by_itself(autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock
    clock = CpuClock()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clock.run)
        burn()
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    assert sum(clock.seconds().values()) > 0.0


def test_the_metric_names_every_part() -> None:
    text = Metrics([CpuClock().source]).text().decode()
    for part in Part:
        assert f'papilio_node_cpu_seconds_total{{part="{part.value}"}}' in text
