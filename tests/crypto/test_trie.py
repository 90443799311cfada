"""The state trie equals a naive one, and its proofs prove (L-20)."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import decode, encode
from protocol.crypto import trie_descent
from protocol.crypto.trie import (
    EMPTY_ROOT,
    OtherLeaf,
    PathOf,
    TrieLevel,
    TrieProof,
    path_of,
    prove,
    root,
    update,
    verify_absence,
    verify_inclusion,
)
from protocol.crypto.trie_descent import descend, descend_native, native
from protocol.crypto.trie_nodes import Child, Node, leaf_hash, nibbles_of
from protocol.errors import BrokenInvariant, Malformed

WAYS = (descend, descend_native) if native else (descend,)
"""In Python, and in C where it was compiled: all that is tested here is tested of both."""


def nothing(_position: bytes) -> None:
    """An empty store."""


def naive_root(pairs: Mapping[bytes, bytes], path_of: PathOf) -> bytes:
    """The root by the definition alone, from tags written out here and the set of pairs."""

    def subtree(leaves: list[tuple[str, bytes]], depth: int) -> bytes:
        if not leaves:
            return bytes(32)
        if len(leaves) == 1:
            path, value = leaves[0]
            value_digest = sha256(b"papilio/hash/state-value\x00" + value).digest()
            return sha256(b"papilio/hash/state-leaf\x00" + bytes.fromhex(path) + value_digest).digest()
        bitmap, hashes = 0, b""
        for nibble in range(16):
            below = [leaf for leaf in leaves if int(leaf[0][depth], 16) == nibble]
            if below:
                bitmap += 2**nibble
                hashes += subtree(below, depth + 1)
        return sha256(b"papilio/hash/state-branch\x00" + bitmap.to_bytes(2, "big") + hashes).digest()

    return subtree([(path_of(key).hex(), value) for key, value in pairs.items()], 0)


class Store:
    """A stored trie and the map that it should commit to."""

    def __init__(self, path_of: PathOf = path_of) -> None:
        self.path_of = path_of
        self.nodes: dict[bytes, bytes] = {}
        self.pairs: dict[bytes, bytes] = {}

    def apply(self, changes: Mapping[bytes, bytes | None]) -> dict[bytes, bytes | None]:
        """Update map and trie; the writes, after checking the root against the naive one."""
        found, writes = update(self.nodes.get, changes, path_of=self.path_of)
        if changes:
            done = [way(self.nodes.get, self.nodes.get(b""), changes, self.path_of) for way in WAYS]
            assert done[0] == done[-1], "in Python and in C"
            assert list(done[0][1]) == list(done[-1][1]), "in the same order"
        for position, node in writes.items():
            if node is None:
                assert self.nodes.pop(position, None) is not None, "only what was stored is removed"
            else:
                assert self.nodes.get(position) != node, "only what differs is written"
                self.nodes[position] = node
        for key, value in changes.items():
            if value is None:
                self.pairs.pop(key, None)
            else:
                self.pairs[key] = value
        assert found == root(self.nodes.get) == naive_root(self.pairs, self.path_of)
        return writes


def close_path(key: bytes) -> bytes:
    """A path that shares all but its last nibbles with others: what a birthday attack would look for."""
    return b"\xab" * (30 - key[0] % 3 * 14) + key.rjust(2 + key[0] % 3 * 14, b"\x00")


_KEYS = st.binary(min_size=1, max_size=1) | st.binary(min_size=2, max_size=2)
_FIRST_NOT_ZERO = _KEYS.filter(lambda key: key[0] > 0)
_BATCHES = st.lists(st.dictionaries(_KEYS, st.none() | st.binary(max_size=3), max_size=12), max_size=6)


@given(batches=_BATCHES)
def test_equals_the_naive_trie(batches: list[dict[bytes, bytes | None]]) -> None:
    """L-20: after any sequence of inserts, updates and deletes the root is that of the resulting map."""
    store = Store()
    for batch in batches:
        store.apply(batch)


@given(
    batches=st.lists(st.dictionaries(_KEYS.filter(lambda k: k[0] > 0), st.none() | st.binary(max_size=3), max_size=12))
)
@settings(max_examples=60)
def test_equals_the_naive_trie_with_long_common_prefixes(batches: list[dict[bytes, bytes | None]]) -> None:
    """L-20: the same where paths agree in up to 62 nibbles."""
    store = Store(close_path)
    for batch in batches:
        store.apply(batch)


@given(batches=_BATCHES)
def test_stored_nodes_depend_on_the_map_alone(batches: list[dict[bytes, bytes | None]]) -> None:
    """L-20: not only the root, every stored node is the same whatever way the map came about."""
    store = Store()
    for batch in batches:
        store.apply(batch)
    fresh = Store()
    fresh.apply(dict(store.pairs))
    assert store.nodes == fresh.nodes


def test_everything_removed_leaves_nothing() -> None:
    """L-20: the empty map has the empty root, and no node is left behind."""
    store = Store()
    keys = [b"key %d" % i for i in range(300)]
    store.apply(dict.fromkeys(keys, b"v"))
    store.apply(dict.fromkeys(keys[:299]))
    assert list(store.nodes) == [b""], "a map of one is stored at the root position"
    store.apply(dict.fromkeys(keys))
    assert store.nodes == {}
    assert root(store.nodes.get) == EMPTY_ROOT == bytes(32)


def test_a_change_that_changes_nothing_writes_nothing() -> None:
    """L-20: setting what is there and removing what is not: same root, no writes."""
    store = Store()
    assert store.apply({b"absent": None}) == {}
    store.apply({b"one": b"1"})
    assert store.apply({b"one": b"1", b"absent": None}) == {}
    store.apply({b"key %d" % i: b"v" for i in range(100)})
    assert store.apply({b"key 7": b"v", b"absent": None}) == {}
    assert store.apply({}) == {}


def test_a_missing_or_damaged_node_is_our_fault() -> None:
    """L-26: the trie is derived; what does not fit stops the node instead of giving a wrong root."""
    store = Store()
    store.apply({b"key %d" % i: b"v" for i in range(100)})
    top = store.nodes[b""]
    for damaged in (b"", top[:3], top[:-1], top + b"\x00", bytes(4), b"\x00\x01\x00\x02" + bytes(96)):
        with pytest.raises(BrokenInvariant, match="damaged"):
            root({b"": damaged}.get)
        for way in WAYS:
            with pytest.raises(BrokenInvariant, match="the trie node at '' is damaged"):
                way(nothing, damaged, {b"key": b"w"}, path_of)
    below = min(position for position in store.nodes if position)
    changes = {b"key %d" % i: b"w" for i in range(100)}
    for way in WAYS:
        with pytest.raises(BrokenInvariant, match=f"the trie node at '{below.hex()}' is damaged"):
            way((store.nodes | {below: b"\x00\x01" + bytes(33)}).get, top, changes, path_of)
    del store.nodes[below]
    for way in WAYS:
        with pytest.raises(BrokenInvariant, match=f"the trie node at '{below.hex()}' is missing"):
            way(store.nodes.get, top, changes, path_of)
    with pytest.raises(BrokenInvariant, match="missing"):
        [prove(store.nodes.get, b"key %d" % i) for i in range(100)]


def test_branches_that_go_on_for_ever_are_damage() -> None:
    """L-26: a store in which every branch has a branch below it ends where paths end."""
    forever = b"\x80\x00\x00\x00" + bytes(32)
    for way in WAYS:
        with pytest.raises(BrokenInvariant, match="paths end here"):
            way(lambda _: forever, forever, {b"": b"v"}, lambda _: b"\xff" * 32)


def test_a_leaf_in_a_place_that_is_not_its_own_is_damage() -> None:
    """L-26: below that place it differs in nothing from what is set there, so no branch can part them."""
    node = Node()
    for nibble, path in ((0, b"\x10" + bytes(31)), (2, b"\x20" + bytes(31))):
        node.put(nibble, Child(leaf_hash(path + bytes(32)), path + bytes(32)))
    for way in WAYS:
        with pytest.raises(BrokenInvariant, match="one path"):
            way({b"": bytes(node.body)}.get, bytes(node.body), {b"key": b"v"}, lambda _: bytes(32))


def test_two_keys_of_one_path_are_refused() -> None:
    """L-20: a path is a digest, so this is a collision; neither way may go on as if one of the keys were not there."""
    for way in WAYS:
        with pytest.raises(BrokenInvariant, match="one path"):
            way(nothing, None, {b"a": b"1", b"b": b"2"}, lambda _: bytes(32))


needs_c = pytest.mark.skipif(not native, reason="no C compiler when this environment was made")


def test_the_source_in_c_is_the_one_that_this_module_is_held_against() -> None:
    """Two environments in one checkout, or one that was not made anew: another source's code would be used unseen."""
    source = Path(trie_descent.__file__).with_name("_descent.c")
    assert vars(trie_descent)["_SOURCE"] == sha256(source.read_bytes()).hexdigest(), (
        "write the new one into trie_descent.py"
    )


