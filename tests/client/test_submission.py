"""Delivering envelopes: whatever fails, each acts once, and the outcome reported is the ledger's (L-7, L-9)."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.client.core import Core
from daemon.client.errors import (
    ClientError,
    OutcomeUnknown,
    TransactionExpired,
    TransactionFailed,
    TransactionRefused,
    Unreachable,
)
from daemon.client.sealing import Sealed
from daemon.client.submission import ENVELOPES_BYTES_MAX, ENVELOPES_MAX, Parcel, first_chunk
from daemon.client.views import Receipt
from tests.client.envelopes import NETWORK_ID, sealed
from tests.client.world import START_MS, Fate, Fault, World

VALIDITY_MS = 60_000


def deliver(world: World, items: list[Sealed], timeout_seconds: float | None = None) -> list[Receipt | ClientError]:
    return world.play(Core(world.urls, world.surroundings, None).send_all(items, timeout_seconds))


def one(world: World, timeout_seconds: float | None = None) -> Receipt | ClientError:
    return deliver(world, [sealed(1, START_MS + VALIDITY_MS)], timeout_seconds)[0]


faults = st.lists(st.sampled_from(Fault), max_size=8) | st.lists(st.sampled_from(Fault), max_size=60)
fates = st.lists(st.sampled_from([*Fate, Fate.WAITS, Fate.WAITS]), max_size=30)


@settings(max_examples=600)
@given(
    nodes=st.integers(1, 3),
    faults=faults,
    fates=fates,
    refusal=st.sampled_from(["conflict", "not_authorised", "expired", "quota_exceeded", "too_far_ahead"]),
    count=st.integers(1, 4),
    timeout_seconds=st.sampled_from([None, None, 0.5, 20.0]),
)
def test_the_outcome_reported_is_the_ledgers(
    nodes: int,
    faults: list[Fault],
    fates: list[Fate],
    refusal: str,
    count: int,
    timeout_seconds: float | None,
) -> None:
    """L-9: never a success that is none, a refusal that is overtaken, or twice. A time-out is not an outcome."""
    world = World(nodes, faults, fates, refusal)
    items = [sealed(number, START_MS + VALIDITY_MS) for number in range(count)]
    results = deliver(world, items, timeout_seconds)
    told = dict(zip([item.transaction for item in items], results, strict=True))
    before = dict(world.ledger.final)
    world.settle()
    assert all(times == 1 for times in world.ledger.applied.values()), "applied once"
    for transaction, result in told.items():
        if isinstance(result, Receipt):
            assert before[transaction]["code"] == result.code
            assert before[transaction]["height"] == result.height
        elif not isinstance(result, OutcomeUnknown):
            assert transaction not in world.ledger.final, f"{result!r} and yet it became final"
    if timeout_seconds is None:
        assert not any(isinstance(result, OutcomeUnknown) for result in results), "in time every outcome is certain"


@settings(max_examples=400)
@given(
    nodes=st.integers(1, 3),
    faults=faults,
    fates=fates,
    refusal=st.sampled_from(["conflict", "not_authorised", "expired", "quota_exceeded", "too_far_ahead"]),
    is_read=st.booleans(),
    cancelled_after=st.none() | st.integers(0, 6),
    timeout_seconds=st.sampled_from([None, 0.5, 5.0]),
)
def test_the_outcome_of_a_repetition_is_the_ledgers_too(
    nodes: int,
    faults: list[Fault],
    fates: list[Fate],
    refusal: str,
    is_read: bool,
    cancelled_after: int | None,
    timeout_seconds: float | None,
) -> None:
    """L-9, over several deliveries of one envelope: given up, cut off at any step, or read again after a crash."""
    world = World(nodes, faults, fates, refusal)
    item = sealed(1, START_MS + VALIDITY_MS)
    if cancelled_after is None:
        first = deliver(world, [item], 0.5)[0]
        item = first.sealed if isinstance(first, OutcomeUnknown) else item
    else:
        world.cut_off(Core(world.urls, world.surroundings, None).send_all([item], None), cancelled_after)
    again = Sealed.read(item.data, NETWORK_ID) if is_read else item
    (result,) = deliver(world, [again], timeout_seconds)
    was_final = item.transaction in world.ledger.final
    world.settle()
    assert world.ledger.applied.get(item.transaction, 0) <= 1
    if isinstance(result, Receipt):
        assert was_final
    elif not isinstance(result, OutcomeUnknown):
        assert item.transaction not in world.ledger.final, f"{result!r} and yet it became final"


@pytest.mark.parametrize("way", ["error.sealed", "read", "deep copy", "shallow copy"])
def test_an_envelope_that_was_given_up_and_sent_again_is_not_refused(way: str) -> None:
    """One node holds it; the next answers `pool_full` until the time is over: that is no outcome."""
    world = World(1, [Fault.NONE] + [Fault.FULL] * 1_000, [Fate.WAITS] * 1_000)
    item = sealed(1, START_MS + VALIDITY_MS)
    before = copy.copy(item)
    first = deliver(world, [item], timeout_seconds=0.05)[0]
    assert isinstance(first, OutcomeUnknown)
    ways = {
        "error.sealed": first.sealed,
        "read": Sealed.read(item.data, NETWORK_ID),
        "deep copy": copy.deepcopy(item),
        "shallow copy": before,
    }
    assert isinstance(deliver(world, [ways[way]], timeout_seconds=10)[0], OutcomeUnknown)


def test_a_node_that_is_behind_does_not_refuse_what_is_final_elsewhere() -> None:
    """After a crash it is asked first, and says *expired* by its own clock."""
    written = sealed(1, START_MS + VALIDITY_MS).data
    world = World(1, [Fault.REFUSES] * 1_000, refusal="expired")
    assert isinstance(deliver(world, [Sealed.read(written, NETWORK_ID)], timeout_seconds=5)[0], OutcomeUnknown)


def test_an_envelope_that_is_final_is_not_refused_later() -> None:
    item = sealed(1, START_MS + VALIDITY_MS)
    assert isinstance(deliver(World(1), [item])[0], Receipt)
    behind = World(1, [Fault.REFUSES] * 1_000, refusal="conflict")
    assert isinstance(deliver(behind, [item], timeout_seconds=5)[0], OutcomeUnknown)


def test_a_cancelled_delivery_may_have_left_a_copy() -> None:
    world = World(1, [Fault.CUT_AFTER] + [Fault.REFUSES] * 1_000, [Fate.WAITS] * 1_000)
    item = sealed(1, START_MS + VALIDITY_MS)
    world.cut_off(Core(world.urls, world.surroundings, None).send_all([item], None), 1)
    world.nodes["http://node0"].pool.clear()  # the copy is with a node that is out of reach
    assert isinstance(deliver(world, [item], timeout_seconds=5)[0], OutcomeUnknown)


def test_two_deliveries_at_once_know_of_each_other() -> None:
    """While one is on its way, a refusal of the other is no outcome."""
    item = sealed(1, START_MS + VALIDITY_MS)
    one_way, other_way = World(1), World(1, [Fault.REFUSES] * 1_000)
    conversation = Core(one_way.urls, one_way.surroundings, None).send_all([item], None)
    next(conversation)
    assert isinstance(deliver(other_way, [item], timeout_seconds=5)[0], OutcomeUnknown)
    conversation.close()


@pytest.mark.parametrize("fault", [Fault.FULL, Fault.REFUSES, Fault.DOWN])
def test_what_no_node_can_hold_begins_anew(fault: Fault) -> None:
    """Refused for certain, or never posted: the next refusal is an outcome again."""
    item = sealed(1, START_MS + VALIDITY_MS)
    first = deliver(World(1, [fault] * 1_000), [item], timeout_seconds=2)[0]
    assert isinstance(first, TransactionRefused | Unreachable)
    assert isinstance(deliver(World(1, [Fault.REFUSES]), [item], timeout_seconds=2)[0], TransactionRefused)


def test_a_quiet_world_takes_one_exchange_and_one_more() -> None:
    world = World()
    receipt = one(world)
    assert isinstance(receipt, Receipt)
    assert receipt.ok
    assert receipt.log_index == 0
    assert len(world.asked) == 2  # the first says pending; a real node would have waited


@pytest.mark.parametrize(
    "fault", [Fault.CUT_AFTER, Fault.PAGE_AFTER, Fault.FAILED, Fault.BUSY, Fault.STOPPING, Fault.GARBAGE, Fault.LATE]
)
def test_an_answer_that_is_lost_is_asked_for_again(fault: Fault) -> None:
    """The node took it and the client did not hear: the same envelope again gives the first receipt (L-7)."""
    world = World(2, [fault])
    receipt = one(world)
    assert isinstance(receipt, Receipt)
    assert world.ledger.applied == {receipt.transaction: 1}
    assert len({ask.question.body for ask in world.asked if ask.question.method == "POST"}) == 1, "the same bytes"
    assert len({ask.endpoint for ask in world.asked}) == 2, "another endpoint was asked"


@pytest.mark.parametrize(
    "fault", [Fault.CUT_AFTER, Fault.CUT_BEFORE, Fault.PAGE, Fault.BUSY, Fault.STOPPING, Fault.FAILED]
)
def test_a_refusal_is_no_outcome_when_a_node_may_hold_it(fault: Fault) -> None:
    """Nobody knows where the first copy is: a second node's refusal speaks for that node only (L-9)."""
    world = World(2, [fault, Fault.REFUSES, Fault.REFUSES, Fault.REFUSES], [Fate.SKIPPED])
    result = one(world)
    assert isinstance(result, Receipt | TransactionExpired)
    assert isinstance(result, Receipt) == bool(world.ledger.final)


