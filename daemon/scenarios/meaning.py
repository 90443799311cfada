"""What a scenario file means: the simulator's `Scenario`, or every problem with file, line and key.

Form and bounds are the tables'. Here is what depends on more than one key: names of faults and actors, numbers of
nodes, which keys a fault looks at, and what a network can tolerate.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path as File
from typing import Any

from daemon.config.files import Read
from daemon.config.places import Path
from daemon.config.problems import ConfigurationFault, Problem, Source, show
from daemon.scenarios.tables import STRIKES_MAX, AtTable, ChangesTable, ScenarioFile, StorageTable
from protocol.errors import PapilioError
from protocol.sim.byzantine import ACTORS
from protocol.sim.disk import DiskModel
from protocol.sim.faults import FAULTS, Aim, Amount
from protocol.sim.faults.aim import Hits
from protocol.sim.faults.driver import FaultPlan
from protocol.sim.governance import CHANGES, ChangePlan
from protocol.sim.network import LinkModel
from protocol.sim.scenarios import Scenario, SlowLinks
from protocol.sim.signatures import StandIn
from protocol.sim.surroundings import WorkModel
from protocol.sim.timetable import At
from protocol.sim.upkeep import StoragePlan
from protocol.sim.workload import Load
from protocol.sim.world import make_genesis

MOMENTS = ("time", "height", "nullified", "leader", "joining")
ENDLESS = frozenset({"damaged_segment"})
"""Faults that do not end, and so have no `lasts`."""


def scenario_of(found: Read[ScenarioFile], name: str, command_name: str = "") -> Scenario:
    """The scenario in a file that was read. Raises ConfigurationFault with every problem, unknown keys included."""
    source, value = found.source, found.value
    problems = [*found.problems, *_problems(source, value)]
    if problems:
        raise ConfigurationFault(sorted(problems))
    scenario = to_scenario(value, name, command_name)
    try:
        make_genesis(scenario, StandIn())
    except PapilioError as fault:
        raise ConfigurationFault([source.problem(("timing",), "parameters that fit together", fault.words)]) from None
    return scenario


def to_scenario(value: ScenarioFile, name: str, command_name: str = "") -> Scenario:
    """The same for a file that is known to have a sense."""
    link, load, disk, work, timing = value.link, value.load, value.disk, value.work, value.timing
    return Scenario(
        name=name,
        words=value.words,
        members=value.members,
        powers=value.powers,
        observers=value.observers,
        topology=value.topology,
        links=frozenset((min(pair), max(pair)) for pair in value.links),
        slow_links=tuple([SlowLinks(slow.nodes, slow.to, slow.extra) for slow in link.slow]),
        byzantine=value.byzantine,
        twin=value.twin,
        faults=FaultPlan(
            tuple(value.faults.weights.items()),
            _ms(value.faults.interval),
            _ms(value.faults.lasts),
            value.faults.until // 1_000,
        ),
        timetable=tuple([to_at(entry) for entry in value.at]),
        link=LinkModel(
            ordered=link.ordered,
            base_us=link.base,
            jitter_us=link.jitter,
            tail_per_mille=link.tail_per_mille,
            tail_us=max(link.tail, 1),
            lose_per_mille=link.lose_per_mille,
            double_per_mille=link.double_per_mille,
            corrupt_per_mille=link.corrupt_per_mille,
            reconnect_us=link.reconnect,
            give_up_us=link.give_up,
        ),
        load=Load(
            clients=load.clients,
            busy_ms=_ms(load.busy),
            quiet_ms=_ms(load.quiet),
            pause_ms=_ms(load.pause),
            envelopes=load.envelopes,
            patience_ms=load.patience // 1_000,
            lifetime_ms=load.lifetime // 1_000,
            short_lifetime_ms=load.short_lifetime // 1_000,
            short_per_mille=load.short_per_mille,
            bad_per_mille=load.bad_per_mille,
            twice_per_mille=load.twice_per_mille,
        ),
        disk=DiskModel(disk.sync, disk.maintenance, disk.rotate_records, disk.keep_nothing_per_mille),
        work=WorkModel(work.check, work.signature, work.execute, work.envelope, work.read),
        storage=_storage(value.storage),
        changes=_changes(value.changes),
        real_signatures=value.real_signatures,
        own_disk_suffices=value.own_disk_suffices,
        envelope_ttl_max_ms=timing.envelope_ttl_max // 1_000,
        batch_ttl_max=timing.batch_ttl_max,
        execution_lag_max=timing.execution_lag_max,
        delta_ms=timing.delta // 1_000,
        retry_interval_ms=timing.retry_interval // 1_000,
        relay_delay_ms=timing.relay_delay // 1_000,
        idle_interval_ms=timing.idle_interval // 1_000,
        backoff_max=timing.backoff_max,
        bound_deltas=value.bound_deltas,
        source=command_name or name,
    )


def is_sensible(value: ScenarioFile) -> bool:
    """Whether a file with this content would be taken."""
    source = Source(File("scenario.toml"), {}, ScenarioFile)
    if any(True for _ in _problems(source, value)):
        return False
    try:
        make_genesis(to_scenario(value, "scenario"), StandIn())
    except PapilioError:
        return False
    return True


def _changes(table: ChangesTable | None) -> ChangePlan | None:
    if table is None:
        return None
    return ChangePlan(tuple(table.weights.items()), _ms(table.pause), table.look // 1_000, table.least, table.most)


def _storage(table: StorageTable) -> StoragePlan:
    return StoragePlan(table.snapshot_interval // 1_000, table.by_snapshot, table.pruned, table.keep_blocks)


def _ms(pair: tuple[int, int]) -> tuple[int, int]:
    return pair[0] // 1_000, pair[1] // 1_000


def to_at(entry: AtTable) -> At:
    """An entry of the timetable."""
    return At(
        fault=entry.fault,
        aim=Aim(entry.nodes, entry.to, entry.groups, _amount(entry), entry.lasts or 0),
        time_us=entry.time,
        height=entry.height,
        nullified=entry.nullified,
        leader=entry.leader,
        joining=entry.joining,
        within_us=entry.within,
        times=entry.times,
        every_us=entry.every,
        stagger_us=entry.stagger,
    )


def _amount(entry: AtTable) -> int:
    kind = FAULTS[entry.fault]
    given = None if kind.amount is None else getattr(entry, kind.amount.value)
    if given is None:
        return kind.usual
    return int(given) // 1_000 if kind.amount is Amount.BY else int(given)


# -- Problems ---------------------------------------------------------------------------------------


def _problems(source: Source, value: ScenarioFile) -> Iterator[Problem]:
    nodes = value.members + value.observers
    if value.powers and len(value.powers) != value.members:
        yield source.problem(("powers",), f"a power for each of {value.members} members", f"{len(value.powers)}")
    yield from _liars(source, value)
    for place, pair in enumerate(value.links):
        yield from _known_nodes(source, ("links", place), pair, nodes)
        if pair[0] == pair[1]:
            yield source.problem(("links", place), "two different nodes", str(list(pair)))
    for place, slow in enumerate(value.link.slow):
        yield from _known_nodes(source, ("link", "slow", place, "nodes"), slow.nodes, nodes)
        yield from _known_nodes(source, ("link", "slow", place, "to"), slow.to, nodes)
    for fault in value.faults.weights:
        yield from _known(source, ("faults", "weights", fault), fault, FAULTS, "a fault")
    for place, entry in enumerate(value.at):
        yield from _entry(source, ("at", place), entry, nodes)
    yield from _bad_storage(source, value, nodes)
    if value.changes is not None:
        yield from _bad_changes(source, value.changes)
    longest, lifetime = value.timing.envelope_ttl_max, max(value.load.lifetime, value.load.short_lifetime)
    if lifetime >= longest:
        yield source.problem(
            ("load", "lifetime"), f"less than timing.envelope_ttl_max, {longest // 1_000} ms", f"{lifetime // 1_000} ms"
        )


def _bad_storage(source: Source, value: ScenarioFile, nodes: int) -> Iterator[Problem]:
    storage, joins = value.storage, value.storage.by_snapshot
    for key in ("by_snapshot", "pruned"):
        yield from _known_nodes(source, ("storage", key), getattr(storage, key), nodes)
    if 0 < storage.snapshot_interval < 1_000:
        yield source.problem(("storage", "snapshot_interval"), "1 ms at least, or 0 s", "less")
    if joins and not storage.snapshot_interval:
        yield source.problem(("storage", "by_snapshot"), "with it `snapshot_interval`", "none")
    if joins and not value.real_signatures:
        expected = "with it `real_signatures = true`: a joiner verifies Ed25519 by itself"
        yield source.problem(("storage", "by_snapshot"), expected, "stand-in signatures")
    if len(set(storage.pruned)) == nodes:
        yield source.problem(("storage", "pruned"), "one node at least that keeps all, for those behind", "all nodes")
    for place, entry in enumerate(value.at):
        if entry.joining is not None and entry.joining not in joins:
            expected = "one of storage.by_snapshot"
            yield source.problem(("at", place, "joining"), expected, str(entry.joining), at_key=True)


def _bad_changes(source: Source, changes: ChangesTable) -> Iterator[Problem]:
    for change in changes.weights:
        yield from _known(source, ("changes", "weights", change), change, CHANGES, "a change")
    if changes.least > changes.most:
        yield source.problem(("changes", "most"), f"at least {changes.least}, as `least`", str(changes.most))


def _liars(source: Source, value: ScenarioFile) -> Iterator[Problem]:
    for place, actor in enumerate(value.byzantine):
        yield from _known(source, ("byzantine", place), actor, ACTORS, "an actor")
    powers = value.powers if len(value.powers) == value.members else (1,) * value.members
    lying = sum(powers[-len(value.byzantine) :]) if value.byzantine else 0
    tolerated = (sum(powers) - 1) // 3
    if len(value.byzantine) > value.members or lying > tolerated:
        expected = f"liars with a power of at most {tolerated}, which is all that this network tolerates"
        yield source.problem(("byzantine",), expected, f"a power of {lying}")


def _known(source: Source, path: Path, name: str, known: Iterable[str], what: str) -> Iterator[Problem]:
    names = sorted(known)
    if name not in names:
        nearest = next(iter(difflib.get_close_matches(name, names, n=1)), "")
        expected = what if nearest else f"{what}: one of {', '.join(names)}"
        yield source.problem(path, expected, show(name), nearest=nearest)


def _known_nodes(source: Source, path: Path, given: Iterable[int], nodes: int) -> Iterator[Problem]:
    found = list(given)
    for node in found:
        if node >= nodes:
            yield source.problem(path, f"nodes from 0 to {nodes - 1}", str(node))
    if len(set(found)) < len(found):
        yield source.problem(path, "each node once", str(found))


def _entry(source: Source, path: Path, entry: AtTable, nodes: int) -> Iterator[Problem]:
    given = [moment for moment in MOMENTS if getattr(entry, moment) is not None]
    if len(given) != 1:
        yield source.problem(path, f"exactly one of {', '.join(MOMENTS)}", " and ".join(given) or "none of them")
    yield from _known(source, (*path, "fault"), entry.fault, FAULTS, "a fault")
    for key in ("nodes", "to"):
        yield from _known_nodes(source, (*path, key), getattr(entry, key), nodes)
    yield from _known_nodes(source, (*path, "groups"), [node for group in entry.groups for node in group], nodes)
    if entry.leader is not None:
        yield from _known_nodes(source, (*path, "leader"), [entry.leader], nodes)
    if entry.fault in FAULTS:
        yield from _keys_of(source, path, entry)
    if entry.times * max(len(entry.nodes), 1) > STRIKES_MAX:
        yield source.problem((*path, "times"), f"at most {STRIKES_MAX} faults of one entry", str(entry.times))
    if entry.times > 1 and entry.every < 1_000:
        yield source.problem((*path, "times"), "with it `every`, at least 1 ms", "none")
    if entry.stagger and len(entry.nodes) < 2:
        yield source.problem((*path, "stagger"), "with it two nodes or more", show(list(entry.nodes)))


def _keys_of(source: Source, path: Path, entry: AtTable) -> Iterator[Problem]:
    """Keys that this fault looks at, and no others."""
    kind, fault = FAULTS[entry.fault], entry.fault
    wanted = kind.hits.value
    takes: dict[str, Any] = {"nodes": "nodes" in wanted, "to": "to" in wanted, "groups": "groups" in wanted}
    takes |= {amount.value: amount is kind.amount for amount in Amount}
    takes |= {"lasts": fault not in ENDLESS}
    for key, is_taken in takes.items():
        if getattr(entry, key) not in (None, ()) and not is_taken:
            told = [name for name, taken in takes.items() if taken]
            yield source.problem((*path, key), f"for {fault} only {', '.join(told)}", key, at_key=True)
    if fault not in ENDLESS and not entry.lasts:
        yield source.problem((*path, "lasts"), "how long it lasts", "nothing", at_key=True)
    if kind.hits is Hits.PAIRS and not entry.nodes:
        yield source.problem((*path, "nodes"), f"whom {fault} hits", "nothing", at_key=True)
    if kind.hits is Hits.GROUPS and len(entry.groups) < 2:
        yield source.problem((*path, "groups"), "two groups of nodes or more", str(len(entry.groups)), at_key=True)


def read_scenario(file: File, found: Read[ScenarioFile]) -> Scenario:
    """The scenario of a file that is not shipped: named by its stem, called by its path."""
    return scenario_of(found, file.stem, str(file))
