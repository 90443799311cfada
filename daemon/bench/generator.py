"""A load generator as a process: `python -m daemon.bench.generator`, with a plan on standard input (plans.py)."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import trio

from daemon.bench.bystanders import Bystanders
from daemon.bench.following import Follower
from daemon.bench.plans import BystandPlan, FollowPlan, PostPlan, Seen, read_plan
from daemon.bench.posting import Poster


class _Told:
    """Lines of standard input, one at a time; the end of input ends the process."""

    def __init__(self) -> None:
        self._stream = trio.lowlevel.FdStream(0)
        self._rest = b""

    async def line(self) -> bytes:
        while b"\n" not in self._rest:
            data = await self._stream.receive_some()
            if not data:
                os._exit(1)
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    async def number(self, word: bytes) -> float:
        """The number of `word NUMBER`."""
        said, _, number = (await self.line()).partition(b" ")
        assert said == word, f"told {said!r}, not {word!r}"
        return float(number)


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _post(plan: PostPlan, told: _Told) -> Seen:
    poster = Poster(plan)
    await poster.connect()
    _say("ready")
    start = await told.number(b"go")
    before = _cpu_seconds()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(told.line)  # nothing more is said: it sees the end of input, and ends us
        await poster.run(start)
        nursery.cancel_scope.cancel()
    poster.seen.cpu_seconds = _cpu_seconds() - before
    return poster.seen


async def _follow(plan: FollowPlan, told: _Told) -> Seen:
    follower = Follower(plan)
    await follower.connect()
    async with trio.open_nursery() as nursery:
        await follower.run(nursery)
        _say("ready")
        await told.number(b"go")
        before = _cpu_seconds()
        await follower.until(int(await told.number(b"until")))
        nursery.cancel_scope.cancel()
    follower.seen.cpu_seconds = _cpu_seconds() - before
    return follower.seen


async def _bystand(plan: BystandPlan, told: _Told) -> Seen:
    bystanders = Bystanders(plan)
    async with trio.open_nursery() as nursery:
        await bystanders.connect(nursery)
        _say("ready")
        await told.number(b"go")
        before = _cpu_seconds()
        await bystanders.run(nursery)
        await told.number(b"until")
        nursery.cancel_scope.cancel()
    bystanders.seen.cpu_seconds = _cpu_seconds() - before
    return bystanders.seen


async def _main() -> None:
    told = _Told()
    plan = read_plan(await told.line())
    if isinstance(plan, PostPlan):
        seen = await _post(plan, told)
    elif isinstance(plan, FollowPlan):
        seen = await _follow(plan, told)
    else:
        seen = await _bystand(plan, told)
    seen.write(Path(plan.out))
    _say("done")


if __name__ == "__main__":
    trio.run(_main)
