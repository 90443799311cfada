"""A world: hosts, links, clients, faults and checkers, put together from a scenario and a seed.

A run has two times. First faults happen and clients come and go. When the last fault is over (`calm`: by the clock
for faults that are drawn, by the timetable for those of a timetable),
everything is whole again, clients post once more what is owed to them, and from then on the network has
`bound_deltas` Δ in which all honest nodes have to be final on the same chain with nothing owed. As soon as that
is so the run ends.

Each part draws from a generator of its own, so that a change in one (another fault) leaves the others' draws
alone.
"""

from __future__ import annotations

from collections import Counter

from protocol import limits
from protocol.ledger.genesis import (
    FIRST_EPOCH,
    Genesis,
    GenesisMember,
    GenesisObserver,
    GenesisValidator,
    Parameters,
    RulesFrom,
    check_genesis,
    network_id,
)
from protocol.ledger.records import Block
from protocol.node.interface import Admitted, Outcome, Refusal
from protocol.node.setup import NodeSetup, NodeStatus
from protocol.sim.bench import Bench
from protocol.sim.byzantine import ACTORS, Stage
from protocol.sim.disk import Disk
from protocol.sim.events import MS_US, Schedule, stream
from protocol.sim.faults.driver import FaultDriver
from protocol.sim.governance import Members
from protocol.sim.host import Host
from protocol.sim.network import TOPOLOGIES, Network, Pairs, with_twin
from protocol.sim.scenarios import Scenario
from protocol.sim.services import MakeServices, NodeFactory
from protocol.sim.signatures import Scheme
from protocol.sim.surroundings import WALL_START_MS, Surroundings
from protocol.sim.timetable import At
from protocol.sim.twin import Twin
from protocol.sim.workload import Clients

RULES_VERSION = 1
GOVERNED_RULES_VERSION = 2
"""Of runs in which the members change who votes."""
SAMPLE_US = 250 * MS_US
"""Between two looks at the tables of all nodes."""
NEVER_US = 1 << 62
"""Later than any run."""


def make_genesis(scenario: Scenario, scheme: Scheme) -> tuple[Genesis, tuple[str, ...]]:
    """The network's genesis, and the name of each validator's keys in the order of the set.

    Keys are given out so that validator, node and member have the same number.
    """
    names = [f"member {index:03}" for index in range(scenario.members)]
    keys = sorted(names, key=lambda name: scheme.key(f"{name} vote").public)
    powers = scenario.powers or (1,) * scenario.members
    validators = [
        GenesisValidator(name, scheme.key(f"{key} node").public, scheme.key(f"{key} vote").public, power)
        for name, key, power in zip(names, keys, powers, strict=True)
    ]
    watching = sorted(scheme.key(f"observer {index} node").public for index in range(scenario.observers))
    genesis = Genesis(
        name="sim",  # not the scenario's: under another name a scenario is the same run
        created_ms=WALL_START_MS - 1_000,
        parameters=_parameters(scenario),
        rules=(RulesFrom(1, RULES_VERSION if scenario.changes is None else GOVERNED_RULES_VERSION),),
        members=tuple(GenesisMember(name, (scheme.key(f"{name} account").public,), 1, None) for name in names),
        validators=tuple(validators),
        observers=tuple(GenesisObserver(None, key) for key in watching),
    )
    check_genesis(genesis)
    return genesis, tuple(keys)


def _parameters(scenario: Scenario) -> Parameters:
    return Parameters(
        delta_ms=scenario.delta_ms,
        idle_interval_ms=scenario.idle_interval_ms,
        backoff_max=scenario.backoff_max,
        retry_interval_ms=scenario.retry_interval_ms,
        batch_bytes=16 * limits.KIB,
        batch_wait_ms=5,
        relay_delay_ms=scenario.relay_delay_ms,
        envelope_ttl_max_ms=scenario.envelope_ttl_max_ms,
        batch_ttl_max=scenario.batch_ttl_max,
        execution_lag_max=scenario.execution_lag_max,
        clock_drift_max_ms=500,
        block_references_max=16,
        block_bytes_max=limits.BATCH_BYTES_MAX,
        block_envelopes_max=limits.BATCH_ENVELOPES_MAX,
        state_quota_bytes=limits.U53_MAX,
    )


