"""How messages, bytes and events a block grow with the number of validators: the same quiet load, one run each."""

from __future__ import annotations

from dataclasses import dataclass, replace

from protocol.sim.faults.driver import FaultPlan
from protocol.sim.run import run
from protocol.sim.scenarios import Scenario
from protocol.sim.workload import Load

SIZES = (1, 2, 3, 4, 7, 10, 31, 100)
SECONDS_MS = 2_000
LARGE = 20
"""From here on half of the time suffices: there is much in it."""

_QUIET = Scenario(
    "scale",
    "a steady load and no faults",
    load=Load(busy_ms=(500, 500), quiet_ms=(1, 1), pause_ms=(50, 50), envelopes=(2, 2), bad_per_mille=0),
    retry_interval_ms=500,
    relay_delay_ms=500,
    idle_interval_ms=2_000,
)


@dataclass(frozen=True, slots=True)
class Size:
    """One number of validators."""

    members: int
    blocks: int
    simulated_ms: int
    messages: int
    message_bytes: int
    events: int

    def a_block(self) -> dict[str, int]:
        """Of each, for a block; messages and bytes are those of all nodes together."""
        blocks = max(self.blocks, 1)
        return {
            "messages": self.messages // blocks,
            "bytes": self.message_bytes // blocks,
            "events": self.events // blocks,
            "ms": self.simulated_ms // blocks,
        }


def measure(members: int, seed: int) -> Size:
    """One run. A violated rule is a fault of ours."""
    until_ms = SECONDS_MS if members < LARGE else SECONDS_MS // 2
    report = run(replace(_QUIET, members=members, faults=FaultPlan(until_ms=until_ms)), seed)
    assert report.ok, report.text()
    return Size(members, report.blocks, report.simulated_ms, report.messages, report.message_bytes, report.events)
