"""A world: hosts, links, clients, faults and checkers, put together from a scenario and a seed.

A run has two times. First faults happen and clients come and go. When the last fault is over (`calm`),
everything is whole again, clients post once more what is owed to them, and from then on the network has
`bound_deltas` Δ in which all honest nodes have to be final on the same chain with nothing owed. As soon as that
is so the run ends.

Each part draws from a generator of its own, so that a change in one (another fault) leaves the others' draws
alone.
"""

from __future__ import annotations

from protocol import limits
from protocol.ledger.genesis import (
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
from protocol.node.interface import Admitted, Outcome, Refusal, TakePart
from protocol.node.setup import NodeSetup
from protocol.sim.bench import Bench
from protocol.sim.byzantine import ACTORS, acting
from protocol.sim.disk import Disk
from protocol.sim.events import MS_US, Schedule, stream
from protocol.sim.faults import FaultDriver
from protocol.sim.governance import Members
from protocol.sim.host import Host
from protocol.sim.network import TOPOLOGIES, Network
from protocol.sim.revenant import Revenant
from protocol.sim.scenarios import Scenario
from protocol.sim.services import MakeServices, NodeFactory
from protocol.sim.signatures import Scheme
from protocol.sim.surroundings import WALL_START_MS, Surroundings
from protocol.sim.workload import Clients

RULES_VERSION = 1
GOVERNED_RULES_VERSION = 2
"""Of runs in which the members change who votes."""


def make_genesis(scenario: Scenario, scheme: Scheme) -> tuple[Genesis, tuple[str, ...]]:
    """The network's genesis, and the name of each validator's keys in the order of the set."""
    names = [f"member {index:03}" for index in range(scenario.members)]
    powers = scenario.powers or (1,) * scenario.members
    validators = sorted(
        (
            GenesisValidator(name, scheme.key(f"{name} node").public, scheme.key(f"{name} vote").public, power)
            for name, power in zip(names, powers, strict=True)
        ),
        key=lambda validator: validator.voting_key,
    )
    watching = sorted(scheme.key(f"observer {index} node").public for index in range(scenario.observers))
    genesis = Genesis(
        name=f"sim {scenario.name}",
        created_ms=WALL_START_MS - 1_000,
        parameters=_parameters(scenario),
        rules=(RulesFrom(1, RULES_VERSION if scenario.changes is None else GOVERNED_RULES_VERSION),),
        members=tuple(GenesisMember(name, (scheme.key(f"{name} account").public,), 1, None) for name in names),
        validators=tuple(validators),
        observers=tuple(GenesisObserver(None, key) for key in watching),
    )
    check_genesis(genesis)
    return genesis, tuple(validator.member for validator in validators)


def _parameters(scenario: Scenario) -> Parameters:
    return Parameters(
        delta_ms=scenario.delta_ms,
        idle_interval_ms=scenario.idle_interval_ms,
        backoff_max=scenario.backoff_max,
        retry_interval_ms=scenario.retry_interval_ms,
        batch_bytes=16 * limits.KIB,
        batch_wait_ms=5,
        relay_delay_ms=scenario.relay_delay_ms,
        envelope_ttl_max_ms=600_000,
        batch_ttl_max=64,
        execution_lag_max=8,
        clock_drift_max_ms=500,
        block_references_max=16,
        block_bytes_max=limits.BATCH_BYTES_MAX,
        block_envelopes_max=limits.BATCH_ENVELOPES_MAX,
        state_quota_bytes=limits.U53_MAX,
    )


ACTORS.setdefault("revenant", Revenant)


class World:
    """Everything in a run. It is the watcher of all hosts, and passes on to checkers and clients."""

    def __init__(
        self, scenario: Scenario, seed: int, scheme: Scheme, make_services: MakeServices, factory: NodeFactory
    ) -> None:
        self.scenario = scenario
        self.schedule = Schedule()
        self.genesis, names = make_genesis(scenario, scheme)
        self.network_id = network_id(self.genesis)
        self.network = Network(
            self.schedule,
            scenario.link,
            TOPOLOGIES[scenario.topology](len(names) + scenario.observers),
            stream(seed, "network"),
        )
        self.bench = Bench(self.genesis, scheme, tuple(range(len(names))), own_disk_suffices=scenario.own_disk_suffices)
        around = Surroundings(
            schedule=self.schedule,
            services=make_services(self.genesis, scheme),
            factory=factory,
            watcher=self,
            postman=self.network,
            work=scenario.work,
            blocks_at_start=self.genesis.parameters.batch_ttl_max + 1,
        )
        self.hosts = [
            self._host(index, seed, scheme, names, around) for index in range(len(names) + scenario.observers)
        ]
        self._corrupt(seed)
        self.network.attach(self.hosts)
        self.bench.attach(self.hosts)
        self.clients = Clients(self, scenario.load, scheme, stream(seed, "clients"))
        self.members = (
            None if scenario.changes is None else Members(self, scenario.changes, scheme, stream(seed, "members"))
        )
        self.faults = FaultDriver(self, scenario.faults, stream(seed, "faults"))
        self.calm_us = self.faults.until_us
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

    def _corrupt(self, seed: int) -> None:
        actors = self.scenario.byzantine
        first = self.scenario.members - len(actors)
        for index, actor in enumerate(actors, first):
            host = self.hosts[index]
            host.honest = False
            host.factory = acting(actor, host.factory, stream(seed, f"actor {index}"))

    # -- The run ------------------------------------------------------------------------------------

    def run(self) -> None:
        """From the first boot to the end of the run, or to the first violation."""
        starts = stream(0, "starts") if not self.scenario.faults.weights else self.faults.generator
        for host in self.hosts:
            self.schedule.at(starts.randrange(50 * MS_US), self._first_boot, host)
        self.faults.begin()
        self.clients.begin(self.calm_us)
        if self.members is not None:
            self.members.begin(self.calm_us)
        self.schedule.at(self.calm_us, self._calm)
        self.schedule.run(self.calm_us + self.bound_us + 1)
        if self.bench.violation is None:
            self.bench.end()

    @property
    def bound_us(self) -> int:
        """How long after the last fault everything has to be final."""
        return self.scenario.bound_deltas * self.scenario.delta_ms * MS_US

    def _first_boot(self, host: Host) -> None:
        if not host.up and host.life == 0:
            host.boot()

    def _calm(self) -> None:
        # One event later than what ends at this very moment: faults that last until now.
        self.schedule.after(1, self._calm_begins)

    def _calm_begins(self) -> None:
        for host in self.hosts:
            if not host.up:
                host.boot()
        self.bench.sample()
        self.clients.insist()
        self._look()

    def _look(self) -> None:
        self.bench.sample()
        if self._settled():
            self.done_us = self.schedule.now_us
            self.schedule.stop()
        elif self.schedule.now_us >= self.calm_us + self.bound_us:
            self._late()
        else:
            left_us = self.calm_us + self.bound_us - self.schedule.now_us
            self.schedule.after(min(left_us, self.scenario.delta_ms * MS_US // 2), self._look)

    def _settled(self) -> bool:
        honest = self.bench.honest()
        heights = sorted({len(host.disk.blocks) for host in honest})
        executed = sorted({len(host.disk.executed) for host in honest})
        whole = len(heights) == 1 and heights == executed and heights[0] > 0
        return whole and not self.clients.waiting() and not self.bench.chain.unplaced()

    def _late(self) -> None:
        owed = self.clients.waiting()
        heights = " ".join(str(len(host.disk.blocks)) for host in self.hosts)
        executed = " ".join(str(len(host.disk.executed)) for host in self.hosts)
        words = (
            f"{self.scenario.bound_deltas} Δ after the last fault {len(owed)} envelopes are neither final nor refused, "
            f"{len(self.bench.chain.unplaced())} finalized views have no block"
        )
        self.bench.violated("liveness", f"{words} (heights {heights}; executed {executed})", None)

    # -- Watcher ------------------------------------------------------------------------------------

    def booted(self, host: Host) -> None:
        """A life begins."""
        self.boots += 1
        self.bench.booted(host)

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

    def took_part(self, host: Host, effect: TakePart) -> None:
        """Who is let in follows the state."""

    def broken(self, host: Host, words: str) -> None:
        """A node stopped by itself."""
        self.bench.broken(host, words)

    # -- What clients ask ---------------------------------------------------------------------------

    def chain_time_ms(self) -> int:
        """Time of the newest final block."""
        return self.bench.chain.time_ms

    def unsound(self, words: str, host: Host) -> None:
        """A node accepted what it must not."""
        self.bench.violated("soundness", words, host)
