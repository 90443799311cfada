"""What checkers compare with is right by itself, and nothing of a node escapes the checker of bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.consensus.rotation import Rotation
from protocol.consensus.validators import Validators
from protocol.crypto import log
from protocol.crypto.trie import path_of
from protocol.ledger.genesis import network_id
from protocol.ledger.spaces import state_key
from protocol.sim.checkers.bounds import BOUNDS
from protocol.sim.checkers.naive_roots import NaiveLog, NaiveTrie, inclusion_holds
from protocol.sim.checkers.validity import turns
from protocol.sim.raw import array
from protocol.sim.run import make_world
from protocol.sim.signatures import StandIn
from protocol.sim.tables import sizes
from protocol.sim.world import World, make_genesis
from tests.crypto.test_trie import naive_root
from tests.sim.named import SCENARIOS

KEYS = st.integers(0, 40).map(lambda number: b"key %d" % number)
CHANGES = st.lists(st.dictionaries(KEYS, st.none() | st.binary(max_size=3), max_size=12), max_size=8)


@given(CHANGES)
def test_the_trie_that_remembers_equals_the_definition_after_every_batch(
    batches: list[Mapping[bytes, bytes | None]],
) -> None:
    """L-20."""
    trie, pairs = NaiveTrie(), dict[bytes, bytes]()
    for changes in batches:
        for key, value in changes.items():
            trie.put(key, value)
            pairs.pop(key, None)
            if value is not None:
                pairs[key] = value
        assert trie.root() == naive_root(pairs, path_of)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 33])
def test_the_log_equals_the_stored_one_and_paths_lead_to_one_leaf_only(count: int) -> None:
    """L-21: by the definition, from above, where the product's verifier goes up step by step."""
    naive, stored, size = NaiveLog(), dict[tuple[int, int], bytes](), 0
    leaves = [b"leaf %d" % index for index in range(count)]
    for leaf in leaves:
        naive.append(leaf)
        size, new = log.append(lambda level, index: stored.get((level, index)), size, [log.leaf_hash(leaf)])
        stored.update(new)
    root = log.root(lambda level, index: stored.get((level, index)), size)
    assert naive.root() == root
    for index, leaf in enumerate(leaves):
        path = log.inclusion_proof(lambda level, at: stored.get((level, at)), index, size)
        assert inclusion_holds(leaf, index, size, path, root)
        others = [(leaf + b"x", index), (leaf, index + 1), (leaf, index - 1), (leaf, index + size)]
        assert not any(inclusion_holds(wrong, at, size, path, root) for wrong, at in others)
        assert not inclusion_holds(leaf, index, size, (*path, sha256(b"").digest()), root)
        assert count == 1 or not inclusion_holds(leaf, index, size, path[:-1], root)


@pytest.mark.parametrize("powers", [(1, 1, 1, 1), (5, 3, 3, 2), (1_000, 1, 7, 500)])
def test_leaders_worked_out_again(powers: tuple[int, ...]) -> None:
    """C-2."""
    genesis, _ = make_genesis(replace(SCENARIOS["quiet"], powers=powers), StandIn())
    entries = genesis.validators
    validators = Validators(tuple(v.voting_key for v in entries), tuple(v.power for v in entries))
    rotation = Rotation(network_id(genesis), 1, validators)
    power_of = {v.voting_key: v.power for v in entries}
    assert turns(power_of, network_id(genesis), 1) == [validators.keys[index] for index in rotation.turns]


@pytest.mark.parametrize("part", [b"", b"x" * 32, b"x" * 300, "a" * 31, "a" * 40, 0, 127, 128, 255, 256, 65_536, 2**40])
def test_keys_packed_by_hand(part: bytes | str | int) -> None:
    """L-20."""
    assert array("space.name", part) == state_key("space.name", part)


# -- Bounds -----------------------------------------------------------------------------------------


@dataclass
class Inner:
    """Something with a table."""

    table: dict[int, list[int]] = field(default_factory=lambda: {1: [1], 2: [1, 2, 3]})


@dataclass(frozen=True)
class Configuration:
    """What can't grow."""

    many: tuple[int, ...] = (1, 2, 3)


class Plain:
    """No dataclass."""

    def __init__(self) -> None:
        self.members = {b"a", b"b"}
        self.inner = Inner()
        self.fixed = Configuration()


Plain.__module__ = "protocol.made_up"


def test_tables_are_found_by_looking() -> None:
    assert sizes(Plain()) == {"members": 2, "inner.table": 2, "inner.table[]": 3}


def seen_tables(name: str, observers: int = 0) -> dict[str, int]:
    """The largest size of every table of every honest node in a run."""
    world = make_world(replace(SCENARIOS[name], observers=observers), 2)
    found: dict[str, int] = {}

    def look(world: World) -> None:
        for host in world.bench.honest():
            for path, size in sizes(getattr(host.node, "body", None)).items():
                found[path] = max(found.get(path, 0), size)
        world.schedule.after(50_000, look, world)

    world.schedule.after(50_000, look, world)
    world.run()
    assert world.bench.violation is None
    return found


def test_every_table_of_a_node_has_a_bound_and_is_really_used() -> None:
    """Whoever adds a table says in `BOUNDS` how large it may get; a line there is of a table that there is."""
    found: dict[str, int] = {}
    for name, observers in (("flooder", 1), ("garbage-syncer", 0)):
        for path, size in seen_tables(name, observers).items():
            found[path] = max(found.get(path, 0), size)
    assert not set(found) - set(BOUNDS), "tables without a bound"
    seldom = {"sync.pending[].batches", "sync.parts[]", "ahead[]"}
    seldom |= {path for path in BOUNDS if path.startswith("journaled[]")}  # what is kept for epochs to come
    assert set(BOUNDS) - set(found) <= seldom, "bounds without a table"
    used = {path for path, size in found.items() if size}
    assert len(used) > 40, sorted(set(found) - used)
