"""The application `points`: rules P-1 to P-12, the legal paths, with the sums audited after each scenario."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from protocol.apps.common import Origin
from protocol.apps.evidence.records import RecordEvidence, Statement
from protocol.apps.points.audit import audit
from protocol.apps.points.programmes import programme_by_id
from protocol.apps.points.records import (
    ACTIVITIES,
    BALANCES,
    CLOSED,
    METHODOLOGIES,
    OPEN,
    REDEMPTIONS,
    SETTLEMENTS,
    SUPPLIES,
    SUSPENDED,
    Activity,
    AddMethodology,
    Balance,
    CloseMethodology,
    EvidenceName,
    Expire,
    Expired,
    Lot,
    OpenProgramme,
    Programme,
    ProgrammeOpened,
    Redeem,
    Redemption,
    Retire,
    Retired,
    Roles,
    SetRoles,
    SetStatus,
    Settlement,
    Supply,
    Tally,
    claim_key,
    programme_id,
)
from tests.apps.programme import (
    DAY_MS,
    EXPIRY,
    FACTORS,
    ROLES,
    TERMS,
    P,
    activity,
    claim,
    earn,
    green_world,
    issue_for,
    opened,
    passed_on,
    points,
    rider_world,
    supply,
    tally,
)
from tests.apps.world import World, account, id16

NOTE = "a reason"


def balance(world: World, rider: str) -> Balance | None:
    return world.reader().get(BALANCES, (P, account(rider)))


def test_a_member_opens_a_programme_under_an_id_of_its_own() -> None:
    """P-1: the id is known before, and another member's programme of that label is another."""
    world = World()
    assert world.run("bank", opened()) == ProgrammeOpened(P)
    assert programme_by_id(P, world.reader()) == Programme(account("bank"), "green", TERMS, ROLES, OPEN, 0)
    assert world.run("city", opened()) == ProgrammeOpened(programme_id(account("city"), "green"))
    world.run("bank", OpenProgramme("red", TERMS, ROLES))
    assert len(audit(world.tables)) == 3
    world.audited()


def test_roles_are_replaced_by_the_issuer() -> None:
    """P-2: who is no issuer any more issues no more."""
    world = rider_world()
    world.run("bikes", activity(2))
    world.run("bank", SetRoles(P, Roles((account("city"),), (), ())))
    world.refuses("forbidden", "platform", issue_for(2))
    world.refuses("forbidden", "bikes", activity(3))
    world.run("city", issue_for(2))
    world.run("city", activity(3))
    world.run("bank", issue_for(3))
    world.audited()


def test_a_suspended_programme_stands_still_and_goes_on() -> None:
    """P-3."""
    world = rider_world()
    world.run("bank", SetStatus(P, SUSPENDED, NOTE))
    world.refuses("programme_suspended", "ann", passed_on("ben", 1))
    world.run("bank", AddMethodology(P, 2, FACTORS, NOTE))
    world.run("bank", SetStatus(P, OPEN, NOTE))
    world.run("ann", passed_on("ben", 1))
    world.run("bank", SetStatus(P, SUSPENDED, NOTE))
    world.run("bank", SetStatus(P, CLOSED, NOTE))
    world.refuses("programme_closed", "bank", SetStatus(P, OPEN, NOTE))


def test_holders_of_a_closed_programme_keep_what_they_have() -> None:
    """P-3."""
    world = rider_world()
    world.run("bank", SetStatus(P, CLOSED, NOTE))
    world.run("ann", passed_on("ben", 20))
    world.run("bank", SetRoles(P, replace(ROLES, redeemers=(account("city"),))))
    world.run("ben", Redeem(P, account("city"), "order 1", 5), also=("city",))
    world.run("ben", Retire(P, 5, "Oslo", NOTE))
    world.run("bank", CloseMethodology(P, 1))
    assert (points(world, "ann"), points(world, "ben")) == (34, 10)
    world.audited()


def test_versions_of_the_methodology() -> None:
    """P-4: a version in use never changes; old activities may be settled by the new one while it is open."""
    world = rider_world()
    world.run("bikes", activity(2))
    better = replace(FACTORS, baseline_mg=200)
    world.run("bank", AddMethodology(P, 2, better, NOTE))
    world.run("bank", CloseMethodology(P, 1))
    first = world.reader().get(METHODOLOGIES, (P, 1))
    assert first is not None
    assert (first.factors, first.closed) == (FACTORS, True)
    world.refuses("methodology_closed", "platform", issue_for(2))
    world.refuses("amount_mismatch", "platform", replace(issue_for(2), methodology=2))
    world.run("platform", issue_for(2, factors=better, version=2))
    assert world.reader().get(METHODOLOGIES, (P, 1)) == first
    assert points(world, "ann") == 54 + 56  # 188 g, of which 3 for every 10 are 56.4
    world.audited()


