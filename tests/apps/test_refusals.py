"""Every refusal that an operation declares, brought about: "error, and nothing changed" (L-8, L-10).

A table with one row for each (operation, code). A test holds the table against what the applications declare: a code
that is declared and not here, or here and not declared, fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from protocol import limits
from protocol.apps.accounts import SetKeys
from protocol.apps.evidence.records import (
    GrantRights,
    RecordEvidence,
    RevokeEvidence,
    Statement,
    SupersedeEvidence,
    WithdrawRights,
)
from protocol.apps.points.records import (
    CLOSED,
    OPEN,
    SUPPLIES,
    SUSPENDED,
    TALLIES,
    AddMethodology,
    CloseMethodology,
    EvidenceName,
    Expire,
    Expiry,
    Redeem,
    Retire,
    Roles,
    SetRoles,
    SetStatus,
)
from protocol.codec import encode
from protocol.errors import Refused
from protocol.ledger.records import Operation
from tests.apps.programme import (
    DAY_MS,
    FACTORS,
    ROLES,
    TERMS,
    P,
    Q,
    activity,
    claim,
    green_world,
    issue_for,
    opened,
    passed_on,
    rider_world,
    supply,
    tally,
)
from tests.apps.world import KINDS_OF_OPERATION, START_MS, World, account, id16

Case = Callable[[], tuple[World, str, Any]]
UNSORTED = tuple(sorted((account("a"), account("b")), reverse=True))
NOTE = "a reason"


def said(digest: int) -> Statement:
    return Statement(1, bytes([digest]) * 32, 1, "", "", "", "", None)


def evidence_world(*operations: Any) -> World:
    world = World()
    for operation in (RecordEvidence(None, id16(1), said(1)), *operations):
        world.run("ann", operation)
    return world


def superseded() -> World:
    return evidence_world(SupersedeEvidence(None, id16(2), id16(1), "", said(2)))


def revoked() -> World:
    return evidence_world(RevokeEvidence(None, id16(1), 1, ""))


def with_status(status: int, world: World | None = None) -> World:
    world = rider_world() if world is None else world
    world.run("bank", SetStatus(P, status, NOTE))
    return world


def with_second_methodology_closed() -> World:
    world = rider_world()
    world.run("bikes", activity(2))
    world.run("bank", CloseMethodology(P, 1))
    return world


def recorded(number: int = 2, quantity: int = 1000, world: World | None = None) -> World:
    world = rider_world() if world is None else world
    world.run("bikes", activity(number, quantity=quantity))
    return world


def with_counters_full() -> World:
    world = recorded()
    world.put(TALLIES, (P,), replace(tally(world), quantity=limits.U63_MAX - 999))
    world.put(SUPPLIES, (P,), replace(supply(world), grams=limits.U63_MAX - 179))
    return world


def redeeming(units: int = 4, redeemer: str = "shop", reference: str = "order 1") -> Redeem:
    return Redeem(P, account(redeemer), reference, units)


def redeemed() -> World:
    world = rider_world()
    world.run("ann", redeeming(), also=("shop",))
    return world


def on(evidence: bytes) -> Any:
    return replace(activity(2), evidence=EvidenceName(account("ann"), evidence))


def with_programme(world: World) -> World:
    world.run("bank", opened())
    return world


RETIRE = Retire(P, 4, "City of Oslo", NOTE)
SUPERSEDE = SupersedeEvidence(None, id16(3), id16(1), "", said(3))
REVOKE = RevokeEvidence(None, id16(1), 1, "")

CASES: dict[tuple[str, str, str], Case] = {
    ("accounts", "set_keys", "bad_arguments"): lambda: (World(), "ann", SetKeys((bytes(32),), 1)),
    ("evidence", "record", "forbidden"): lambda: (World(), "ben", RecordEvidence(account("ann"), id16(1), said(1))),
    ("evidence", "record", "already_exists"): lambda: (
        evidence_world(),
        "ann",
        RecordEvidence(None, id16(1), said(2)),
    ),
    ("evidence", "record", "already_recorded"): lambda: (
        evidence_world(),
        "ann",
        RecordEvidence(None, id16(2), said(1)),
    ),
    ("evidence", "supersede", "forbidden"): lambda: (evidence_world(), "ben", replace(SUPERSEDE, owner=account("ann"))),
    ("evidence", "supersede", "already_exists"): lambda: (evidence_world(), "ann", replace(SUPERSEDE, id=id16(1))),
    ("evidence", "supersede", "already_recorded"): lambda: (
        evidence_world(RecordEvidence(None, id16(2), said(3))),
        "ann",
        SUPERSEDE,
    ),
    ("evidence", "supersede", "not_found"): lambda: (World(), "ann", SUPERSEDE),
    ("evidence", "supersede", "evidence_revoked"): lambda: (revoked(), "ann", SUPERSEDE),
    ("evidence", "supersede", "evidence_superseded"): lambda: (superseded(), "ann", SUPERSEDE),
    ("evidence", "revoke", "forbidden"): lambda: (evidence_world(), "ben", replace(REVOKE, owner=account("ann"))),
    ("evidence", "revoke", "not_found"): lambda: (World(), "ann", REVOKE),
    ("evidence", "revoke", "evidence_revoked"): lambda: (revoked(), "ann", REVOKE),
    ("evidence", "revoke", "evidence_superseded"): lambda: (superseded(), "ann", REVOKE),
    ("evidence", "grant", "bad_arguments"): lambda: (World(), "ann", GrantRights(account("ann"), 1, None)),
    ("evidence", "withdraw", "not_found"): lambda: (World(), "ann", WithdrawRights(account("ben"))),
    ("points", "open_programme", "bad_arguments"): lambda: (World(), "bank", opened(roles=Roles(UNSORTED, (), ()))),
    ("points", "open_programme", "forbidden"): lambda: (World(), "ann", opened()),
    ("points", "open_programme", "already_exists"): lambda: (green_world(), "bank", opened()),
    ("points", "set_roles", "bad_arguments"): lambda: (
        green_world(),
        "bank",
        SetRoles(P, Roles((), (), (account("a"), account("a")))),
    ),
    ("points", "set_roles", "not_found"): lambda: (World(), "bank", SetRoles(P, ROLES)),
    ("points", "set_roles", "forbidden"): lambda: (green_world(), "city", SetRoles(P, ROLES)),
    ("points", "set_status", "bad_arguments"): lambda: (green_world(), "bank", SetStatus(P, OPEN, NOTE)),
    ("points", "set_status", "not_found"): lambda: (World(), "bank", SetStatus(P, SUSPENDED, NOTE)),
    ("points", "set_status", "forbidden"): lambda: (green_world(), "platform", SetStatus(P, SUSPENDED, NOTE)),
    ("points", "set_status", "programme_closed"): lambda: (with_status(CLOSED), "bank", SetStatus(P, OPEN, NOTE)),
    ("points", "add_methodology", "bad_arguments"): lambda: (
        green_world(),
        "bank",
        AddMethodology(P, 3, FACTORS, NOTE),
    ),
    ("points", "add_methodology", "not_found"): lambda: (World(), "bank", AddMethodology(P, 1, FACTORS, NOTE)),
    ("points", "add_methodology", "forbidden"): lambda: (
        green_world(),
        "platform",
        AddMethodology(P, 2, FACTORS, NOTE),
    ),
    ("points", "add_methodology", "programme_closed"): lambda: (
        with_status(CLOSED),
        "bank",
        AddMethodology(P, 2, FACTORS, NOTE),
    ),
    ("points", "add_methodology", "already_exists"): lambda: (
        green_world(),
        "bank",
        AddMethodology(P, 1, replace(FACTORS, actual_mg=0), NOTE),
    ),
    ("points", "close_methodology", "not_found"): lambda: (green_world(), "bank", CloseMethodology(P, 2)),
    ("points", "close_methodology", "forbidden"): lambda: (green_world(), "city", CloseMethodology(P, 1)),
    ("points", "close_methodology", "methodology_closed"): lambda: (
        with_second_methodology_closed(),
        "bank",
        CloseMethodology(P, 1),
    ),
    ("points", "record_activity", "bad_arguments"): lambda: (
        green_world(),
        "bikes",
        replace(activity(2), start_ms=START_MS),
    ),
    ("points", "record_activity", "not_found"): lambda: (World(), "bikes", activity(1)),
    ("points", "record_activity", "programme_suspended"): lambda: (with_status(SUSPENDED), "bikes", activity(2)),
    ("points", "record_activity", "programme_closed"): lambda: (with_status(CLOSED), "bikes", activity(2)),
    ("points", "record_activity", "forbidden"): lambda: (green_world(), "ann", activity(2)),
    ("points", "record_activity", "activity_not_over"): lambda: (
        green_world(),
        "bikes",
        replace(activity(2), end_ms=START_MS + 1),
    ),
    ("points", "record_activity", "already_claimed"): lambda: (rider_world(), "bikes", activity(1, "ben", 7)),
    ("points", "record_activity", "evidence_revoked"): lambda: (with_programme(revoked()), "bikes", on(id16(1))),
    ("points", "record_activity", "evidence_superseded"): lambda: (with_programme(superseded()), "bikes", on(id16(1))),
    ("points", "record_activity", "counter_full"): lambda: (with_counters_full(), "bikes", activity(3)),
    ("points", "issue", "not_found"): lambda: (rider_world(), "platform", issue_for(2)),
    ("points", "issue", "programme_suspended"): lambda: (
        with_status(SUSPENDED, recorded()),
        "platform",
        issue_for(2),
    ),
    ("points", "issue", "programme_closed"): lambda: (with_status(CLOSED, recorded()), "platform", issue_for(2)),
    ("points", "issue", "forbidden"): lambda: (recorded(), "bikes", issue_for(2)),
    ("points", "issue", "already_issued"): lambda: (rider_world(), "platform", issue_for(1)),
    ("points", "issue", "methodology_closed"): lambda: (with_second_methodology_closed(), "platform", issue_for(2)),
    ("points", "issue", "claim_too_large"): lambda: (recorded(quantity=100_001), "platform", issue_for(2, 100_001)),
    ("points", "issue", "amount_mismatch"): lambda: (recorded(), "platform", replace(issue_for(2), units=55)),
    ("points", "issue", "supply_exceeded"): lambda: (
        recorded(world=green_world(replace(TERMS, supply_max=53))),
        "platform",
        issue_for(2),
    ),
    ("points", "issue", "counter_full"): lambda: (with_counters_full(), "platform", issue_for(2)),
    ("points", "transfer", "not_found"): lambda: (rider_world(), "ann", replace(passed_on("ben", 1), programme=Q)),
    ("points", "transfer", "programme_suspended"): lambda: (with_status(SUSPENDED), "ann", passed_on("ben", 1)),
    ("points", "transfer", "not_transferable"): lambda: (
        green_world(replace(TERMS, transferable=False)),
        "ann",
        passed_on("ben", 1),
    ),
    ("points", "transfer", "transfer_to_self"): lambda: (rider_world(), "ann", passed_on("ann", 1)),
    ("points", "transfer", "insufficient_balance"): lambda: (rider_world(), "ann", passed_on("ben", 55)),
    ("points", "redeem", "not_found"): lambda: (rider_world(), "ann", replace(redeeming(), programme=Q)),
    ("points", "redeem", "programme_suspended"): lambda: (with_status(SUSPENDED), "ann", redeeming()),
    ("points", "redeem", "redeemer_unknown"): lambda: (rider_world(), "ann", redeeming(redeemer="bank")),
    ("points", "redeem", "consent_missing"): lambda: (rider_world(), "ann", redeeming()),
    ("points", "redeem", "already_redeemed"): lambda: (redeemed(), "ann", redeeming()),
    ("points", "redeem", "insufficient_balance"): lambda: (rider_world(), "ann", redeeming(55)),
    ("points", "retire", "not_found"): lambda: (World(), "ann", RETIRE),
    ("points", "retire", "programme_suspended"): lambda: (with_status(SUSPENDED), "ann", RETIRE),
    ("points", "retire", "insufficient_balance"): lambda: (rider_world(), "ben", RETIRE),
    ("points", "expire", "not_found"): lambda: (World(), "ann", Expire(P, account("ann"))),
    ("points", "expire", "programme_suspended"): lambda: (with_status(SUSPENDED), "ann", Expire(P, account("ann"))),
    ("points", "expire", "nothing_to_expire"): lambda: (rider_world(expiry=True), "ann", Expire(P, account("ann"))),
}
CONSENTING = {"already_redeemed", "insufficient_balance"}
"""Cases of `redeem` that the shop has signed, so that they get as far."""


def test_every_declared_refusal_has_its_case() -> None:
    """L-10, in both directions."""
    declared = {(app, kind.name, code) for app, kind in KINDS_OF_OPERATION.values() for code in kind.refusals}
    assert declared == set(CASES)


@pytest.mark.parametrize("case", list(CASES), ids=".".join)
def test_error_and_nothing_changed(case: tuple[str, str, str]) -> None:
    """L-8: refused with its code, before anything is written."""
    world, sender, arguments = CASES[case]()
    app, name, code = case
    found_app, kind = KINDS_OF_OPERATION[type(arguments)]
    assert (found_app, kind.name) == (app, name)
    world.refuses(code, sender, arguments, also=("shop",) if name == "redeem" and code in CONSENTING else ())


@pytest.mark.parametrize(
    "expiry", [Expiry(13 * DAY_MS + 1, DAY_MS), Expiry(limits.LIFETIME_MS_MAX, 1)], ids=["a bit", "far"]
)
def test_expiry_in_too_many_steps_is_refused(expiry: Expiry) -> None:
    """A balance holds at most LOTS_MAX lots."""
    World().refuses("bad_arguments", "bank", opened(replace(TERMS, expiry=expiry)))


def test_more_illegal_paths_of_the_same_codes() -> None:
    """Second ways to the same refusals."""
    world = recorded()
    world.refuses("not_found", "platform", replace(issue_for(2), methodology=2))
    world.refuses("not_found", "platform", replace(issue_for(2), programme=Q))
    world.refuses("not_found", "bikes", replace(on(id16(9)), claim=claim(3)))
    assert "grams: 181 stated, the methodology gives 180" in world.refuses(
        "amount_mismatch", "platform", replace(issue_for(2), grams=181)
    )
    world.refuses("amount_mismatch", "platform", replace(issue_for(2), units=0))
    world.refuses("forbidden", "shop", activity(3))
    world.refuses("forbidden", "ann", issue_for(2))
    world.refuses("forbidden", "platform", SetRoles(P, ROLES))
    world.refuses("insufficient_balance", "eve", passed_on("ben", 1))
    world.refuses("bad_arguments", "bank", AddMethodology(P, 2, replace(FACTORS, actual_mg=193), NOTE))
    big = green_world(replace(TERMS, claim_units_max=53))
    big.run("bikes", activity(1))
    big.refuses("claim_too_large", "platform", issue_for(1))
    assert world.reader().get(TALLIES, (P,)) == tally(world)


def test_amounts_of_zero_are_no_arguments() -> None:
    """Transfer, redeem and retire move at least one point: the decoder says so, by the field's name."""
    world = rider_world()
    for arguments, name, at in (
        (passed_on("ben", 1), "transfer", 4),
        (redeeming(1), "redeem", 5),
        (RETIRE, "retire", 3),
    ):
        items = msgpack.unpackb(encode(arguments))
        assert items[at] == arguments.units
        items[at] = 0
        with pytest.raises(Refused) as caught:
            world.run_raw("ann", Operation("points", name, msgpack.packb(items)), also=("shop",))
        assert caught.value.code == "bad_arguments"
        assert caught.value.words.endswith("field units")


@pytest.mark.parametrize("depth", [900, 1_000, 1_018, 1_022, 1_030])
def test_arguments_nested_deeply_are_refused_in_the_same_words(depth: int) -> None:
    """L-19: what is executed never depends on how deep the interpreter's stack is, on any node."""
    world = World()
    said = []
    for head in (b"\x92\x6e", b"\x92"):
        data = head + b"\x91" * depth + b"\x90"
        with pytest.raises(Refused) as refused:
            world.run_raw("ann", Operation("points", "transfer", data))
        said.append((refused.value.code, refused.value.words))
    assert said == 2 * [("bad_arguments", "points.transfer: the arguments are not a canonical Transfer")]
