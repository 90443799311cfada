"""How faults of the simulator's names begin and end on real processes; `possible.MADE` says it for people.

`BEGIN[fault](stage, aim)` carries the fault out and gives what ends it, or None where there was nothing to hit. What
ends a fault returns when it is over in truth: a node that was started answers again.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from daemon.audit.blocks import BlockStream, Found
from daemon.bench.meters import processes_of
from daemon.config.creation import join
from daemon.lab.lines import Pair
from daemon.lab.nodes import LabNode
from daemon.lab.stage import Stage
from protocol.sim.faults.aim import Aim

End = Callable[[], Awaitable[None]]
Begin = Callable[[Stage, Aim], Awaitable[End | None]]

SLOW_SLICE_SECONDS: Final = 0.01
"""How long starved workers run at a time; then they wait `factor - 1` times as long."""
SLOW_WAIT_SECONDS_MAX: Final = 2.0
EXECUTED_SECONDS: Final = 10.0
"""How long a block that is to be damaged is waited for."""


async def _nothing() -> None:
    """The end of what does not end."""


def _plain(heal: Callable[[], None]) -> End:
    async def end() -> None:
        heal()

    return end


# -- Machines ---------------------------------------------------------------------------------------


async def _back(stage: Stage, node: LabNode) -> None:
    """Nobody of us holds the node down any more: start it, and wait until it answers."""
    node.held -= 1
    if node.held or node.runs:
        return
    if node.start():
        stage.restarts += 1
        await stage.watcher.answering(node)
        stage.moments.tell(f"{node.name} is back")


async def crash(stage: Stage, aim: Aim) -> End:
    """Machines stop at once, and start again."""
    nodes = stage.chosen(aim.nodes)
    for node in nodes:
        node.held += 1
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.kill)
    return _all_back(stage, nodes)


async def stop(stage: Stage, aim: Aim) -> End:
    """Nodes are stopped in order."""
    nodes = stage.chosen(aim.nodes)
    for node in nodes:
        node.held += 1
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(stage.stop, node)
    return _all_back(stage, nodes)


def _all_back(stage: Stage, nodes: list[LabNode]) -> End:
    async def end() -> None:
        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(_back, stage, node)

    return end


async def power_cut(stage: Stage, aim: Aim) -> End:
    """All at one instant; they start again one after the other, the last at the end."""
    nodes = stage.chosen(aim.nodes)
    await crash(stage, aim)
    began = trio.current_time()

    async def returns(node: LabNode, place: int) -> None:
        await trio.sleep_until(began + aim.lasts_us / 1e6 * place / len(nodes))
        await _back(stage, node)

    async def end() -> None:
        async with trio.open_nursery() as nursery:
            for place, node in enumerate(nodes, 1):
                nursery.start_soon(returns, node, place)

    return end


async def pause(stage: Stage, aim: Aim) -> End | None:
    """Processes are frozen, and go on with their memory."""
    hit = [(node, node.process) for node in stage.chosen(aim.nodes) if node.runs]
    for node, _ in hit:
        node.freeze()

    async def end() -> None:
        for node, process in hit:
            node.thaw(process)
        for node, process in hit:
            if node.process is process:
                await stage.watcher.answering(node)

    return end if hit else None


async def slow_work(stage: Stage, aim: Aim) -> End | None:
    """Workers of these nodes get little time."""
    nodes = [node for node in stage.chosen(aim.nodes) if node.runs]
    over = trio.Event()
    ended = trio.Event()

    async def starve() -> None:
        wait = min(SLOW_SLICE_SECONDS * (aim.amount - 1), SLOW_WAIT_SECONDS_MAX)
        workers = _workers(nodes)
        try:
            while not over.is_set():
                _tell(workers, signal.SIGSTOP)
                with trio.move_on_after(wait):
                    await over.wait()
                workers = _workers(nodes)  # looked for while they stand: that takes longer than they run
                _tell(workers, signal.SIGCONT)
                await trio.sleep(SLOW_SLICE_SECONDS)
        finally:
            _tell(_workers(nodes), signal.SIGCONT)
            ended.set()

    async def end() -> None:
        over.set()
        await ended.wait()

    if not nodes:
        return None
    stage.tasks.start_soon(starve)
    return end


def _workers(nodes: list[LabNode]) -> list[tuple[LabNode, int, int]]:
    """(node, its process, a worker of it) of all workers of the nodes that run."""
    found = []
    for node in nodes:
        if node.process is not None:
            kinds = processes_of(node.process.pid)
            workers = (*kinds.get("verify", ()), *kinds.get("execute", ()))
            found += [(node, node.process.pid, worker) for worker in workers]
    return found


def _tell(workers: list[tuple[LabNode, int, int]], number: int) -> None:
    """A signal to those whose node still runs and is not frozen."""
    for node, pid, worker in workers:
        if node.process is not None and node.process.pid == pid and not node.frozen:
            with suppress(ProcessLookupError):
                os.kill(worker, number)


# -- Lines ------------------------------------------------------------------------------------------


def _others(stage: Stage, aim: Aim) -> tuple[int, ...]:
    return aim.to or tuple(range(len(stage.nodes)))


def _cut(stage: Stage, pairs: list[Pair]) -> End | None:
    return _plain(stage.lines.cut(pairs)) if pairs else None


async def cut(stage: Stage, aim: Aim) -> End | None:
    """Nothing passes between the nodes and those at the far ends."""
    return _cut(stage, stage.lines.between(aim.nodes, _others(stage, aim)))


async def one_way(stage: Stage, aim: Aim) -> End | None:
    """The nodes are not heard any more by those at the far ends."""
    return _cut(stage, stage.lines.from_to(aim.nodes, _others(stage, aim)))


def _groups(stage: Stage, groups: tuple[tuple[int, ...], ...]) -> list[Pair]:
    pairs = [
        pair
        for place, group in enumerate(groups)
        for other in groups[place + 1 :]
        for pair in stage.lines.between(group, other)
    ]
    return list(dict.fromkeys(pairs))


async def partition(stage: Stage, aim: Aim) -> End | None:
    """Nothing passes between groups."""
    return _cut(stage, _groups(stage, aim.groups))


async def shifting(stage: Stage, aim: Aim) -> End | None:
    """Halves that are other ones after each step."""
    order = list(aim.nodes or range(len(stage.nodes)))
    over = trio.CancelScope()

    async def change() -> None:
        with over:
            place = 0
            while True:
                turned = order[place:] + order[:place]
                half = len(turned) // 2
                heal = stage.lines.cut(_groups(stage, (tuple(turned[:half]), tuple(turned[half:]))))
                try:
                    await trio.sleep(aim.amount / 1e6)
                finally:
                    heal()
                place = (place + 1) % len(order)

    async def end() -> None:
        over.cancel()

    if len(order) < 2:
        return None
    stage.tasks.start_soon(change)
    return end


async def delay(stage: Stage, aim: Aim) -> End:
    """Everything takes longer: on these links, or on all if no node is named."""
    pairs = stage.lines.between(aim.nodes, _others(stage, aim)) if aim.nodes else list(stage.lines.ways)
    return _plain(stage.lines.delay(pairs, aim.amount))


async def long_tail(stage: Stage, aim: Aim) -> End:
    """Some chunks take much longer."""
    return _plain(stage.lines.tail(aim.amount))


async def loss(stage: Stage, aim: Aim) -> End:
    """Some chunks wait as if they had been lost."""
    return _plain(stage.lines.lose(aim.amount))


async def corrupt(stage: Stage, aim: Aim) -> End:
    """Some chunks arrive with a bit turned over."""
    return _plain(stage.lines.corrupt(aim.amount))


# -- Disks ------------------------------------------------------------------------------------------


async def disk_full(stage: Stage, aim: Aim) -> End | None:
    """Disks have no room, and have it again later (L-28)."""
    disks = [disk for node in stage.chosen(aim.nodes) if (disk := stage.disks.get(node.index)) is not None]
    for disk in disks:
        disk(True)

    async def end() -> None:
        for disk in disks:
            disk(False)

    return end if disks else None


async def damaged_segment(stage: Stage, aim: Aim) -> End | None:
    """One bit of an old block's record is turned over on a disk."""
    node = stage.chosen(aim.nodes)[0]
    seen = stage.watcher.seen[node.index]
    with trio.move_on_after(EXECUTED_SECONDS):  # final there is not yet executed there
        await stage.watcher.until(lambda: seen.executed_height >= aim.amount)
    if seen.executed_height < aim.amount:
        return None
    place = await trio.to_thread.run_sync(_place_of, node.data / "segments", stage.made.network.network_id, aim.amount)
    if place is None:
        return None
    file, offset = place
    with file.open("r+b") as damaged:
        damaged.seek(offset)
        byte = damaged.read(1)[0]
        damaged.seek(offset)
        damaged.write(bytes([byte ^ 1]))
    return _nothing


