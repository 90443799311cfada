"""The driver: the one task that steps the node.

It takes inputs from the inbox, steps the node with the time of that moment, and gives the effects to the pump, all
without an await in between. So a step and the taking of its effects are one event for every other task, and no lock is
needed anywhere. It gives way after `LOOP_RUN_MS` at the latest (fairness), and wakes itself when `wake_at_ms` has come.

**When the node is wrong.** A step that raises, whatever it raises, is our bug: bad input never does (rule 6 of the
architecture). The pump is stopped first, in the same breath, so that nothing of this or an earlier step that still
waited is written or sent; then `NodeStopped` leaves this task, with the input's description for the report. `Halt`
ends in the same way with the node's own code.

When the pump has stopped for a reason of its own (a commit failed), the node is not stepped any more: what that task
raised is on its way, and is what the operator has to hear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from hashlib import sha256
from typing import Protocol

import trio

from daemon import limits
from daemon.runtime.clock import Clock
from daemon.runtime.inbox import Inbox
from daemon.runtime.pump import Halted, Pump
from protocol import errors
from protocol.node.interface import Effect, Input, Now, Tick


class Machine(Protocol):
    """What is driven: `protocol.node.node.Node`."""

    @property
    def wake_at_ms(self) -> int | None:
        """Monotonic time of the next `Tick`, or None."""
        ...

    def start(self, now: Now) -> Sequence[Effect]:
        """First effects."""
        ...

    def step(self, item: Input, now: Now) -> Sequence[Effect]:
        """Effects of one input."""
        ...


class NodeStopped(Exception):
    """The node stopped itself: `code` of the table, `words`, and what it was doing (no content, no secrets)."""

    def __init__(self, code: str, words: str, doing: dict[str, object]) -> None:
        super().__init__(f"{code}: {words}")
        self.code = code
        self.words = words
        self.doing = doing


class Driver:
    """Steps `node` with inputs from `inbox` and hands effects to `pump`."""

    def __init__(
        self, node: Machine, clock: Clock, inbox: Inbox, pump: Pump, *, after_step: Callable[[], None] = lambda: None
    ) -> None:
        self._node = node
        self._clock = clock
        self._inbox = inbox
        self._pump = pump
        self._after_step = after_step
        self.steps = 0
        self.step_ms_max = 0

    def start(self) -> None:
        """The node's first effects. Raises NodeStopped."""
        now = self._clock.now()
        self._guarded(None, lambda: self._node.start(now))

    async def run(self) -> None:
        """Step until cancelled. Raises NodeStopped."""
        while True:
            ticks = await self._wait()
            if self._pump.stopped:
                await trio.sleep_forever()
            began = now = self._clock.now()
            item = Tick() if ticks else self._inbox.pop()
            while item is not None:
                self.steps += 1
                self._guarded(item, partial(self._node.step, item, now))
                later = self._clock.now()
                self.step_ms_max = max(self.step_ms_max, later.monotonic_ms - now.monotonic_ms)
                now = later
                if now.monotonic_ms - began.monotonic_ms >= limits.LOOP_RUN_MS:
                    break
                item = self._inbox.pop()
            self._after_step()

    async def _wait(self) -> bool:
        """Until an input or `wake_at_ms`; a checkpoint in any case. Whether the latter has come.

        Asked once for all inputs that wait: a timer that comes up meanwhile is late by `LOOP_RUN_MS` at most.
        """
        wake_at_ms = self._node.wake_at_ms
        if wake_at_ms is None:
            await self._inbox.wait()
            return False
        pause_ms = wake_at_ms - self._clock.now().monotonic_ms
        if pause_ms <= 0:
            await trio.lowlevel.checkpoint()
            return True
        if len(self._inbox):
            await trio.lowlevel.checkpoint()
            return False
        with trio.move_on_after(pause_ms / 1000) as patience:
            await self._inbox.wait()
        return patience.cancelled_caught

    def _guarded(self, item: Input | None, step: Callable[[], Sequence[Effect]]) -> None:
        try:
            self._pump.take(step())
        except Halted as halted:
            raise NodeStopped(halted.effect.code, halted.effect.words, describe(item)) from None
        except errors.BrokenInvariant as fault:
            self._pump.stop()
            raise NodeStopped(fault.code, fault.words, describe(item)) from fault
        except Exception as fault:
            self._pump.stop()
            raise NodeStopped(errors.BROKEN_INVARIANT, f"{type(fault).__name__}: {fault}", describe(item)) from fault


def describe(item: object) -> dict[str, object]:
    """An input or effect for a report: its name and fields, byte strings as length and hash only."""
    if item is None:
        return {"input": "start"}
    facts: dict[str, object] = {"input": type(item).__name__}
    if is_dataclass(item):
        facts |= {field.name: _summary(getattr(item, field.name)) for field in fields(item)}
    return facts


def _summary(value: object) -> object:
    if isinstance(value, bytes):
        return f"{len(value)} bytes, sha256 {sha256(value).hexdigest()}"
    if isinstance(value, tuple):
        return f"{len(value)} items"
    if isinstance(value, int | str | bool | None):
        return value
    return type(value).__name__