def test_issue_against_an_activity() -> None:
    """P-5, P-6."""
    world = rider_world()
    recorded = Activity(account("ann"), 1000, Origin((3).to_bytes(32, "big"), 0))
    assert world.reader().get(ACTIVITIES, (P, claim(1))) == recorded
    assert world.reader().get(SETTLEMENTS, (P, claim(1))) == Settlement(1, 180, 54)
    assert balance(world, "ann") == Balance(54, ())
    assert supply(world) == Supply(54, 0, 0, 0, 180, 1, 0)
    assert tally(world) == Tally(1, 0, 1000)
    world.audited()


@pytest.mark.parametrize(
    "quantity, grams, units",
    [(0, 0, 0), (5, 0, 0), (6, 1, 0), (22, 3, 0), (23, 4, 1), (55, 9, 2), (56, 10, 3), (2162, 389, 116)],
)
def test_rounding_is_down_at_each_step(quantity: int, grams: int, units: int) -> None:
    """180 mg a metre, then 3 points for 10 g."""
    world = green_world()
    world.run("bikes", activity(1, quantity=quantity))
    world.run("platform", replace(issue_for(1), grams=grams, units=units))
    assert (supply(world).issued, supply(world).grams) == (units, grams)
    assert (balance(world, "ann") is None) == (units == 0), "P-7: no balance for nothing"
    world.audited()


def test_an_activity_of_zero_is_recorded_counted_and_earns_nothing() -> None:
    """P-7."""
    world = green_world()
    world.run("bikes", activity(1, quantity=0))
    world.run("bikes", activity(2, quantity=7))
    world.refuses("amount_mismatch", "platform", replace(issue_for(1), grams=1, units=1))
    world.run("platform", issue_for(1, 0))
    world.refuses("already_issued", "platform", issue_for(1, 0))
    world.refuses("already_claimed", "bikes", activity(1))
    assert tally(world) == Tally(2, 1, 7)
    assert supply(world) == Supply(0, 0, 0, 0, 0, 1, 0)
    world.audited()


def test_an_activity_may_refer_to_current_evidence() -> None:
    """P-5."""
    world = green_world()
    world.run("ann", RecordEvidence(None, id16(1), Statement(1, bytes(32), 1, "", "", "", "", None)))
    world.run("bikes", replace(activity(1), evidence=EvidenceName(account("ann"), id16(1))))


def test_claim_keys_cannot_be_confused() -> None:
    """A claim key has no salt, and no two lists of parts give the same bytes."""
    assert claim_key(b"oslo", b"1") == claim_key(b"oslo", b"1")
    assert len({claim_key(b"ab", b"c"), claim_key(b"a", b"bc"), claim_key(b"abc"), claim_key(b"abc", b"")}) == 4


def test_a_transfer_touches_two_balances_and_nothing_else() -> None:
    """P-9."""
    world = rider_world()
    before = world.state()
    world.run("ann", passed_on("ben", 10))
    changed = {key for key, value in world.state().items() if before.get(key) != value}
    assert changed == {BALANCES.key((P, account(name))) for name in ("ann", "ben")}
    assert (points(world, "ann"), points(world, "ben")) == (44, 10)
    world.audited()


def test_a_balance_without_points_is_not_in_the_state() -> None:
    """P-8."""
    world = rider_world()
    world.run("ann", passed_on("ben", 54))
    assert balance(world, "ann") is None
    world.run("ben", passed_on("ann", 54))
    assert (points(world, "ann"), points(world, "ben")) == (54, 0)
    world.audited()


def test_redeeming_needs_a_fresh_reference_and_the_redeemers_signature() -> None:
    """P-10."""
    world = rider_world()
    world.refuses("consent_missing", "ann", Redeem(P, account("shop"), "order 1", 4))
    world.refuses("consent_missing", "ann", Redeem(P, account("shop"), "order 1", 4), also=("platform",))
    world.run("ann", Redeem(P, account("shop"), "order 1", 4), also=("shop",))
    world.run("ann", Redeem(P, account("shop"), "order 2", 50), also=("shop",))
    world.refuses("already_redeemed", "ben", Redeem(P, account("shop"), "order 2", 1), also=("shop",))
    assert supply(world) == Supply(54, 54, 0, 0, 180, 1, 0)
    redemption = world.reader().get(REDEMPTIONS, (P, account("shop"), "order 2"))
    assert redemption == Redemption(account("ann"), 50, Origin((8).to_bytes(32, "big"), 0))
    world.audited()


def test_redeeming_without_the_redeemers_signature_where_the_terms_do_not_ask_for_it() -> None:
    """P-10."""
    world = green_world(replace(TERMS, redeemer_consents=False))
    earn(world, 1)
    world.run("ann", Redeem(P, account("shop"), "order 1", 4))
    assert points(world, "ann") == 50


def test_retiring_is_counted_apart_and_numbered() -> None:
    """P-11."""
    world = rider_world()
    assert world.run("ann", Retire(P, 4, "Oslo", NOTE)) == Retired(1)
    assert world.run("ann", Retire(P, 6, "Bergen", NOTE)) == Retired(2)
    assert supply(world) == Supply(54, 0, 10, 0, 180, 1, 2)
    world.audited()


