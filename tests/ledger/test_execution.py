"""Execution, rule by rule: what is skipped, what fails, what is recorded, what stops the node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from protocol import limits
from protocol.codec import decode, encode
from protocol.crypto import log, trie
from protocol.errors import BrokenInvariant, Refused
from protocol.ledger.application import OperationKind
from protocol.ledger.execution import Diverged, Execution
from protocol.ledger.genesis import DEFAULT_PARAMETERS
from protocol.ledger.index import (
    account_history,
    locate,
    log_getter,
    read_head,
    read_receipt,
    read_roots,
    receipt_at,
    trie_getter,
)
from protocol.ledger.members import usage_bytes
from protocol.ledger.records import Operation, account_name, header_hash
from protocol.ledger.state import StateReader
from protocol.ledger.tables import Table
from protocol.ledger.undo import MARGIN_HEIGHTS, HistoricState
from tests.ledger.world import (
    MINT,
    NOTES,
    Drop,
    Give,
    Put,
    TestApplication,
    Units,
    World,
    key,
    units_of,
)

MINE = account_name(key(1).public)
OTHER = account_name(key(2).public)
TTL = DEFAULT_PARAMETERS.envelope_ttl_max_ms


def codes(done: Execution) -> list[str]:
    return [outcome.code for outcome in done.outcomes]


def note(world: World, name: str = "a", account: bytes = MINE) -> bytes | None:
    found = StateReader(world.tables).get(NOTES, (account, name))
    return None if found is None else found.value


def test_an_applied_envelope_leaves_state_receipt_and_leaf() -> None:
    """L-21, and what the tables hold to find it again."""
    world = World()
    done = world.run(world.put(1, "a", b"hello"))
    (outcome,) = done.outcomes
    assert (outcome.final, outcome.code, outcome.log_index, outcome.position) == (True, "ok", 0, 0)
    receipt = receipt_at(world.tables, 0)
    assert receipt is not None
    assert done.receipts == (receipt,)
    assert (receipt.transaction, receipt.height, receipt.time_ms) == (outcome.transaction, 1, world.time_ms)
    assert receipt.results == (encode(Units(5)),)
    assert note(world) == b"hello"
    assert locate(world.tables, outcome.transaction) == (0, 1, 0)
    assert locate(world.tables, outcome.transaction[:16] + bytes(16)) is None, "another with the same beginning"
    assert account_history(world.tables, MINE) == [0]
    assert done.executed.log_size == 1
    assert done.executed.log_root == log.leaf_hash(read_receipt(world.tables, 0) or b"")


def test_state_root_is_that_of_the_sorted_map_and_differs_with_every_value() -> None:
    """L-20: recomputed from the stored pairs alone."""
    world = World()
    for number in range(5):
        done = world.run(world.put(number, f"n{number}"), world.put(100 + number, "same", bytes([number])))
        pairs = dict(world.tables.scan(Table.STATE, b"", limit=10_000))
        assert trie.update(lambda _: None, pairs)[0] == done.executed.state_root
        assert trie.root(trie_getter(world.tables)) == done.executed.state_root
    assert len({done.state_root for done in world.executed}) == len(world.executed)


def test_a_failed_envelope_leaves_nothing_but_its_receipt() -> None:
    """L-8: all or none; code, index of the operation, words."""
    world = World()
    before = world.executed[-1].state_root
    operations = [("put", Put("a", b"x")), ("put", Put("b", b"y")), ("drop", Drop("missing")), ("put", Put("c", b"z"))]
    envelope = world.envelope(1, operations)
    done = world.run(envelope)
    (receipt,) = done.receipts
    assert (receipt.code, receipt.operation, receipt.words) == ("not_found", 2, "no note missing")
    assert receipt.results == ()
    assert done.executed.state_root == before
    assert note(world) is None
    assert usage_bytes("m0", StateReader(world.tables)) == 0
    assert codes(world.run(envelope)) == ["duplicate"], "its id is used"


def test_operations_see_what_those_before_them_did() -> None:
    world = World()
    chain = [("put", Put("a", b"1")), ("drop", Drop("a")), ("put", Put("a", b"2")), ("give", Give(OTHER, 10, False))]
    assert codes(world.run(world.envelope(1, chain), world.envelope(2, [("give", Give(OTHER, MINT - 10, False))]))) == [
        "ok",
        "ok",
    ]
    assert note(world) == b"2"
    state = StateReader(world.tables)
    assert (units_of(state, MINE), units_of(state, OTHER)) == (0, 2 * MINT)
    assert codes(world.run(world.envelope(3, [("give", Give(OTHER, 1, False))]))) == ["forbidden"]
    assert units_of(StateReader(world.tables), MINE) == 0, "what it wrote before it refused is gone"


def test_malformed_and_unknown_operations_fail_with_words_that_name_the_field_only() -> None:
    """L-8, L-19: words stand in receipts, so nothing that depends on a library's version is in them."""
    world = World()
    done = world.run(
        world.envelope(1, [("nothing", b"\x90")]),
        world.envelope(2, [("put", Drop("a"))], app="nowhere"),
        world.envelope(3, [("put", Drop("a"))]),
        world.envelope(4, [("put", b"\xc1")]),
        world.envelope(5, [("put", encode(Put("a", b"")).replace(b"\xa1a", b"\xa0"))]),
        world.put(6, "forbidden"),
    )
    assert codes(done) == [
        "unknown_operation",
        "unknown_operation",
        "bad_arguments",
        "bad_arguments",
        "bad_arguments",
        "forbidden",
    ]
    assert [receipt.words for receipt in done.receipts] == [
        "test.nothing is not an operation of this network",
        "nowhere.put is not an operation of this network",
        "test.put: the arguments are not a canonical Put",
        "test.put: the arguments are not a canonical Put",
        "test.put: the arguments are not a canonical Put, field name",
        "this name is forbidden",
    ]


