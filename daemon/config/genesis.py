"""From the part `[genesis]` of a file to the canonical record, and back; faults of the record with their line.

The record wants members, keys, validators, observers and rules in ascending order; a file has them in any. Both ways
lose nothing, so a file written from a record gives the same network id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from typing import Any, TypeVar

from daemon.config.places import Path
from daemon.config.problems import Problem, Source
from daemon.config.tables import (
    AncestorTable,
    GenesisTable,
    MemberTable,
    ObserverTable,
    ParametersTable,
    ResultsTable,
    RulesTable,
    ValidatorTable,
)
from daemon.config.values import from_ms, to_ms
from protocol.ledger.genesis import (
    Genesis,
    GenesisMember,
    GenesisObserver,
    GenesisValidator,
    KeptMember,
    Parameters,
    RulesFrom,
    genesis_faults,
)
from protocol.ledger.records import Executed
from protocol.ledger.succession import Ancestor, Succession, succession_faults

T = TypeVar("T")

_ORDER: dict[str, Callable[[Any], Any]] = {
    "rules": lambda rules: rules.height,
    "members": lambda member: member.name.encode(),
    "validators": lambda validator: validator.voting_key,
    "observers": lambda observer: observer.node_key,
}
"""Array of `[genesis]` -> what its tables ascend by in the record."""
_NAMES = {"rules": "height", "members": "name", "validators": "voting_key", "observers": "node_key"}


def to_record(table: GenesisTable) -> Genesis:
    """The canonical record of the tables; not judged yet."""
    plain = _plain_record(table)
    if not table.ancestors or table.begins is None:
        return plain
    fields = {field.name: getattr(plain, field.name) for field in dataclass_fields(Genesis)}
    members = tuple(
        KeptMember(m.name, tuple(sorted(m.keys)), m.threshold, m.state_quota_bytes, m.account or bytes(32))
        for m in _sorted("members", table.members)
    )
    ancestors = tuple(Ancestor(a.network_id, a.header, _results(a.results), a.document) for a in table.ancestors)
    return Succession(**fields | {"members": members}, ancestors=ancestors, begins=_results(table.begins))


def _results(table: ResultsTable) -> Executed:
    return Executed(table.height, table.state_root, table.log_size, table.log_root)


def _results_table(executed: Executed) -> ResultsTable:
    return ResultsTable(**asdict(executed))


def _plain_record(table: GenesisTable) -> Genesis:
    return Genesis(
        name=table.name,
        created_ms=to_ms(table.created),
        parameters=Parameters(**table.parameters.model_dump()),
        rules=tuple(RulesFrom(r.height, r.version) for r in _sorted("rules", table.rules)),
        members=tuple(
            GenesisMember(m.name, tuple(sorted(m.keys)), m.threshold, m.state_quota_bytes)
            for m in _sorted("members", table.members)
        ),
        validators=tuple(
            GenesisValidator(v.member, v.node_key, v.voting_key, v.power)
            for v in _sorted("validators", table.validators)
        ),
        observers=tuple(GenesisObserver(o.member, o.node_key) for o in _sorted("observers", table.observers)),
    )


def to_table(genesis: Genesis) -> GenesisTable:
    """The tables that a file shows of a record."""
    return GenesisTable(
        name=genesis.name,
        created=from_ms(genesis.created_ms),
        parameters=ParametersTable(**asdict(genesis.parameters)),
        rules=tuple(RulesTable(**asdict(r)) for r in genesis.rules),
        members=tuple(MemberTable(**_present(asdict(m))) for m in genesis.members),
        validators=tuple(ValidatorTable(**asdict(v)) for v in genesis.validators),
        observers=tuple(ObserverTable(**_present(asdict(o))) for o in genesis.observers),
        **_going_on(genesis),
    )


def _going_on(genesis: Genesis) -> dict[str, Any]:
    """The tables of a network that goes on from another."""
    if not isinstance(genesis, Succession):
        return {}
    ancestors = tuple(
        AncestorTable(network_id=a.network_id, header=a.header, document=a.document, results=_results_table(a.executed))
        for a in genesis.ancestors
    )
    return {"ancestors": ancestors, "begins": _results_table(genesis.begins)}


def faults_in_file(source: Source, table: GenesisTable) -> list[Problem]:
    """All that is wrong with the record, at the lines of the file's `[genesis]`."""
    twice = list(_repeated(source, table))
    problems = twice
    problems += _half_told(source, table)
    record = to_record(table)
    going_on = succession_faults(record) if isinstance(record, Succession) and not problems else []
    problems += [source.problem(("genesis", "ancestors"), "networks that follow each other", w) for w in going_on]
    for where, words in genesis_faults(record):
        if len(where) == 1 and where[0] in _ORDER and twice:
            continue  # "must ascend, each once": the file's order is free, and what stands twice is told already
        path = ("genesis", *_in_file(table, where))
        problems.append(source.problem(path, "a genesis that fits together", words))
    return problems


def _half_told(source: Source, table: GenesisTable) -> list[Problem]:
    """A network either begins by itself, and says nothing of ancestors, or goes on, and says all of it."""
    goes_on = bool(table.ancestors)
    problems = []
    if goes_on != (table.begins is not None):
        problems.append(source.problem(("genesis",), "ancestors and begins together, or neither", "one of the two"))
    for index, member in enumerate(table.members):
        path = ("genesis", "members", index)
        if goes_on and member.account is None:
            problems.append(source.problem(path, "the member's account, as in every network that goes on", "none"))
        elif not goes_on and (member.account is not None or not member.keys):
            found = "keys that are missing, or an account" if not member.keys else "an account"
            problems.append(source.problem((*path, "keys"), "keys, the lowest of which names the account", found))
    return problems


def _sorted(name: str, tables: Iterable[T]) -> list[T]:
    return sorted(tables, key=_ORDER[name])


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _repeated(source: Source, table: GenesisTable) -> Iterator[Problem]:
    for name, by in _ORDER.items():
        seen: set[Any] = set()
        for index, item in enumerate(getattr(table, name)):
            if by(item) in seen:
                path = ("genesis", name, index, _NAMES[name])
                yield source.problem(path, f"a {_NAMES[name]} that no other has", "one that stands above too")
            seen.add(by(item))


def _in_file(table: GenesisTable, where: Sequence[str | int]) -> Path:
    """The place in the file of a place in the record, whose tuples are sorted."""
    if len(where) < 2 or not isinstance(where[0], str) or not isinstance(where[1], int):
        return tuple(where)
    name, index = where[0], where[1]
    tables = list(getattr(table, name))
    item = _sorted(name, tables)[index]
    path: Path = (name, next(i for i, other in enumerate(tables) if other is item))
    if tuple(where[2:3]) == ("keys",) and len(where) == 4:
        key = sorted(item.keys)[int(where[3])]
        return (*path, "keys", item.keys.index(key))
    return (*path, *where[2:])