def _place_of(segments: Path, network_id: bytes, height: int) -> tuple[Path, int] | None:
    """A byte in the middle of a block's record."""
    stream = BlockStream(segments, network_id)
    try:
        while (item := stream.next()) is not None:
            if isinstance(item, Found) and item.height == height:
                return item.file, item.offset + len(item.data) // 2
    finally:
        stream.close()
    return None


# -- Memories ---------------------------------------------------------------------------------------


def _one_forgets(stage: Stage, aim: Aim) -> LabNode | None:
    """The validator that is hit, if all run and remember (C-24)."""
    validators = [node for node in stage.nodes if node.votes]
    if not all(node.up and stage.watcher.seen[node.index].memory == "known" for node in validators):
        return None
    hit = [stage.nodes[index] for index in aim.nodes[:1] if stage.nodes[index].votes]
    return hit[0] if hit else None


async def lost_disk(stage: Stage, aim: Aim) -> End | None:
    """A validator's disk is gone; at the end it begins again with its keys."""
    node = _one_forgets(stage, aim)
    if node is None:
        return None
    node.held += 1
    await node.kill()
    await trio.to_thread.run_sync(_empty, node.data)

    async def end() -> None:
        await trio.to_thread.run_sync(join, node.directory, stage.made.network.file)
        await _back(stage, node)

    return end


