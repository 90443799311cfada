"""A scenario: all that a run depends on, besides the seed.

How many members, which links, which faults with which weights, which faults at which time, which liars, how busy
clients are, and within how many Δ after the last fault everything that was accepted has to be final. The named ones
are files that operators read and write (configs/scenarios, daemon/scenarios); here is only what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.sim.disk import DiskModel
from protocol.sim.faults.driver import FaultPlan
from protocol.sim.governance import ChangePlan
from protocol.sim.network import LinkModel, Pairs
from protocol.sim.surroundings import WorkModel
from protocol.sim.timetable import At
from protocol.sim.upkeep import StoragePlan
from protocol.sim.workload import Load


@dataclass(frozen=True, slots=True)
class SlowLinks:
    """Links on which everything always takes longer: from each of `nodes` to each of `to` (empty: to everyone else)."""

    nodes: tuple[int, ...]
    to: tuple[int, ...]
    extra_us: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that a run depends on, besides the seed."""

    name: str
    words: str
    members: int = 4
    powers: tuple[int, ...] = ()
    """Of each validator, in the order of the nodes; empty: one each."""
    observers: int = 0
    topology: str = "mesh"
    links: Pairs = frozenset()
    """Links in place of a topology's; empty: the topology's."""
    slow_links: tuple[SlowLinks, ...] = ()
    byzantine: tuple[str, ...] = ()
    """Actors of the last validators, one each."""
    faults: FaultPlan = field(default_factory=FaultPlan)
    timetable: tuple[At, ...] = ()
    link: LinkModel = field(default_factory=lambda: LinkModel(base_us=5_000, jitter_us=15_000))
    disk: DiskModel = field(default_factory=DiskModel)
    work: WorkModel = field(default_factory=WorkModel)
    load: Load = field(default_factory=Load)
    storage: StoragePlan = field(default_factory=StoragePlan)
    changes: ChangePlan | None = None
    """How the members change who votes; None: never, under the first version of the rules."""
    real_signatures: bool = False
    twin: str = ""
    """A second machine with the first member's keys: how it comes about (`protocol.sim.twin.TWINS`); empty: none."""
    own_disk_suffices: bool = True
    """A node that restarts has what it acknowledged as final at once, without asking others. Without this the network
    has to have it: what was final when everyone lost power is final again, and on every disk in the end."""
    envelope_ttl_max_ms: int = 600_000
    batch_ttl_max: int = 64
    execution_lag_max: int = 8
    delta_ms: int = 100
    retry_interval_ms: int = 150
    relay_delay_ms: int = 100
    idle_interval_ms: int = 600
    backoff_max: int = 16
    bound_deltas: int = 64
    """After the last fault, in Δ: the model's worst was 44, from a cap of 16; the rest is for pools and sync."""
    source: str = ""
    """How the command line names it: the name of a shipped one, or a file."""