@pytest.mark.parametrize("refuses", [Fault.REFUSES, Fault.WHOLE])
@pytest.mark.parametrize("first", [Fault.NONE, Fault.CUT_AFTER])
def test_a_refusal_elsewhere_does_not_undo_a_pending_one(first: Fault, refuses: Fault) -> None:
    """node0 holds it and is then out of reach; node1 wants nothing of it; in the end node0 has it sealed."""
    world = World(2, [first, Fault.DOWN, refuses, Fault.DOWN, refuses, Fault.DOWN, refuses], [Fate.WAITS] * 7)
    receipt = one(world)
    assert isinstance(receipt, Receipt)
    assert receipt.transaction in world.ledger.final


@pytest.mark.parametrize("code", ["conflict", "not_authorised", "wrong_network", "bad_signature", "expired"])
def test_a_refusal_of_the_only_one_asked_is_the_outcome(code: str) -> None:
    world = World(2, [Fault.REFUSES], refusal=code)
    result = one(world)
    assert isinstance(result, TransactionRefused)
    assert result.code == code
    assert len(world.asked) == 1, "nobody else is given what was refused for what it says"


@pytest.mark.parametrize("fault", [Fault.FULL, Fault.DISK, Fault.DOWN])
def test_pressure_sends_it_elsewhere_at_once(fault: Fault) -> None:
    world = World(2, [fault])
    assert isinstance(one(world), Receipt)
    assert [ask.endpoint for ask in world.asked[:2]] == ["http://node0", "http://node1"]
    assert sum(world.pauses) < 0.5