def _empty(data: Path) -> None:
    shutil.rmtree(data)


async def old_image(stage: Stage, aim: Aim) -> End | None:
    """At the end a validator's machine is put back to how it was at the beginning, if all remember then too."""
    node = _one_forgets(stage, aim)
    if node is None:
        return None
    image = node.directory / f"image-{stage.now_ms()}"
    process = node.process
    node.freeze()
    try:
        await trio.to_thread.run_sync(shutil.copytree, node.data, image)
    finally:
        node.thaw(process)

    async def end() -> None:
        if _one_forgets(stage, aim) is None:
            return
        node.held += 1
        await node.kill()
        await trio.to_thread.run_sync(_put_back, node.data, image)
        await _back(stage, node)

    return end


def _put_back(data: Path, image: Path) -> None:
    shutil.rmtree(data)
    shutil.move(image, data)


BEGIN: Final[dict[str, Begin]] = {
    "crash": crash,
    "stop": stop,
    "power_cut": power_cut,
    "pause": pause,
    "slow_work": slow_work,
    "isolate": cut,
    "cut": cut,
    "one_way": one_way,
    "partition": partition,
    "halves": partition,
    "bridge": partition,
    "shifting": shifting,
    "delay_spike": delay,
    "slow_link": delay,
    "long_tail": long_tail,
    "loss": loss,
    "corrupt": corrupt,
    "damaged_segment": damaged_segment,
    "lost_disk": lost_disk,
    "old_image": old_image,
    "disk_full": disk_full,
}
"""Every fault that is made here; the keys of `possible.MADE`."""