def test_points_that_cannot_be_transferred_can_be_redeemed_and_retired() -> None:
    world = green_world(replace(TERMS, transferable=False))
    earn(world, 1)
    world.run("ann", Redeem(P, account("shop"), "order 1", 4), also=("shop",))
    world.run("ann", Retire(P, 50, "Oslo", NOTE))
    assert balance(world, "ann") is None
    world.audited()


def test_points_expire_at_the_step_after_their_lifetime() -> None:
    """P-12: spendable until block time reaches it, outstanding until somebody takes them out."""
    world = rider_world(expiry=True)
    ends = -(-(world.time_ms + EXPIRY.lifetime_ms) // DAY_MS) * DAY_MS
    assert balance(world, "ann") == Balance(0, (Lot(ends, 54),))
    world.time_ms = ends - 1
    world.run("ann", passed_on("ben", 4))
    world.refuses("nothing_to_expire", "eve", Expire(P, account("ann")))
    world.time_ms = ends
    assert points(world, "ben") == 0
    world.refuses("insufficient_balance", "ben", passed_on("ann", 1))
    world.refuses("insufficient_balance", "ann", Retire(P, 1, "Oslo", NOTE))
    assert supply(world) == Supply(54, 0, 0, 0, 180, 1, 0)
    world.audited()
    assert world.run("eve", Expire(P, account("ann"))) == Expired(50)
    assert world.run("eve", Expire(P, account("ben"))) == Expired(4)
    assert supply(world) == Supply(54, 0, 0, 54, 180, 1, 0)
    assert balance(world, "ann") is None
    world.audited()


def test_the_oldest_points_go_first_and_keep_their_expiry() -> None:
    """P-8."""
    world = rider_world(expiry=True)
    world.time_ms += 2 * DAY_MS
    earn(world, 2, "ann", 500)
    assert balance(world, "ann") is not None
    first, second = (lot.expires_ms for lot in (balance(world, "ann") or Balance(0, ())).lots)
    assert second == first + 2 * DAY_MS
    world.run("ann", passed_on("ben", 60))
    assert balance(world, "ann") == Balance(0, (Lot(second, 21),))
    assert balance(world, "ben") == Balance(0, (Lot(first, 54), Lot(second, 6)))
    world.audited()


def test_lots_stay_few_however_long_nobody_takes_out_what_expired() -> None:
    """Expired lots are put together; a hundred days of issues need no more than the lots of the lifetime."""
    world = green_world(replace(TERMS, expiry=EXPIRY))
    most = 0
    for day in range(40):
        earn(world, day, "ann", 1000)
        held = balance(world, "ann")
        assert held is not None
        most = max(most, len(held.lots))
        world.time_ms += DAY_MS
    assert 11 <= most <= 13
    assert points(world, "ann") < 40 * 54
    assert isinstance(world.run("eve", Expire(P, account("ann"))), Expired)
    world.audited()


def test_the_keys_touched_do_not_grow_with_the_programme() -> None:
    """Every operation touches a bounded number of keys, whatever the programme holds."""
    world = green_world()
    for number in range(200):
        earn(world, number, f"rider {number % 7}", 1000 + number)
    before = world.state()
    world.run("bikes", activity(1000))
    world.run("platform", issue_for(1000))
    after = world.state()
    assert (
        sum(before.get(key) != value for key, value in after.items()) == 5
    )  # activity, settlement, tally, supply, balance
    world.audited()


def test_the_audit_sees_what_does_not_agree() -> None:
    """A check that never fires is not trusted: each planted damage is found."""
    planted: list[Callable[[World], None]] = [
        lambda world: world.put(BALANCES, (P, account("ann")), Balance(55, ())),
        lambda world: world.put(BALANCES, (P, account("ann")), Balance(0, ())),
        lambda world: world.put(BALANCES, (P, account("ann")), Balance(0, (Lot(5, 54),))),
        lambda world: world.put(BALANCES, (P, account("eve")), Balance(1, ())),
        lambda world: world.put(BALANCES, (bytes(16), account("ann")), Balance(1, ())),
        lambda world: world.put(SUPPLIES, (P,), replace(supply(world), issued=55)),
        lambda world: world.put(SUPPLIES, (P,), replace(supply(world), retired=1)),
        lambda world: world.put(SUPPLIES, (P,), replace(supply(world), redeemed=1)),
        lambda world: world.put(SUPPLIES, (P,), replace(supply(world), grams=179)),
        lambda world: world.put(SUPPLIES, (P,), replace(supply(world), issues=2)),
        lambda world: world.alter(ACTIVITIES, (P, claim(1)), Activity(account("ann"), 1001, Origin(bytes(32), 0))),
        lambda world: world.alter(SETTLEMENTS, (P, claim(1)), Settlement(1, 181, 54)),
        lambda world: world.alter(SETTLEMENTS, (P, claim(1)), Settlement(2, 180, 54)),
        lambda world: world.put(SETTLEMENTS, (P, claim(2)), Settlement(1, 0, 0)),
        lambda world: world.put(ACTIVITIES, (P, claim(2)), Activity(account("ann"), 0, Origin(bytes(32), 0))),
    ]
    for plant in planted:
        world = rider_world()
        world.audited()
        plant(world)
        with pytest.raises(AssertionError):
            world.audited()