def test_retry_after_is_honoured_where_there_is_no_other() -> None:
    """429 with Retry-After: 1."""
    world = World(1, [Fault.FULL, Fault.FULL])
    assert isinstance(one(world), Receipt)
    assert sum(world.pauses) >= 2.0


def test_refused_for_pressure_until_the_end_is_a_refusal() -> None:
    world = World(1, [Fault.FULL] * 1_000)
    result = one(world, timeout_seconds=10)
    assert isinstance(result, TransactionRefused)
    assert result.code == "pool_full"
    assert 5 <= len(world.asked) <= 12


def test_nobody_there() -> None:
    world = World(2, [Fault.DOWN] * 1_000)
    result = one(world, timeout_seconds=10)
    assert isinstance(result, Unreachable)
    assert set(result.attempts) == set(world.urls)
    assert world.seconds <= 10.5


def test_the_time_is_over_and_nothing_is_known() -> None:
    world = World(1, [Fault.CUT_AFTER] * 1_000, [Fate.WAITS] * 1_000)
    result = one(world, timeout_seconds=5)
    assert isinstance(result, OutcomeUnknown)
    again = deliver(world, [result.sealed], timeout_seconds=600)[0]
    assert isinstance(again, ClientError | Receipt)
    assert isinstance(again, Receipt) == (result.transaction in world.ledger.final)


