"""Scenarios: what a run is made of, and the named ones.

A scenario is data: how many members, which links, which faults with which weights, which liars, how busy
clients are, and within how many Δ after the last fault everything that was accepted has to be final. Add one
here with a sentence that means something to an operator.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from protocol.sim.disk import DiskModel
from protocol.sim.faults import FaultPlan
from protocol.sim.governance import ChangePlan
from protocol.sim.network import LinkModel
from protocol.sim.surroundings import WorkModel
from protocol.sim.workload import Load


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that a run depends on, besides the seed."""

    name: str
    words: str
    members: int = 4
    powers: tuple[int, ...] = ()
    """Of each member; empty: one each."""
    observers: int = 0
    topology: str = "mesh"
    byzantine: tuple[str, ...] = ()
    """Actors of the last validators, one each."""
    faults: FaultPlan = field(default_factory=FaultPlan)
    link: LinkModel = field(default_factory=lambda: LinkModel(base_us=5_000, jitter_us=15_000))
    disk: DiskModel = field(default_factory=DiskModel)
    work: WorkModel = field(default_factory=WorkModel)
    load: Load = field(default_factory=Load)
    changes: ChangePlan | None = None
    """How the members change who votes; None: never, under the first version of the rules."""
    real_signatures: bool = False
    own_disk_suffices: bool = True
    """A node that restarts has what it acknowledged as final at once, without asking others. Without this the network
    has to have it: what was final when everyone lost power is final again, and on every disk in the end."""
    delta_ms: int = 100
    retry_interval_ms: int = 150
    relay_delay_ms: int = 100
    idle_interval_ms: int = 600
    backoff_max: int = 16
    bound_deltas: int = 64
    """After the last fault, in Δ: the model's worst was 44, from a cap of 16; the rest is for pools and sync."""


_ALL = (
    ("crash", 6),
    ("power_cut", 2),
    ("isolate", 2),
    ("halves", 2),
    ("one_way", 2),
    ("delay_spike", 3),
    ("loss", 2),
    ("clock_skew", 1),
    ("slow_disk", 1),
    ("failing_sync", 1),
    ("slow_work", 1),
    ("disk_full", 1),
)
_QUIET = Scenario("quiet", "nothing goes wrong", faults=FaultPlan(until_ms=3_000), bound_deltas=16)
_LOOSE = LinkModel(
    ordered=False,
    base_us=5_000,
    jitter_us=30_000,
    tail_per_mille=20,
    tail_us=150_000,
    lose_per_mille=20,
    double_per_mille=20,
)

