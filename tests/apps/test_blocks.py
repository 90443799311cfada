"""The applications under the real ledger: signed envelopes, batches, blocks, receipts, replay (L-6, L-8, L-19)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol import limits
from protocol.apps.accounts import SetKeys
from protocol.apps.evidence.records import RecordEvidence, Statement
from protocol.apps.points.audit import audit
from protocol.apps.points.records import AddMethodology, Issue, ProgrammeOpened, RecordActivity, Transfer, programme_id
from protocol.apps.registry import APPLICATIONS, RULES, explain_receipt
from protocol.codec import decode
from protocol.errors import OK
from protocol.ledger.execution import Execution
from protocol.ledger.index import read_head
from protocol.ledger.records import Operation, account_name
from protocol.ledger.tables import Table
from tests.apps.programme import FACTORS, claim, opened
from tests.ledger.world import START_MS, World, key

BANK, ANN, BEN = key(100), key(1), key(2)
BANK_ACCOUNT, ANN_ACCOUNT, BEN_ACCOUNT = (account_name(one.public) for one in (BANK, ANN, BEN))
P = programme_id(BANK_ACCOUNT, "green")


def trip(number: int) -> list[tuple[str, Any]]:
    """Record a trip of Ann's and issue for it."""
    activity = RecordActivity(P, claim(number), ANN_ACCOUNT, 1000, START_MS - 10, START_MS - 5, None)
    return [("record_activity", activity), ("issue", Issue(P, claim(number), 1, 180, 54))]


def opened_world() -> World:
    world = World(applications=APPLICATIONS[1])
    opening = [("open_programme", opened()), ("add_methodology", AddMethodology(P, 1, FACTORS, "example"))]
    execution = world.run(world.envelope(1, opening, signers=[BANK], app="points"))
    assert codes(execution) == [OK]
    assert decode(ProgrammeOpened, execution.receipts[0].results[0]) == ProgrammeOpened(P)
    return world


def codes(execution: Execution) -> list[str]:
    return [outcome.code for outcome in execution.outcomes]


def agrees(world: World) -> bool:
    return [one.wrong for one in audit(world.tables)] == [[]]


def test_an_envelope_of_a_thousand_operations_holds_together() -> None:
    """500 trips recorded and issued for, at once."""
    world = opened_world()
    operations = [operation for number in range(limits.OPERATIONS_MAX // 2) for operation in trip(number)]
    execution = world.run(world.envelope(2, operations, signers=[BANK], app="points"))
    assert codes(execution) == [OK]
    assert len(execution.receipts[0].results) == 1000
    (one,) = audit(world.tables)
    assert (one.activities, one.issued, one.held, one.wrong) == (500, 500 * 54, 500 * 54, [])


def test_operations_of_one_envelope_apply_all_or_none() -> None:
    """L-8: of a thousand, the last one claims a trip twice."""
    world = opened_world()
    operations = [operation for number in range(499) for operation in trip(number)]
    before = dict(world.tables.scan(Table.STATE, b"", limit=10_000))
    execution = world.run(world.envelope(2, [*operations, trip(1000)[0], trip(7)[0]], signers=[BANK], app="points"))
    receipt = execution.receipts[0]
    assert (receipt.code, receipt.operation, receipt.results) == ("already_claimed", 999, ())
    assert dict(world.tables.scan(Table.STATE, b"", limit=10_000)) == before
    listed = [Operation("points", "x", b"")] * 1000
    assert "Nothing was done. Operation 1000 of 1000" in explain_receipt(RULES[1], listed, receipt)[0]
    assert codes(world.run(world.envelope(3, trip(7), signers=[BANK], app="points"))) == [OK], (
        "the claim key stayed free"
    )
    assert agrees(world)


def test_points_move_in_the_order_of_the_block() -> None:
    """L-19: what the first of a block's envelopes brought, the next can spend, and the last finds spent."""
    world = opened_world()
    earned = world.envelope(2, trip(1), signers=[BANK], app="points")
    everything = Transfer(P, BEN_ACCOUNT, 54, "")
    sent = [world.envelope(number, [("transfer", everything)], signers=[ANN], app="points") for number in (3, 4)]
    back = world.envelope(5, [("transfer", replace(everything, to=ANN_ACCOUNT))], signers=[BEN], app="points")
    execution = world.run(earned, sent[0], sent[1], back)
    assert codes(execution) == [OK, OK, "insufficient_balance", OK]
    assert agrees(world)


def test_new_keys_hold_from_the_next_envelope_on() -> None:
    """L-6: inside the same block, too; the replaced key's envelope is skipped and leaves nothing."""
    world = World(applications=APPLICATIONS[1])
    fresh = sorted([key(11), key(12)], key=lambda one: one.public)
    change = SetKeys(tuple(one.public for one in fresh), 2)
    recording = [("record", RecordEvidence(None, bytes(16), Statement(1, bytes(32), 1, "", "", "", "", None)))]
    execution = world.run(
        world.envelope(1, [("set_keys", change)], signers=[ANN], app="accounts"),
        world.envelope(2, recording, signers=[ANN], app="evidence"),
        world.envelope(3, recording, signers=fresh[:1], account=ANN_ACCOUNT, app="evidence"),
        world.envelope(4, recording, signers=fresh, account=ANN_ACCOUNT, app="evidence"),
    )
    assert codes(execution) == [OK, "not_authorised", "not_authorised", OK]


def test_a_replay_gives_the_same_roots_and_the_same_state() -> None:
    """L-19, L-26."""
    world = opened_world()
    for number in range(20):
        world.run(
            world.envelope(10 + number, trip(number), signers=[BANK], app="points"),
            world.envelope(
                50 + number, [("transfer", Transfer(P, BEN_ACCOUNT, 40 + number, "x"))], signers=[ANN], app="points"
            ),
        )
    again = world.replay()
    assert read_head(again) == read_head(world.tables)
    assert again.scan(Table.STATE, b"", limit=10_000) == world.tables.scan(Table.STATE, b"", limit=10_000)
    assert agrees(world)