def test_an_expired_one_says_what_it_was_refused_for() -> None:
    world = World(1, [Fault.CUT_BEFORE] + [Fault.REFUSES] * 100, refusal="not_authorised")
    result = one(world)
    assert isinstance(result, TransactionExpired)
    assert result.refusal is not None
    assert result.refusal[0] in ("not_authorised", "expired")


def test_a_failed_one_is_raised_with_its_receipt() -> None:
    world = World(1, [], [Fate.FAILED])
    core = Core(world.urls, world.surroundings, None)
    with pytest.raises(TransactionFailed) as raised:
        world.play(core.send(sealed(1, START_MS + VALIDITY_MS), None))
    assert raised.value.code == "forbidden"
    assert raised.value.receipt.operation == 0


def test_back_off_grows_with_jitter_and_bound() -> None:
    world = World(1, [Fault.DOWN] * 12)
    assert isinstance(one(world), Receipt)
    pauses = world.pauses
    assert pauses[0] < 0.2
    assert max(pauses) <= 5.0
    assert max(pauses) > 2.0
    assert len(set(pauses)) == len(pauses)


def test_a_node_that_does_not_wait_is_not_asked_in_a_hot_loop() -> None:
    """One that stops says pending at once, whatever it was asked to wait."""
    world = World(1, [], [Fate.WAITS] * 1_000)
    assert isinstance(one(world, timeout_seconds=50), OutcomeUnknown | Receipt)
    assert len(world.asked) < 40


def test_posts_are_bounded_in_number_and_bytes() -> None:
    small = [Parcel(sealed(number, START_MS)) for number in range(ENVELOPES_MAX + 5)]
    assert len(first_chunk(small)) == ENVELOPES_MAX
    one_size = len(small[0].sealed.data)
    big = Sealed(bytes(32), bytes(ENVELOPES_BYTES_MAX), bytes(32), bytes(16), START_MS, ())
    assert len(first_chunk([Parcel(big), *small])) == 1, "one that fills a post goes alone"
    assert len(first_chunk([*small[:10], Parcel(big)])) == 10
    assert one_size < 1_000


def test_many_are_delivered_in_several_posts() -> None:
    world = World(2, [Fault.NONE, Fault.CUT_AFTER])
    items = [sealed(number, START_MS + VALIDITY_MS) for number in range(ENVELOPES_MAX + 50)]
    results = deliver(world, items)
    assert [result.transaction for result in results if isinstance(result, Receipt)] == [i.transaction for i in items]


def test_what_is_void_by_its_bytes_needs_no_waiting() -> None:
    """A bad signature is bad everywhere and for ever: one refusal suffices, wherever other copies are."""
    good = sealed(1, START_MS + VALIDITY_MS)
    void = replace(good, data=good.data[:-1] + bytes([good.data[-1] ^ 1]))
    world = World(2, [Fault.CUT_BEFORE, Fault.REFUSES], refusal="bad_signature")
    (result,) = deliver(world, [void])
    assert isinstance(result, TransactionRefused)
    assert len(world.asked) == 2