def test_long_words_are_cut_between_characters() -> None:
    @dataclass(frozen=True)
    class Wordy(TestApplication):
        operations: Mapping[str, OperationKind] = field(
            default_factory=lambda: {"say": OperationKind("say", Drop, None, "says much", _say)}
        )

    world = World(applications=[Wordy()])
    (receipt,) = world.run(world.envelope(1, [("say", Drop("a"))])).receipts
    assert receipt.words == "a" + "é" * 127
    assert len(receipt.words.encode()) == limits.WORDS_BYTES_MAX - 1


def _say(_context: Any, _state: Any, _arguments: Drop) -> None:
    raise Refused("forbidden", "a" + "é" * 200)


# -- Blocks ------------------------------------------------------------------------------------------------


def test_empty_blocks_change_no_root_and_write_next_to_nothing() -> None:
    world = World()
    world.run(world.put(1))
    done = world.block()
    assert replace(done.executed, height=1) == world.executed[1]
    assert {table for table, _ in done.writes} == {Table.ROOTS, Table.META}


def test_order_is_that_of_references_then_of_envelopes() -> None:
    """L-19."""
    world = World()
    done = world.block(
        world.batch([world.put(1, "a", b"1"), world.put(2, "a", b"2")], author=3),
        world.batch([world.put(3, "a", b"3")], author=1),
    )
    assert [int.from_bytes(outcome.id, "big") for outcome in done.outcomes] == [1, 2, 3]
    assert note(world) == b"3"


def test_a_block_that_does_not_belong_here_is_a_broken_invariant_and_writes_nothing() -> None:
    world = World()
    batch = world.batch([world.put(1)])
    good = world.header([batch])
    for header, batches in (
        (replace(good, height=2), [batch]),
        (replace(good, parent=bytes(32)), [batch]),
        (replace(good, time_ms=world.time_ms), [batch]),
        (replace(good, rules=2), [batch]),
        (good, []),
        (good, [batch, batch]),
        (good, [world.batch([world.put(2)])]),
        (good, [b"\x00"]),
        (replace(good, executed=replace(good.executed, height=1)), [batch]),
    ):
        with pytest.raises(BrokenInvariant):
            world.execute(header, batches)
    assert codes(world.execute(good, [batch])) == ["ok"]


def test_another_result_than_a_final_header_states_stops_the_node() -> None:
    """L-22."""
    world = World()
    world.run(world.put(1))
    good = world.header()
    for lie in (
        replace(good.executed, state_root=bytes(32)),
        replace(good.executed, log_root=bytes(32)),
        replace(good.executed, log_size=2),
    ):
        with pytest.raises(Diverged) as caught:
            world.execute(replace(good, executed=lie), [])
        assert caught.value.code == "diverged"


