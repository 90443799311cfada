"""The form of a scenario file. What a key means stands at the key; bounds are checked here, sense in `meaning`.

Every key has a default but `words`; defaults are the simulator's own.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.functional_validators import AfterValidator

from daemon.config.problems import show
from daemon.config.values import Table, Wrong, bounded
from daemon.scenarios.durations import Duration, DurationRange, SignedDuration
from protocol.sim.governance import ChangePlan

NODES_MAX = 128
WEIGHT_MAX = 1_000
STRIKES_MAX = 100_000

Node = Annotated[int, Field(ge=0, lt=NODES_MAX)]
Nodes = tuple[Node, ...]
PerMille = Annotated[int, Field(ge=0, le=1_000)]


def _numbers_in_order(pair: tuple[int, int]) -> tuple[int, int]:
    if pair[0] > pair[1]:
        raise Wrong("the smaller number first", show(str(pair)))
    return pair


NumberRange = Annotated[
    tuple[Annotated[int, Field(ge=1, le=10_000)], Annotated[int, Field(ge=1, le=10_000)]],
    AfterValidator(_numbers_in_order),
]


class TimingTable(Table):
    """Parameters of the network (network.toml, `[genesis.parameters]`)."""

    delta: Annotated[Duration, Field(description="Δ: delay within which messages arrive in good times.")] = 100_000
    retry_interval: Annotated[Duration, Field(description="What is unanswered is sent again after so long.")] = 150_000
    relay_delay: Annotated[Duration, Field(description="How long a node trusts others to deliver.")] = 100_000
    idle_interval: Annotated[Duration, Field(description="Without work, an empty block after so long.")] = 600_000
    backoff_max: int = bounded(1, 4_096, "Most that timers are multiplied by.", default=16)
    envelope_ttl_max: Annotated[
        Duration, Field(description="Envelopes live at most so long, and are remembered until then.", ge=1_000)
    ] = 600_000_000
    batch_ttl_max: int = bounded(1, 10_000, "A batch may be referenced for so many heights.", default=64)
    execution_lag_max: int = bounded(1, 1_000, "So many blocks may wait for execution.", default=8)


class SlowTable(Table):
    """Links on which everything always takes longer."""

    nodes: Annotated[Nodes, Field(description="One end.", min_length=1)]
    to: Annotated[Nodes, Field(description="The other ends. Without this: everyone else.")] = ()
    extra: Annotated[Duration, Field(description="Added to every delay, each way.")]


class LinkTable(Table):
    """How links behave."""

    ordered: Annotated[
        bool,
        Field(description="As over TCP: in order, or the connection breaks. Otherwise each message goes for itself."),
    ] = True
    base: Annotated[Duration, Field(description="Least delay.")] = 5_000
    jitter: Annotated[Duration, Field(description="Added at random, up to this.")] = 15_000
    tail_per_mille: Annotated[PerMille, Field(description="Of 1,000 messages so many take longer.")] = 5
    tail: Annotated[Duration, Field(description="...by up to this.")] = 60_000
    lose_per_mille: Annotated[PerMille, Field(description="Lost; where links are ordered, the connection breaks.")] = 0
    double_per_mille: Annotated[PerMille, Field(description="Arrive twice, where links are not ordered.")] = 0
    corrupt_per_mille: Annotated[PerMille, Field(description="Arrive corrupted, which ends the connection.")] = 0
    reconnect: Annotated[DurationRange, Field(description="From a break to the next connection.")] = (20_000, 200_000)
    give_up: Annotated[Duration, Field(description="A connection outlasts a cut of so long.")] = 1_500_000
    slow: Annotated[tuple[SlowTable, ...], Field(description="Links that are always slower.")] = ()


class LoadTable(Table):
    """What clients do: bursts of envelopes to random nodes, and quiet."""

    clients: int = bounded(1, 1_000, "How many accounts.", default=6)
    busy: Annotated[DurationRange, Field(description="Length of a burst.")] = (200_000, 1_200_000)
    quiet: Annotated[DurationRange, Field(description="Between two bursts.")] = (100_000, 1_500_000)
    pause: Annotated[DurationRange, Field(description="Between two posts of a burst.")] = (20_000, 250_000)
    envelopes: Annotated[NumberRange, Field(description="In one post.")] = (1, 3)
    patience: Annotated[Duration, Field(description="Posted again when it is not final after so long.")] = 1_500_000
    lifetime: Annotated[Duration, Field(description="Validity of an envelope.")] = 500_000_000
    short_lifetime: Annotated[Duration, Field(description="...of some.")] = 3_000_000
    short_per_mille: Annotated[PerMille, Field(description="How many those are.")] = 50
    bad_per_mille: Annotated[PerMille, Field(description="Have a bad signature, and must be refused.")] = 20
    twice_per_mille: Annotated[PerMille, Field(description="Are posted to two nodes at once.")] = 100


class DiskTable(Table):
    """How disks behave. In the simulator only."""

    sync: Annotated[DurationRange, Field(description="How long a sync takes.")] = (300, 700)
    maintenance: Annotated[DurationRange, Field(description="From a block's arrival to the sync of segments.")] = (
        20_000,
        400_000,
    )
    rotate_records: int = bounded(4, 1_000_000, "The journal is rotated when it holds so many records.", default=80)
    keep_nothing_per_mille: Annotated[
        PerMille, Field(description="How often a crash takes all that was not synced; otherwise a part of it stays.")
    ] = 400


class WorkTable(Table):
    """How long workers take. In the simulator only."""

    check: Annotated[Duration, Field(description="Any check.")] = 60
    signature: Annotated[Duration, Field(description="...and each signature in it.")] = 55
    execute: Annotated[Duration, Field(description="A block.")] = 200
    envelope: Annotated[Duration, Field(description="Each envelope.")] = 40
    read: Annotated[Duration, Field(description="Reading blocks.")] = 150


class StorageTable(Table):
    """What nodes keep, and how those begin that have no blocks: `[storage]` of node.toml."""

    snapshot_interval: Annotated[
        Duration, Field(description="Every node makes a snapshot so often, of block time; 0 s: none does.")
    ] = 0
    by_snapshot: Annotated[
        Nodes, Field(description="Nodes that begin with a snapshot where they have no blocks (sync = snapshot).")
    ] = ()
    pruned: Annotated[Nodes, Field(description="Nodes that keep only the newest blocks (keep).")] = ()
    keep_blocks: int = bounded(1, 1_000_000, "...so many, and those that somebody needs.", default=1)


class FaultsTable(Table):
    """Faults drawn at random from the seed."""

    weights: dict[str, Annotated[int, Field(ge=1, le=WEIGHT_MAX)]] = Field(
        default_factory=dict, description="Fault to weight: how often it is drawn, compared with the others."
    )
    interval: Annotated[DurationRange, Field(description="From one beginning to the next.")] = (50_000, 900_000)
    lasts: Annotated[DurationRange, Field(description="How long one lasts.")] = (20_000, 1_500_000)
    until: Annotated[
        Duration, Field(description="None begins or lasts after this; clients come and go at least so long.")
    ] = 6_000_000


class ChangesTable(Table):
    """Members change who votes, again and again, as long as faults last (rules version 2)."""

    weights: dict[str, Annotated[int, Field(ge=1, le=WEIGHT_MAX)]] = Field(
        default_factory=lambda: dict(ChangePlan().weights),
        description="Change to weight: add, remove, replace, rotate, rotate_all, power.",
    )
    pause: Annotated[DurationRange, Field(description="From the end of one to the next proposal.")] = (50_000, 500_000)
    look: Annotated[Duration, Field(description="Members look at the state so often.", ge=1_000)] = 60_000
    least: int = bounded(1, 100, "Fewest validators of a set.", default=4)
    most: int = bounded(1, 100, "Most validators of a set.", default=6)


class AtTable(Table):
    """One fault at a moment. Exactly one of time, height, nullified, leader and joining says when."""

    time: Annotated[Duration | None, Field(description="So long after the start.")] = None
    height: Annotated[int | None, Field(description="When a node is final at this height.", ge=1)] = None
    nullified: Annotated[int | None, Field(description="When so many views were nullified.", ge=1)] = None
    leader: Annotated[int | None, Field(description="When this node leads.", ge=0)] = None
    joining: Annotated[int | None, Field(description="When this node is in the middle of a snapshot.", ge=0)] = None
    within: Annotated[Duration, Field(description="A condition that has not come by then is passed over.")] = 60_000_000
    fault: Annotated[str, Field(description="Which fault; `papilio sim list --faults` shows them.")]
    nodes: Annotated[Nodes, Field(description="Whom it hits, from 0. Without this: all, where that has a sense.")] = ()
    to: Annotated[Nodes, Field(description="The far ends, of faults of links. Without this: everyone else.")] = ()
    groups: Annotated[
        tuple[Nodes, ...],
        Field(description="Parts of a partition. A node in none of them is a bridge: it hears all."),
    ] = ()
    lasts: Annotated[Duration | None, Field(description="How long.")] = None
    times: int = bounded(1, 10_000, "It happens so often.", default=1)
    every: Annotated[Duration, Field(description="From one beginning to the next.")] = 0
    stagger: Annotated[Duration, Field(description="Nodes are hit one after the other, so far apart.")] = 0
    extra: Annotated[Duration | None, Field(description="Of delays: how much longer.")] = None
    step: Annotated[Duration | None, Field(description="Of shifting partitions: from one change to the next.")] = None
    by: Annotated[SignedDuration | None, Field(description="Of clocks: how wrong, ahead or (-) behind.")] = None
    per_mille: Annotated[PerMille | None, Field(description="Of losses and corrupt frames: so many of 1,000.")] = None
    factor: Annotated[int | None, Field(description="Of slow disks and workers.", ge=1, le=100_000)] = None
    block: Annotated[int | None, Field(description="Of damage: the height that is hit.", ge=1)] = None


class ScenarioFile(Table):
    """What happens to a network, and how soon it has to be whole again afterwards."""

    words: Annotated[str, Field(description="What happens, for an operator.", min_length=8, max_length=200)]
    members: int = bounded(1, 100, "Members with a validator each; they are the first nodes, from 0.", default=4)
    powers: Annotated[
        tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...],
        Field(description="Voting power of each. Without this: one each."),
    ] = ()
    observers: int = bounded(0, 16, "Nodes that only follow; the last nodes.", default=0)
    topology: Annotated[
        Literal["mesh", "ring", "star", "sites"],
        Field(description="Who is linked. star: all to node 0; sites: two halves joined by one link."),
    ] = "mesh"
    links: Annotated[tuple[tuple[Node, Node], ...], Field(description="Links one by one, in place of a topology.")] = ()
    byzantine: Annotated[
        tuple[str, ...], Field(description="Members that lie: actors of the last validators, one each.")
    ] = ()
    twin: Annotated[
        Literal["", "clone", "keys", "at-once", "old-clone"],
        Field(
            description="A second machine with node 0's keys; one of them has to stop: a copy of it while it runs, its "
            "keys on an empty disk, both new and started at once, or a copy from long before."
        ),
    ] = ""
    bound_deltas: int = bounded(
        1, 100_000, "So many Δ after the last fault all that was accepted is final on every honest node.", default=64
    )
    real_signatures: Annotated[bool, Field(description="Ed25519 in place of the fast stand-in.")] = False
    own_disk_suffices: Annotated[
        bool, Field(description="A node that restarts has what it told clients, without asking others.")
    ] = True
    timing: Annotated[TimingTable, Field(description="Parameters of the network.")] = TimingTable()
    link: Annotated[LinkTable, Field(description="How links behave.")] = LinkTable()
    load: Annotated[LoadTable, Field(description="What clients do.")] = LoadTable()
    disk: Annotated[DiskTable, Field(description="How disks behave.")] = DiskTable()
    work: Annotated[WorkTable, Field(description="How long workers take.")] = WorkTable()
    storage: Annotated[StorageTable, Field(description="What nodes keep, and how new ones begin.")] = StorageTable()
    faults: Annotated[FaultsTable, Field(description="Faults drawn at random.")] = FaultsTable()
    changes: Annotated[
        ChangesTable | None, Field(description="Members change who votes. Without this: nobody does.")
    ] = None
    at: Annotated[tuple[AtTable, ...], Field(description="Faults at their moment.", max_length=10_000)] = ()
