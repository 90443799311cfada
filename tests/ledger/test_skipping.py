"""What is skipped, who pays for state, and whose consent is needed (L-6, L-7, L-12)."""

from __future__ import annotations

from dataclasses import replace

from protocol.codec import encode
from protocol.ledger.execution import Execution
from protocol.ledger.genesis import DEFAULT_PARAMETERS
from protocol.ledger.index import (
    EXPIRING_TOGETHER,
    expiring_names,
    locate,
    read_seen,
    seen_name,
    seen_of,
)
from protocol.ledger.members import MEMBERS, USAGE, Member, usage_bytes
from protocol.ledger.records import account_name
from protocol.ledger.state import StateReader
from protocol.ledger.tables import NAMES, Table
from tests.ledger.world import (
    NOTES,
    Drop,
    Give,
    Note,
    World,
    key,
    make_genesis,
)

MINE = account_name(key(1).public)
OTHER = account_name(key(2).public)
TTL = DEFAULT_PARAMETERS.envelope_ttl_max_ms


def codes(done: Execution) -> list[str]:
    return [outcome.code for outcome in done.outcomes]


# -- What is skipped (L-7) -----------------------------------------------------------------------------


def assert_skipped(world: World, data: bytes, code: str) -> None:
    """No receipt, no leaf, no effect, (account, id) stays free."""
    before = world.executed[-1]
    done = world.run(data)
    (outcome,) = done.outcomes
    assert (outcome.final, outcome.code, outcome.log_index, done.receipts) == (False, code, None, ())
    assert replace(done.executed, height=before.height) == before
    assert locate(world.tables, outcome.transaction) is None or code == "duplicate"


def test_outside_its_time_window() -> None:
    """L-7: valid_until after block time, and at most envelope_ttl_max ahead of it; the bounds exactly."""
    world = World()
    at = world.time_ms + 100
    assert_skipped(world, world.put(1, valid_until_ms=at), "expired")
    at = world.time_ms + 100
    assert_skipped(world, world.put(1, valid_until_ms=at + TTL + 1), "too_far_ahead")
    at = world.time_ms + 100
    assert codes(world.run(world.put(1, valid_until_ms=at + 1), world.put(2, valid_until_ms=at + TTL))) == ["ok", "ok"]


def test_the_same_envelope_again_is_a_duplicate_and_other_content_a_conflict() -> None:
    """L-7: also within one block, also of a failed one."""
    world = World()
    first, other = world.put(1), world.put(1, "b")
    done = world.run(first, first, other, world.put(1, signers=[key(2)]))
    assert codes(done) == ["ok", "duplicate", "conflict", "ok"]
    assert [outcome.position for outcome in done.outcomes] == [0, 1, 2, 3]
    assert [receipt.position for receipt in done.receipts] == [0, 3], "position counts what was skipped too (L-21)"
    assert_skipped(world, first, "duplicate")
    assert_skipped(world, other, "conflict")


def test_not_authorised_by_its_signers_does_not_burn_the_id() -> None:
    """L-7: nobody can burn a stranger's envelope."""
    world = World()
    stolen = world.put(1, signers=[key(2)], account=MINE)
    assert_skipped(world, stolen, "not_authorised")
    assert codes(world.run(world.put(1))) == ["ok"]


def test_an_id_is_free_again_once_its_valid_until_has_passed() -> None:
    """L-7: whether the entry was pruned or not."""
    world = World()
    until = world.time_ms + 1_000
    world.run(world.put(1, valid_until_ms=until))
    assert codes(world.block(world.batch([world.put(1, "b")]), step_ms=899)) == ["conflict"]
    again = world.put(1, "b")
    done = world.block(world.batch([again]), step_ms=1)
    assert world.time_ms == until
    assert codes(done) == ["ok"]
    seen = read_seen(world.tables, MINE, (1).to_bytes(16, "big"))
    assert seen is not None
    assert seen.log_index == done.outcomes[0].log_index, "pruning the old entry leaves the new one"
    expiries = [int.from_bytes(entry[:8], "big") for entry, _ in world.tables.scan(Table.SEEN_EXPIRY, b"")]
    assert expiries == [seen.valid_until_ms]


def test_the_replay_window_is_pruned_by_block_time_with_bounded_work() -> None:
    """L-7: what block time has passed is removed, some hundreds a block."""
    world = World()
    until = world.time_ms + 1_000
    world.run(*(world.put(number, valid_until_ms=until) for number in range(300)))
    world.run(world.put(1_000))
    assert len(world.tables.scan(Table.SEEN, b"", limit=9_999)) == 301
    world.block(step_ms=2_000)
    assert len(world.tables.scan(Table.SEEN, b"", limit=9_999)) == 301 - EXPIRING_TOGETHER
    world.block()
    assert len(world.tables.scan(Table.SEEN, b"", limit=9_999)) == 1
    assert len(world.tables.scan(Table.SEEN_EXPIRY, b"", limit=9_999)) == 1


