"""The workers of one simulated machine: checks beside each other, blocks one after the other (duties 3 and 4).

Work takes a while that depends on its size, is drawn from the machine's generator, and grows while the machine is slow
(a fault). What it gives is stepped into the node, unless the life that asked for it is over.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from protocol.node.interface import (
    BatchChecked,
    BlockExecuted,
    BlocksRead,
    CheckBatch,
    CheckEnvelopes,
    CheckSignatures,
    Effect,
    EnvelopesChecked,
    Execute,
    Input,
    ReadBlocks,
    ReadSnapshot,
    SignaturesChecked,
    SnapshotRead,
)
from protocol.snapshot.serving import answer

if TYPE_CHECKING:
    from protocol.sim.host import Host


class Workers:
    """The workers of one life of a host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.executions: deque[Execute] = deque()
        self.executing = False

    def _after(self, cost_us: int) -> int:
        host = self.host
        return host.generator.randint(cost_us, 2 * cost_us) * host.around.work.slow_factor * host.work_factor

    def check(self, effect: Effect) -> None:
        """Take on a check or a reading."""
        model = self.host.around.work
        match effect:
            case CheckSignatures(items=items):
                cost_us = model.check_us + model.signature_us * len(items)
            case CheckEnvelopes(envelopes=envelopes):
                cost_us = model.check_us + model.envelope_us * len(envelopes)
            case ReadBlocks() | ReadSnapshot():
                cost_us = model.read_us
            case _:
                cost_us = model.check_us + model.envelope_us * 4
        self.host.later(self._after(cost_us), self._checked, self.host.life, effect)

    def _checked(self, life: int, effect: Effect) -> None:
        if life == self.host.life:
            self.host.step(self._result(effect))

    def _result(self, effect: Effect) -> Input:
        host = self.host
        services = host.around.services
        match effect:
            case CheckSignatures(job=job, items=items):
                return SignaturesChecked(job, tuple([services.check_signature(item) for item in items]))
            case CheckEnvelopes(job=job, envelopes=envelopes):
                clock_ms, tables = host.now().wall_ms, host.disk.tables
                return EnvelopesChecked(job, services.check_envelopes(tables, envelopes, clock_ms, host.member))
            case CheckBatch(job=job, data=data):
                return BatchChecked(job, services.check_batch(data))
            case ReadBlocks(job=job, first_height=first, count=count, bytes_max=bytes_max):
                return BlocksRead(job, first, host.disk.read(first, count, bytes_max))
            case ReadSnapshot(job=job, question=question):
                return SnapshotRead(job, tuple(answer(host.snapshots, question)))
            case _:
                raise AssertionError(f"not work: {effect!r}")

    def execute(self, effect: Execute) -> None:
        """Take on a block, after those before it."""
        self.executions.append(effect)
        self._execute_next()

    def _execute_next(self) -> None:
        if self.executing or not self.executions:
            return
        self.executing = True
        model, effect = self.host.around.work, self.executions.popleft()
        cost_us = model.execute_us + model.envelope_us * 4 * len(effect.batches)
        self.host.later(self._after(cost_us), self._executed, self.host.life, effect)

    def _executed(self, life: int, effect: Execute) -> None:
        host = self.host
        if life != host.life:
            return
        self.executing = False
        if effect.height != host.disk.executed.last + 1:
            host.broken(f"executes height {effect.height} on a state of height {host.disk.executed.last}")
            return
        result = host.around.services.execute(host.disk.tables, effect.height, effect.header, effect.batches)
        host.disk.apply(result.writes, result.executed)
        host.around.watcher.executed(host, effect.height, result.outcomes)
        host.step(BlockExecuted(result.executed, result.outcomes, result.governed))
        if life == host.life:
            self._execute_next()