def test_a_batch_by_no_validator_is_a_broken_invariant() -> None:
    world = World()
    batch = world.batch([world.put(1)], author=77)
    with pytest.raises(BrokenInvariant, match="no validator"):
        world.execute(world.header([batch]), [batch])


@pytest.mark.parametrize("operation", ["boom", "trespass"])
def test_an_application_that_fails_otherwise_than_by_refusing_stops_the_node(operation: str) -> None:
    world = World()
    batch = world.batch([world.envelope(1, [(operation, Drop("a"))])])
    with pytest.raises(BrokenInvariant, match=rf"test\.{operation}"):
        world.execute(world.header([batch]), [batch])


def test_results_past_their_bound_fail_the_envelope_instead_of_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECEIPT_RESULTS_BYTES_MAX", 10)
    world = World()
    done = world.run(world.envelope(1, [("put", Put(f"n{i}", b"")) for i in range(5)]))
    assert codes(done) == ["too_large"]
    assert done.receipts[0].operation == 2


def test_the_log_grows_over_blocks_and_proves_every_receipt() -> None:
    """L-21: one log for the life of the network."""
    world = World()
    for number in range(9):
        world.run(*(world.put(number * 10 + i, f"n{i}") for i in range(number % 4)))
    head = read_head(world.tables).executed
    get = log_getter(world.tables)
    for index in range(head.log_size):
        leaf = log.leaf_hash(read_receipt(world.tables, index) or b"")
        path = log.inclusion_proof(get, index, head.log_size)
        assert log.verify_inclusion(leaf, index, head.log_size, path, head.log_root)
    for done in world.executed:
        assert log.root(get, done.log_size) == done.log_root
    assert account_history(world.tables, MINE, 3, 4) == [3, 4, 5, 6]


def test_roots_of_every_height_stay() -> None:
    """L-20."""
    world = World()
    for number in range(3):
        world.run(world.put(number))
    for height, done in enumerate(world.executed):
        roots = read_roots(world.tables, height)
        assert roots is not None
        assert roots.executed == done
        hashed = world.network_id if height == 0 else header_hash(world.headers[height - 1])
        assert roots.header_hash == hashed


def test_the_state_of_recent_heights_can_be_proven_and_old_undo_goes() -> None:
    """L-20: changed, added and removed keys."""
    world = World()
    keys = [NOTES.key((MINE, name)) for name in ("a", "b")]
    expected: list[list[bytes | None]] = [[None, None]]
    for step in range(12):
        operations: list[tuple[str, Any]] = [("put", Put("a", bytes([step])))]
        operations.append(("put", Put("b", b"")) if step % 2 == 0 else ("drop", Drop("b")))
        world.run(world.envelope(step, operations))
        world.block()
        now = [world.tables.get(Table.STATE, k) for k in keys]
        expected += [now, now]
    for height, values in enumerate(expected):
        state = HistoricState(world.tables, height)
        assert state.root == world.executed[height].state_root
        for state_key, value in zip(keys, values, strict=True):
            assert state.value(state_key) == value
            proof = state.prove(state_key)
            shown = (
                trie.verify_absence(state.root, state_key, proof)
                if value is None
                else trie.verify_inclusion(state.root, state_key, value, proof)
            )
            assert shown


def test_undo_is_kept_for_the_margin_and_then_removed() -> None:
    world = World()
    for number in range(MARGIN_HEIGHTS + 10):
        world.run(world.put(number, "a", number.to_bytes(2, "big")))
    heights = [int.from_bytes(k, "big") for k, _ in world.tables.scan(Table.TRIE_UNDO, b"")]
    covered = world.headers[-1].executed.height
    assert heights == list(range(covered - MARGIN_HEIGHTS + 1, covered + 2))
    assert HistoricState(world.tables, heights[0]).root == world.executed[heights[0]].state_root
    with pytest.raises(Refused, match="not kept"):
        HistoricState(world.tables, heights[0] - 2)
    with pytest.raises(Refused, match="not executed"):
        HistoricState(world.tables, 10_000)


def test_what_the_network_writes_is_decodable_by_its_operation() -> None:
    """A receipt's stored bytes are the record that was hashed."""
    world = World()
    (receipt,) = world.run(world.put(1)).receipts
    assert read_receipt(world.tables, 0) == encode(receipt)
    assert decode(type(receipt), encode(receipt)) == receipt
    assert Operation("test", "put", b"") != Operation("test", "put", b"\x00")