def test_one_compiled_of_another_source_is_not_used() -> None:
    """It is there, and says of what it was made."""
    other = "import sys, types; sys.modules['protocol.crypto._descent'] = types.SimpleNamespace(SOURCE='another')"
    code = f"{other}; from protocol.crypto.trie_descent import native; print(native)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stderr


@needs_c
def test_in_c_wrong_types_and_errors_from_outside_come_back() -> None:
    """Whatever a caller does wrong is an exception; the process lives."""

    class Unreadable(Exception):
        pass

    def unreadable(_position: bytes) -> bytes:
        raise Unreadable

    store = Store()
    store.apply({b"key %d" % i: b"v" for i in range(100)})
    top = store.nodes[b""]
    with pytest.raises(Unreadable):
        descend_native(unreadable, top, {b"key %d" % i: b"w" for i in range(100)}, path_of)
    with pytest.raises(Unreadable):
        descend_native(nothing, None, {b"key": b"v"}, unreadable)
    wrong: Any
    for wrong in ({b"key": 1}, {1: b"v"}, {b"key": "v"}):
        with pytest.raises(TypeError):
            descend_native(nothing, None, wrong, path_of)
    for wrong in (lambda _: b"short", lambda _: None):
        with pytest.raises(TypeError):
            descend_native(nothing, None, {b"key": b"v"}, wrong)
    for wrong in ("text", 1):
        with pytest.raises(TypeError):
            descend_native(nothing, wrong, {b"key": b"v"}, path_of)