def test_envelopes_that_end_at_different_times_are_forgotten_with_the_latest_of_their_row() -> None:
    """L-7: remembered for longer, and free again all the same."""
    world = World()
    early, late = world.time_ms + 1_000, world.time_ms + 50_000
    world.run(world.put(1, valid_until_ms=late), world.put(2, valid_until_ms=early))
    world.block(step_ms=2_000)
    assert len(world.tables.scan(Table.SEEN, b"")) == 2
    again = world.put(2, "b", valid_until_ms=late + 100_000)
    assert codes(world.run(world.put(1, "b"), again)) == ["conflict", "ok"]
    world.block(step_ms=60_000)
    assert [seen_of(NAMES[Table.SEEN].split(row)[1]).log_index for row, _ in world.tables.scan(Table.SEEN, b"")] == [2]


# -- Quotas (L-12) -------------------------------------------------------------------------------------


def state_bytes(world: World) -> int:
    """Keys and values of the state, but the counters."""
    pairs = world.tables.scan(Table.STATE, b"", limit=10**6)
    return sum(len(k) + len(v) for k, v in pairs if USAGE.name.encode() not in k)


def test_new_state_is_charged_to_the_member_whose_validator_sealed_it() -> None:
    world = World()
    before = state_bytes(world)
    world.run(world.put(1, "a", b"x" * 100), author=0)
    world.run(world.put(2, "a", b"x" * 130), author=1)
    state = StateReader(world.tables)
    assert usage_bytes("m1", state) == 30
    assert usage_bytes("m0", state) + usage_bytes("m1", state) == state_bytes(world) - before
    world.run(world.envelope(3, [("drop", Drop("a"))]), author=0)
    state = StateReader(world.tables)
    assert (usage_bytes("m0", state), usage_bytes("m1", state)) == (0, 30), "freed bytes are given back, never below 0"


def test_beyond_the_quota_an_envelope_is_skipped_and_goes_through_elsewhere() -> None:
    """L-7, L-12."""
    world = World(make_genesis(quota=250))
    assert codes(world.run(world.put(1, "a", b"x" * 100))) == ["ok"]
    big = world.put(2, "b", b"x" * 200)
    assert_skipped(world, big, "quota_exceeded")
    small, freeing = world.put(3, "b", b""), world.envelope(4, [("drop", Drop("a"))])
    assert codes(world.run(big, freeing, big, small)) == ["quota_exceeded", "ok", "quota_exceeded", "ok"]
    assert codes(world.run(world.put(5, "c", b"x" * 150), author=1)) == ["ok"]


def test_the_quota_binds_exactly() -> None:
    key_bytes = len(NOTES.key((MINE, "a")))
    size = key_bytes + len(encode(Note(b"x" * 50)))
    assert codes(World(make_genesis(quota=size)).run(World(make_genesis(quota=size)).put(1, "a", b"x" * 50))) == ["ok"]
    less = World(make_genesis(quota=size - 1))
    assert codes(less.run(less.put(1, "a", b"x" * 50))) == ["quota_exceeded"]


# -- Consent (L-6) -------------------------------------------------------------------------------------


def test_an_operation_that_names_a_second_account_needs_its_keys_too() -> None:
    world = World()
    give = [("give", Give(OTHER, 1, True))]
    done = world.run(
        world.envelope(1, give, account=MINE), world.envelope(2, give, signers=[key(1), key(2)], account=MINE)
    )
    assert codes(done) == ["consent_missing", "ok"]


def test_pruning_an_old_entry_late_leaves_a_newer_one_of_the_same_id() -> None:
    """L-7: with so many entries expiring that the old one is pruned only after its id was used again."""
    world = World()
    until = world.time_ms + 1_000
    world.run(*(world.put(number, valid_until_ms=until) for number in range(300)))
    again = world.put(299, "b", valid_until_ms=until + 60_000)
    assert codes(world.block(world.batch([again]), step_ms=2_000)) == ["ok"]
    stale = [entry for entry, _ in world.tables.scan(Table.SEEN_EXPIRY, b"") if entry[:8] == until.to_bytes(8, "big")]
    names = [name for entry in stale for name in expiring_names(world.tables.get(Table.SEEN_EXPIRY, entry) or b"")]
    name = seen_name(MINE, (299).to_bytes(16, "big"))
    assert name in names, "the old entry waits"
    assert len(world.tables.named(Table.SEEN, name)) == 1, "of a name there is one row, whoever uses the id how often"
    world.block()
    assert len(world.tables.scan(Table.SEEN_EXPIRY, b"", limit=9_999)) == 1
    assert codes(world.run(again)) == ["duplicate"]


def test_a_member_beyond_a_lowered_quota_can_still_free_state() -> None:
    """L-12."""
    world = World()
    world.run(world.put(1, "a", b"x" * 100), world.put(2, "b"))
    lowered = encode(Member(account_name(key(100).public), 10))
    world.tables.apply({(Table.STATE, MEMBERS.key(("m0",))): lowered})
    freeing = world.envelope(3, [("drop", Drop("a"))])
    assert codes(world.run(world.put(4, "c"), freeing, world.put(5, "b", b"y"))) == ["quota_exceeded", "ok", "ok"]