class World:
    """Everything in a run. It is the watcher of all hosts, and passes on to checkers and clients."""

    def __init__(
        self, scenario: Scenario, seed: int, scheme: Scheme, make_services: MakeServices, factory: NodeFactory
    ) -> None:
        self.scenario = scenario
        self.schedule = Schedule()
        self.genesis, names = make_genesis(scenario, scheme)
        self.network_id = network_id(self.genesis)
        twins = self._twins()
        self.network = Network(self.schedule, scenario.link, self._pairs(twins), stream(seed, "network"))
        self.bench = Bench(self.genesis, scheme, tuple(range(len(names))), own_disk_suffices=scenario.own_disk_suffices)
        around = Surroundings(
            schedule=self.schedule,
            services=make_services(self.genesis, scheme),
            factory=factory,
            watcher=self,
            postman=self.network,
            work=scenario.work,
            blocks_at_start=self.genesis.parameters.batch_ttl_max + 1,
            storage=scenario.storage,
        )
        self.hosts = [
            self._host(index, seed, scheme, names, around) for index in range(len(names) + scenario.observers)
        ]
        self.hosts += [self._twin(twin, original, seed, around) for twin, original in twins.items()]
        self.twin = Twin(self, self.hosts[-1], stream(seed, "twin")) if scenario.twin else None
        self.network.attach(self.hosts)
        self.bench.attach(self.hosts)
        self.stages = self._corrupt(seed, twins)
        self.clients = Clients(self, scenario.load, scheme, stream(seed, "clients"))
        self.members = (
            None if scenario.changes is None else Members(self, scenario.changes, scheme, stream(seed, "members"))
        )
        self.faults = FaultDriver(
            self, scenario.faults, scenario.timetable, stream(seed, "faults"), holds=self._holds, calm=self._calm
        )
        self._slow_links()
        self._starts = stream(seed if self.faults.wanted else 0, "starts")
        self.calm_us: int | None = None
        """When the last fault was over; None before."""
        self.done_us: int | None = None
        self.boots = 0

    def _host(self, index: int, seed: int, scheme: Scheme, names: tuple[str, ...], around: Surroundings) -> Host:
        if index < len(names):
            voting_key = scheme.key(f"{names[index]} vote")
            node_key = self.genesis.validators[index].node_key
        else:
            voting_key, node_key = None, self.genesis.observers[index - len(names)].node_key
        setup = NodeSetup(self.genesis, node_key, voting_key, seed=index)
        disk = Disk(self.scenario.disk, *around.services.new_tables(self.genesis))
        return Host(index, setup, disk, around, stream(seed, f"host {index}"))

    # -- Actors -------------------------------------------------------------------------------------

    def _actors(self) -> dict[int, str]:
        """Index of the host -> its actor: the last validators."""
        actors = self.scenario.byzantine
        return dict(enumerate(actors, self.scenario.members - len(actors)))

    def _twins(self) -> dict[int, int]:
        """Further machines, behind all others, of actors that have more than one, and the scenario's twin, the last.

        Index -> whose keys it has.
        """
        originals = [host for host, actor in self._actors().items() for _ in range(ACTORS[actor].machines - 1)]
        originals += [0] if self.scenario.twin else []
        return dict(enumerate(originals, self.scenario.members + self.scenario.observers))

    def _pairs(self, twins: dict[int, int]) -> Pairs:
        nodes = self.scenario.members + self.scenario.observers
        pairs = self.scenario.links or TOPOLOGIES[self.scenario.topology](nodes)
        for twin, original in twins.items():
            pairs = with_twin(pairs, original, twin)
        return pairs

    def _twin(self, index: int, original: int, seed: int, around: Surroundings) -> Host:
        disk = Disk(self.scenario.disk, *around.services.new_tables(self.genesis))
        return Host(index, self.hosts[original].setup, disk, around, stream(seed, f"host {index}"))

    def _corrupt(self, seed: int, twins: dict[int, int]) -> dict[int, Stage]:
        stages: dict[int, Stage] = {}
        for index, actor in self._actors().items():
            machines = [self.hosts[index], *[self.hosts[twin] for twin, whose in twins.items() if whose == index]]
            for host in machines:
                host.honest = False
            stage = Stage(machines, self.network, self.schedule, stream(seed, f"actor {index}"), self.bench.presented)
            stages[index] = stage
            ACTORS[actor].play(stage)
        return stages

    def deeds(self) -> dict[str, int]:
        """What actors did, by "actor: deed"."""
        actors, counts = self._actors(), Counter[str]()
        for index, stage in self.stages.items():
            counts.update({f"{actors[index]}: {deed}": count for deed, count in stage.deeds.items()})
        return dict(counts)

    def _slow_links(self) -> None:
        for slow in self.scenario.slow_links:
            others = slow.to or tuple(range(len(self.hosts)))
            pairs = {(min(one, other), max(one, other)): None for one in slow.nodes for other in others}
            for link in [self.network.links[pair] for pair in pairs if pair in self.network.links]:
                link.extra_us += slow.extra_us

    # -- The run ------------------------------------------------------------------------------------

    def run(self) -> None:
        """From the first boot to the end of the run, or to the first violation."""
        for host in self.hosts:
            self.schedule.at(self._starts.randrange(50 * MS_US), self._first_boot, host)
        if self.twin is not None:
            self.twin.begin(self.faults.until_us)
        self.clients.begin()
        self.faults.begin()
        if self.members is not None:
            self.members.begin()
        self.schedule.after(SAMPLE_US, self._sample)
        self.schedule.run(NEVER_US)
        if self.bench.violation is None:
            self.bench.end()

    @property
    def wanted(self) -> tuple[str, ...]:
        """What nodes count when they did it, and the scenario is about."""
        storage = self.scenario.storage
        names = {"snapshot_joined": storage.by_snapshot, "pruned": storage.pruned}
        return tuple(name for name, nodes in names.items() if nodes)

    @property
    def bound_us(self) -> int:
        """How long after the last fault everything has to be final."""
        return self.scenario.bound_deltas * self.scenario.delta_ms * MS_US

    def _first_boot(self, host: Host) -> None:
        if host.life == 0:
            host.start_again()

    def _holds(self, entry: At) -> bool:
        """Whether the condition of an entry of the timetable has come."""
        if entry.joining is not None:
            joiner = self.hosts[entry.joining].joiner
            return joiner is not None and joiner.gathers()
        if entry.height is not None:
            return len(self.bench.chain.headers) >= entry.height
        if entry.nullified is not None:
            return len(self.bench.facts.nullified) >= entry.nullified
        states = [host.node.status() for host in self.bench.honest() if host.node is not None]
        newest = max(states, key=lambda status: status.view, default=None)
        return newest is not None and self.leader_of(newest) == entry.leader

    def leader_of(self, status: NodeStatus) -> int:
        """Which node leads the view that a node is in."""
        if status.epoch == FIRST_EPOCH:
            return status.leader
        return self.bench.owners[status.validators[status.leader][0].voting_key]

    def _sample(self) -> None:
        """A quiet look at every node, as long as faults happen; from then on `_look` does."""
        self.bench.sample()
        if self.calm_us is None:
            self.schedule.after(SAMPLE_US, self._sample)

    def _calm(self) -> None:
        # One event later than what ends at this very moment: faults that last until now.
        self.schedule.after(1, self._calm_begins)

    def _calm_begins(self) -> None:
        self.calm_us = self.schedule.now_us
        self.clients.end()
        if self.members is not None:
            self.members.end()
        if self.twin is not None:
            self.twin.end_of_faults()
        for host in self.hosts:
            host.start_again()
        self.bench.sample()
        self.clients.insist()
        self._look()

    def _look(self) -> None:
        self.bench.sample()
        if self._settled():
            self.done_us = self.schedule.now_us
            self.schedule.stop()
            return
        assert self.calm_us is not None, "looked at after the last fault"
        left_us = self.calm_us + self.bound_us - self.schedule.now_us
        if left_us <= 0:
            self._late()
        else:
            self.clients.ask_elsewhere()
            self.schedule.after(min(left_us, self.scenario.delta_ms * MS_US // 2), self._look)

    def _settled(self) -> bool:
        honest = self.bench.honest()
        heights = sorted({host.disk.blocks.last for host in honest})
        executed = sorted({host.disk.executed.last for host in honest})
        if self.twin is not None and self.twin.runs_beside():
            return False
        whole = len(heights) == 1 and heights == executed and heights[0] > 0
        return whole and not self.clients.waiting() and not self.bench.chain.unplaced()

    def _late(self) -> None:
        owed = self.clients.waiting()
        heights = " ".join(str(host.disk.blocks.last) for host in self.hosts)
        executed = " ".join(str(host.disk.executed.last) for host in self.hosts)
        words = (
            f"{self.scenario.bound_deltas} Δ after the last fault {len(owed)} envelopes are neither final nor refused, "
            f"{len(self.bench.chain.unplaced())} finalized views have no block"
        )
        self.bench.violated("liveness", f"{words} (heights {heights}; executed {executed})", None)
        self.schedule.stop()

    # -- Watcher ------------------------------------------------------------------------------------

    def booted(self, host: Host) -> None:
        """A life begins."""
        self.boots += 1
        self.bench.booted(host)

    def installed(self, host: Host) -> None:
        """A snapshot was joined."""
        self.bench.installed(host)

    def started(self, host: Host) -> None:
        """The node has taken up what its disk held."""
        self.bench.started(host)

    def said(self, host: Host, data: bytes) -> None:
        """A message leaves."""
        self.bench.said(host, data)

    def appended(self, host: Host, height: int, block: Block) -> None:
        """A final block."""
        self.bench.appended(host, height, block)

    def executed(self, host: Host, height: int, outcomes: tuple[Outcome, ...]) -> None:
        """Outcomes."""
        self.bench.executed(host, height, outcomes)
        self.clients.executed(host, outcomes)

    def answered(self, host: Host, ticket: int, results: tuple[Admitted | Refusal, ...]) -> None:
        """Accepted or refused."""
        self.clients.answered(host, ticket, results)

    def broken(self, host: Host, words: str) -> None:
        """A node stopped by itself."""
        self.bench.broken(host, words)

    # -- What clients and faults ask ---------------------------------------------------------------------------

    def chain_time_ms(self) -> int:
        """Time of the newest final block."""
        return self.bench.chain.time_ms

    @property
    def powers(self) -> tuple[int, ...]:
        """Of each validator."""
        return tuple(validator.power for validator in self.genesis.validators)

    def unsound(self, words: str, host: Host) -> None:
        """A node accepted what it must not."""
        self.bench.violated("soundness", words, host)