@needs_c
def test_in_c_nothing_is_kept() -> None:
    """Whether it ends well or in an exception, what was allocated is freed."""
    store = Store()
    store.apply({b"key %d" % i: b"v" for i in range(100)})
    top = store.nodes[b""]

    def work() -> None:
        descend_native(store.nodes.get, top, {b"key %d" % i: b"w" for i in range(0, 200, 3)}, path_of)
        broken: Any
        for broken in (nothing, lambda _: b"\x00\x01" + bytes(33), lambda _: 1 // 0):
            with suppress(BrokenInvariant, ZeroDivisionError):
                descend_native(broken, top, {b"key %d" % i: b"w" for i in range(100)}, path_of)

    work()
    tracemalloc.start()
    try:
        work()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            work()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000, "one lost node each time would be more than twice that"


@given(batches=_BATCHES, asked=_KEYS)
def test_proofs_say_what_is_so_and_nothing_else(batches: list[dict[bytes, bytes | None]], asked: bytes) -> None:
    """L-20: a present key is proven with its value only, an absent one as absent only."""
    store = Store()
    for batch in batches:
        store.apply(batch)
    top = root(store.nodes.get)
    for key in {asked, *store.pairs}:
        proof = decode(TrieProof, encode(prove(store.nodes.get, key)))
        value = store.pairs.get(key)
        assert verify_inclusion(top, key, b"other value", proof) is False
        assert verify_absence(top, key, proof) is (value is None)
        if value is not None:
            assert verify_inclusion(top, key, value, proof)
            assert not verify_inclusion(sha256(top).digest(), key, value, proof)


def _four_endings() -> tuple[bytes, dict[str, tuple[bytes, bytes | None, TrieProof]]]:
    """A root, and by how the way ends: key, value or None, proof."""
    store = Store()
    store.apply({b"key %d" % i: b"value %d" % i for i in range(60)})
    found: dict[str, tuple[bytes, bytes | None, TrieProof]] = {}
    for i in range(2000):
        key = b"key %d" % i
        proof = prove(store.nodes.get, key)
        ending = "own leaf" if i < 60 else "empty child" if proof.other is None else "other leaf"
        found.setdefault(ending, (key, store.pairs.get(key), proof))
    return root(store.nodes.get), found


def test_every_altered_byte_makes_a_proof_fail() -> None:
    """L-20, L-21: a proof has one valid encoding; each bit of it counts."""
    top, found = _four_endings()
    assert set(found) == {"own leaf", "empty child", "other leaf"}

    def holds(key: bytes, value: bytes | None, data: bytes) -> bool:
        try:
            proof = decode(TrieProof, data)
        except Malformed:
            return False
        if value is None:
            return verify_absence(top, key, proof)
        return verify_inclusion(top, key, value, proof) or verify_absence(top, key, proof)

    for key, value, proof in found.values():
        data = encode(proof)
        assert holds(key, value, data)
        for at in range(len(data)):
            for mask in (0x01, 0x80, 0xFF):
                altered = data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
                assert not holds(key, value, altered), f"byte {at} ^ {mask:#x}"


def test_a_proof_of_one_thing_is_none_of_another() -> None:
    """L-20: cut, lengthened and borrowed proofs are refused."""
    top, found = _four_endings()
    key, value, proof = found["own leaf"]
    assert value is not None
    assert not verify_inclusion(top, b"another key", value, proof)
    assert not verify_inclusion(top, key, value, TrieProof(proof.levels[:-1], None))
    assert not verify_inclusion(top, key, value, TrieProof(proof.levels * 2, None))
    assert not verify_inclusion(top, key, value, TrieProof(proof.levels, OtherLeaf(bytes(32), bytes(32))))
    own = OtherLeaf(path_of(key), sha256(b"papilio/hash/state-value\x00" + value).digest())
    assert not verify_absence(top, key, TrieProof(proof.levels, own)), "a key's own leaf is not another's"
    elsewhere, _, other_proof = found["other leaf"]
    assert other_proof.other is not None
    assert verify_absence(top, elsewhere, other_proof)
    assert not verify_absence(top, key, other_proof), "a leaf off the key's way says nothing about the key"
    assert not verify_absence(EMPTY_ROOT, key, proof)
    assert not verify_absence(top, key, TrieProof((), None)), "only the empty map is proven by nothing"


def test_a_present_key_is_not_proven_absent_by_all_children() -> None:
    """L-20: the forms of a proof cannot be exchanged: a branch shown whole is no gap."""
    store = Store()
    store.apply({b"key %d" % i: b"value %d" % i for i in range(60)})
    top = root(store.nodes.get)
    for key in store.pairs:
        proof = prove(store.nodes.get, key)
        for cut in range(1, len(proof.levels) + 1):
            way = nibbles_of(path_of(key))[: cut - 1]
            node = Node.stored(store.nodes[way], way)
            everything = tuple(child.hash for child in map(node.child, range(16)) if child is not None)
            forged = TrieProof((*proof.levels[: cut - 1], TrieLevel(node.present, everything)), None)
            assert not verify_absence(top, key, forged)


def test_a_gap_is_not_proven_by_a_neighbour() -> None:
    """L-20: an absent key with an empty child has one proof, not a second one by the leaf next to the gap."""
    store = Store()
    store.apply({b"key %d" % i: b"value %d" % i for i in range(60)})
    top, tried = root(store.nodes.get), 0
    for key in (b"absent %d" % i for i in range(300)):
        proof = prove(store.nodes.get, key)
        way = nibbles_of(path_of(key))[: len(proof.levels)]
        node = Node.stored(store.nodes[way[:-1]], way)
        above = next((n for n in range(way[-1] + 1, 16) if node.child(n) is not None), None)
        neighbour = None if above is None else node.child(above)
        if proof.other is not None or above is None or neighbour is None or neighbour.leaf is None:
            continue
        level = TrieLevel(node.present, node.siblings(above))  # the neighbour's hash falls into the gap's place
        other = OtherLeaf(neighbour.leaf[:32], neighbour.leaf[32:])
        assert verify_absence(top, key, proof)
        assert not verify_absence(top, key, TrieProof((*proof.levels[:-1], level), other))
        tried += 1
    assert tried > 10


def test_the_empty_map_and_a_map_of_one() -> None:
    """L-20: proofs without levels."""
    store = Store()
    nothing = prove(store.nodes.get, b"k")
    assert nothing == TrieProof((), None)
    assert verify_absence(EMPTY_ROOT, b"k", nothing)
    assert not verify_inclusion(EMPTY_ROOT, b"k", b"", nothing)
    store.apply({b"k": b"v"})
    top = root(store.nodes.get)
    assert verify_inclusion(top, b"k", b"v", prove(store.nodes.get, b"k"))
    assert verify_absence(top, b"q", prove(store.nodes.get, b"q"))
    assert not verify_absence(top, b"q", nothing)


def test_a_level_with_another_number_of_siblings_is_refused() -> None:
    """L-20: the bitmap says how many hashes there are; hashes cannot move between bitmap and siblings."""
    top, found = _four_endings()
    key, value, proof = found["own leaf"]
    assert value is not None
    first, *rest = proof.levels
    for siblings in (first.siblings[:-1], (*first.siblings, bytes(32)), ()):
        assert not verify_inclusion(top, key, value, TrieProof((TrieLevel(first.bitmap, siblings), *rest), None))
    absent, _, gap = found["empty child"]
    *above, last = gap.levels
    for siblings in (last.siblings[:-1], (*last.siblings, bytes(32)), ()):
        assert not verify_absence(top, absent, TrieProof((*above, TrieLevel(last.bitmap, siblings)), None))


def test_paths_that_agree_to_the_last_nibble() -> None:
    """L-20: the deepest possible branch, at 63 nibbles; its proof has 64 levels and fits the record."""

    def path(key: bytes) -> bytes:
        return b"\x77" * 31 + key

    store = Store(path)
    store.apply({b"\x70": b"a", b"\x71": b"b"})
    assert max(map(len, store.nodes)) == 63
    proof = decode(TrieProof, encode(prove(store.nodes.get, b"\x71", path_of=path)))
    assert len(proof.levels) == 64
    assert verify_inclusion(root(store.nodes.get), b"\x71", b"b", proof, path_of=path)
    store.apply({b"\x70": None})
    assert list(store.nodes) == [b""]
