"""From a scenario and a seed to a report, the same bytes each time.

A report that failed ends with the rule that did not hold, the last lines of each node side by side, and the one command
that repeats it. How fast a run was is not in it, because that differs each time: who has a clock computes it from
`simulated_ms`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.node.node import Node
from protocol.sim.events import MS_US
from protocol.sim.facts import Violation
from protocol.sim.faults.driver import Happened
from protocol.sim.ledger_services import LedgerServices
from protocol.sim.lines import columns
from protocol.sim.scenarios import Scenario
from protocol.sim.services import MakeServices, NodeFactory
from protocol.sim.signatures import Real, Scheme, StandIn
from protocol.sim.world import World

LINES_SHOWN = 14
"""Of each node."""
COMMAND = "papilio sim run {name} --seed {seed}"


@dataclass(frozen=True, slots=True)
class Report:
    """What a run was. Times in simulated ms."""

    scenario: str
    seed: int
    violation: Violation | None
    simulated_ms: int
    settled_ms: int | None
    """From the last fault until nothing was owed; None if that never came."""
    events: int
    blocks: int
    nullified_views: int
    restarts: int
    messages: int
    message_bytes: int
    faults: dict[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    """What the scenario is about and never happened: its faults, and what nodes were to do with snapshots."""
    links: dict[str, int] = field(default_factory=dict)
    clients: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    hosts: dict[str, int] = field(default_factory=dict)
    deeds: dict[str, int] = field(default_factory=dict)
    """What actors did."""
    tip: str = ""
    state_root: str = ""
    lines: tuple[str, ...] = ()
    """Last lines of each node, of a failed run."""
    command: str = ""
    """What repeats it."""
    done: dict[str, int] = field(default_factory=dict)
    """What the scenario is about besides faults, and happened: nodes that joined by a snapshot, prunings."""
    happened: tuple[Happened, ...] = ()
    """Each fault that happened, in order."""

    @property
    def ok(self) -> bool:
        """Whether every rule held."""
        return self.violation is None

    def text(self) -> str:
        """For people and for comparison; ends with a line break."""
        head = f"scenario {self.scenario} seed {self.seed}: " + (
            "ok" if self.ok else f"VIOLATED {_rule(self.violation)}"
        )
        settled = "never" if self.settled_ms is None else f"{self.settled_ms} ms after the last fault"
        out = [
            head,
            f"  simulated {self.simulated_ms} ms, {self.events} events",
            f"  {self.messages} messages, {self.message_bytes} bytes",
            f"  {self.blocks} blocks final, {self.nullified_views} views nullified, {self.restarts} restarts",
            f"  settled {settled}",
            f"  faults: {_counts(self.faults)}",
            *([f"  never happened: {', '.join(self.missing)}"] if self.missing else []),
            f"  links: {_counts(self.links)}",
            f"  clients: {_counts(self.clients)}",
            f"  refusals: {_counts(self.refusals)}",
            f"  hosts: {_counts(self.hosts)}",
            *([f"  actors: {_counts(self.deeds)}"] if self.deeds else []),
            f"  tip {self.tip or '-'} state {self.state_root or '-'}",
        ]
        if not self.ok:
            out += ["", *self.lines, "", f"repeat with: {self.command}"]
        return "\n".join(out) + "\n"


def _rule(violation: Violation | None) -> str:
    if violation is None:
        return ""
    where = "" if violation.host is None else f" at node {violation.host}"
    return f"{violation.rule}{where} after {violation.at_us // MS_US} ms: {violation.words}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {counts[name]}" for name in sorted(counts) if counts[name]) or "none"


def run(
    scenario: Scenario, seed: int, factory: NodeFactory | None = None, make_services: MakeServices | None = None
) -> Report:
    """One run. Services and factory are the product's own unless a test brings others."""
    world = make_world(scenario, seed, factory, make_services)
    world.run()
    return report_of(world, seed)


def make_world(
    scenario: Scenario, seed: int, factory: NodeFactory | None = None, make_services: MakeServices | None = None
) -> World:
    """The world of a run, before its first event."""
    scheme: Scheme = Real() if scenario.real_signatures else StandIn()
    return World(scenario, seed, scheme, make_services or LedgerServices, factory or Node)


def report_of(world: World, seed: int) -> Report:
    """What happened in a world whose run is over."""
    bench = world.bench
    chain = bench.chain
    hosts: dict[str, int] = {}
    for host in world.hosts:
        for name, count in host.counters.items():
            hosts[name] = hosts.get(name, 0) + count
    done = {name: hosts.get(name, 0) for name in world.wanted}
    wanted = {name: world.faults.counts.get(name, 0) for name in world.faults.wanted} | done
    return Report(
        scenario=world.scenario.name,
        seed=seed,
        violation=bench.violation,
        simulated_ms=world.schedule.now_us // MS_US,
        settled_ms=_settled_ms(world),
        events=world.schedule.carried_out,
        blocks=len(chain.headers),
        nullified_views=len(bench.facts.nullified),
        restarts=world.boots - len(world.hosts),
        messages=world.network.messages,
        message_bytes=world.network.bytes,
        faults=dict(world.faults.counts),
        missing=tuple([name for name, count in wanted.items() if not count]),
        done={name: count for name, count in done.items() if count},
        links=dict(world.network.counts),
        clients=dict(world.clients.counts) | _changes(world),
        refusals=dict(world.clients.codes),
        hosts=hosts,
        deeds=world.deeds(),
        tip=chain.headers[-1].hex() if chain.headers else "",
        state_root=chain.executed[-1].state_root.hex() if chain.executed else "",
        lines=() if bench.violation is None else tuple(_last_lines(world)),
        command=COMMAND.format(name=world.scenario.source or world.scenario.name, seed=seed),
        happened=tuple(world.faults.happened),
    )


def _settled_ms(world: World) -> int | None:
    if world.done_us is None or world.calm_us is None:
        return None
    return (world.done_us - world.calm_us) // MS_US


def _changes(world: World) -> dict[str, int]:
    """What the members did, if they did anything."""
    members = world.members
    if members is None:
        return {}
    return {f"changes {name}": count for name, count in members.counts.items()} | {"epochs": world.bench.chain.epoch}


def _last_lines(world: World) -> list[str]:
    heads = [
        f"node {host.index}{'' if host.honest else ' (byzantine)'}{'' if host.up else ' (down)'}"
        for host in world.hosts
    ]
    lines = [list(host.lines)[-LINES_SHOWN:] for host in world.hosts]
    return columns(heads, [[(at_us // MS_US, words) for at_us, words in told] for told in lines])