_NAMED = (
    _QUIET,
    replace(_QUIET, name="one", words="a network of one member", members=1),
    replace(_QUIET, name="two", words="a network of two members: nothing tolerated", members=2),
    replace(_QUIET, name="three", words="a network of three members: nothing tolerated", members=3),
    Scenario("crashes", "members crash and come back", faults=FaultPlan((("crash", 8), ("delay_spike", 1)))),
    Scenario(
        "power-cuts",
        "everyone loses power at once, again and again",
        faults=FaultPlan((("power_cut", 4), ("delay_spike", 1)), interval_ms=(30, 500)),
    ),
    Scenario(
        "partitions",
        "the network falls apart in changing ways",
        faults=FaultPlan((("halves", 3), ("isolate", 2), ("one_way", 2), ("delay_spike", 1))),
    ),
    Scenario(
        "lossy",
        "links lose, double, delay and reorder single messages",
        link=_LOOSE,
        faults=FaultPlan((("loss", 2), ("delay_spike", 2))),
    ),
    Scenario("everything", "all faults at once", faults=FaultPlan(_ALL)),
    Scenario("everything-lossy", "all faults at once over loose links", link=_LOOSE, faults=FaultPlan(_ALL)),
    Scenario("silent-leader", "one member never proposes", byzantine=("silent_leader",)),
    Scenario(
        "byzantine-leader",
        "one leader proposes two things at once, under faults",
        byzantine=("equivocating_leader",),
        faults=FaultPlan((("crash", 3), ("one_way", 2), ("delay_spike", 3), ("halves", 1))),
    ),
    Scenario(
        "stale-leader",
        "one leader proposes beside what was just notarized, under faults",
        byzantine=("stale_leader",),
        faults=FaultPlan((("crash", 2), ("one_way", 2), ("delay_spike", 3))),
    ),
    Scenario(
        "storm",
        "short cuts everywhere over links that lose a tenth of everything",
        link=LinkModel(
            ordered=False, base_us=15_000, jitter_us=120_000, tail_per_mille=100, tail_us=300_000, lose_per_mille=100
        ),
        faults=FaultPlan(
            (("isolate", 4), ("one_way", 4), ("halves", 3), ("delay_spike", 1)),
            interval_ms=(20, 200),
            duration_ms=(50, 500),
        ),
        load=Load(pause_ms=(20, 200), quiet_ms=(1, 200), busy_ms=(1_000, 2_000)),
        bound_deltas=200,
    ),
    Scenario(
        "double-voter",
        "one member signs both of what excludes each other, under faults",
        byzantine=("double_voter",),
        faults=FaultPlan((("crash", 3), ("one_way", 2), ("delay_spike", 3), ("halves", 1))),
    ),
    Scenario(
        "slow-links",
        "delays near the timeouts, so that views end both ways",
        link=LinkModel(base_us=60_000, jitter_us=90_000),
        faults=FaultPlan((("delay_spike", 3), ("crash", 2), ("power_cut", 1), ("one_way", 1))),
        load=Load(pause_ms=(20, 120), quiet_ms=(50, 300)),
    ),
    Scenario("ring", "links form a ring", topology="ring", faults=FaultPlan((("crash", 2), ("delay_spike", 1)))),
    Scenario(
        "star", "all links meet at one member", topology="star", faults=FaultPlan((("crash", 2), ("delay_spike", 1)))
    ),
    Scenario(
        "sites", "two sites joined by one link", topology="sites", faults=FaultPlan((("halves", 1), ("crash", 2)))
    ),
    Scenario(
        "seven",
        "seven members, two of them liars",
        members=7,
        byzantine=("equivocating_leader", "double_voter"),
        faults=FaultPlan((("crash", 3), ("halves", 1), ("delay_spike", 2)), until_ms=4_000),
    ),
    Scenario("unequal", "members of unequal power", powers=(5, 3, 3, 2), faults=FaultPlan(_ALL)),
    Scenario(
        "one-power-cuts",
        "a network of one member loses power",
        members=1,
        faults=FaultPlan((("crash", 1),), interval_ms=(50, 400)),
    ),
    Scenario("two-crashes", "two members, each needed", members=2, faults=FaultPlan((("crash", 3), ("power_cut", 1)))),
    Scenario(
        "three-crashes", "three members, each needed", members=3, faults=FaultPlan((("crash", 3), ("power_cut", 1)))
    ),
    Scenario(
        "changes-in-quiet",
        "who votes changes again and again, and nothing goes wrong",
        members=5,
        observers=2,
        changes=ChangePlan(),
        faults=FaultPlan(until_ms=6_000),
        bound_deltas=100,
    ),
    Scenario(
        "changes",
        "who votes changes under all faults at once",
        members=5,
        observers=2,
        changes=ChangePlan(),
        faults=FaultPlan(_ALL, until_ms=8_000),
        bound_deltas=160,
    ),
    Scenario(
        "changes-lossy",
        "who votes changes over links that lose, double, delay and reorder, with crashes and power cuts",
        members=4,
        observers=2,
        link=_LOOSE,
        changes=ChangePlan(),
        faults=FaultPlan((("crash", 4), ("power_cut", 2), ("halves", 2), ("loss", 1)), until_ms=8_000),
        bound_deltas=200,
    ),
    Scenario(
        "changes-byzantine",
        "who votes changes while one member equivocates and another never gives its old voting keys up",
        members=7,
        observers=2,
        byzantine=("revenant", "equivocating_leader"),
        changes=ChangePlan(least=6, most=8),
        faults=FaultPlan((("crash", 3), ("halves", 1), ("delay_spike", 2)), until_ms=8_000),
        bound_deltas=200,
    ),
    Scenario(
        "real-signatures", "everything, with real Ed25519", real_signatures=True, faults=FaultPlan(_ALL, until_ms=3_000)
    ),
)

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _NAMED}
"""All of them by name."""
