"""Points under any sequence of operations, beside a naive model of them; audited after each.

The model keeps every single point issued as a pair (time of expiry, amount) in plain lists, never merges anything, and
says for each operation which code it expects. The two share no code but the records.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol.apps.points.audit import audit
from protocol.apps.points.records import (
    BALANCES,
    CLOSED,
    OPEN,
    SUSPENDED,
    Expire,
    Expired,
    Expiry,
    Issue,
    Redeem,
    Retire,
    Retired,
    SetStatus,
    Supply,
    Tally,
)
from protocol.errors import Refused
from tests.apps.programme import TERMS, P, activity, claim, green_world, passed_on, points, supply, tally
from tests.apps.world import World, account

RIDERS = ("ann", "ben", "eve")
RIDER = st.sampled_from(RIDERS)
UNITS = st.one_of(st.integers(1, 60), st.just(10**6))
NUMBER = st.integers(0, 12)
STEP_MS = 1_000
NEVER = 10**30


@dataclass
class Model:
    """What should be."""

    lifetime_ms: int | None
    supply_max: int
    status: int = OPEN
    activities: dict[int, tuple[str, int]] = field(default_factory=dict)
    settled: dict[int, int] = field(default_factory=dict)
    held: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: {rider: [] for rider in RIDERS})
    references: set[str] = field(default_factory=set)
    grams: int = 0
    issued: int = 0
    redeemed: int = 0
    retired: int = 0
    retirements: int = 0
    expired: int = 0

    def spendable(self, rider: str, now: int) -> int:
        return sum(units for ends, units in self.held[rider] if ends > now)

    def take(self, rider: str, units: int, now: int) -> list[tuple[int, int]]:
        """Single points, oldest first."""
        singles = sorted((ends, units) for ends, units in self.held[rider])
        taken: list[tuple[int, int]] = []
        left: list[tuple[int, int]] = []
        for ends, amount in singles:
            part = min(amount, units) if ends > now else 0
            units -= part
            if part:
                taken.append((ends, part))
            if amount > part:
                left.append((ends, amount - part))
        self.held[rider] = left
        return taken


class PointsMachine(RuleBasedStateMachine):
    """Operations, legal and not, in any order, while block time goes on."""

    world: World
    model: Model

    @initialize(lifetime=st.sampled_from([None, 1, 3_500, 13_000]), supply_max=st.sampled_from([10**9, 300]))
    def open(self, lifetime: int | None, supply_max: int) -> None:
        expiry = None if lifetime is None else Expiry(lifetime, STEP_MS)
        self.world = green_world(replace(TERMS, expiry=expiry, supply_max=supply_max))
        self.model = Model(lifetime, supply_max)

    def outcome(self, sender: str, arguments: object, *, also: tuple[str, ...] = ()) -> object:
        """The code of the refusal, or the result."""
        try:
            return self.world.run(sender, arguments, also=also)
        except Refused as refusal:
            return refusal.code

    def stopped(self, *, growing: bool) -> str | None:
        if self.model.status == SUSPENDED:
            return "programme_suspended"
        return "programme_closed" if growing and self.model.status == CLOSED else None

    @rule(number=NUMBER, rider=RIDER, quantity=st.sampled_from([0, 5, 100, 1000, 2162]))
    def record(self, number: int, rider: str, quantity: int) -> None:
        expected = self.stopped(growing=True) or ("already_claimed" if number in self.model.activities else None)
        assert self.outcome("bikes", activity(number, rider, quantity)) == expected
        if expected is None:
            self.model.activities[number] = (rider, quantity)

    @rule(number=NUMBER, off=st.sampled_from([0, 0, 0, 1, 100]))
    def issue(self, number: int, off: int) -> None:
        model = self.model
        rider, quantity = model.activities.get(number, ("ann", 0))
        grams = quantity * 180 // 1000
        units = grams * 3 // 10
        expected = self.stopped(growing=True)
        if expected is None and number not in model.activities:
            expected = "not_found"
        if expected is None and number in model.settled:
            expected = "already_issued"
        if expected is None and off:
            expected = "amount_mismatch"
        if expected is None and model.issued + units > model.supply_max:
            expected = "supply_exceeded"
        assert self.outcome("platform", Issue(P, claim(number), 1, grams, units + off)) == expected
        if expected is not None:
            return
        model.settled[number] = units
        model.issued += units
        model.grams += grams
        if units:
            ends = NEVER
            if model.lifetime_ms is not None:
                ends = self.world.time_ms + model.lifetime_ms
                ends += -ends % STEP_MS
            model.held[rider].append((ends, units))

    def spend(self, rider: str, units: int) -> str | None:
        enough = self.model.spendable(rider, self.world.time_ms) >= units
        return self.stopped(growing=False) or (None if enough else "insufficient_balance")

    @rule(rider=RIDER, to=RIDER, units=UNITS)
    def transfer(self, rider: str, to: str, units: int) -> None:
        expected = self.spend(rider, units)
        if rider == to and expected != "programme_suspended":
            expected = "transfer_to_self"
        assert self.outcome(rider, passed_on(to, units)) == expected
        if expected is None:
            self.model.held[to] += self.model.take(rider, units, self.world.time_ms)

    @rule(rider=RIDER, to=RIDER)
    def transfer_everything(self, rider: str, to: str) -> None:
        units = self.model.spendable(rider, self.world.time_ms)
        if units:
            self.transfer(rider, to, units)

    @rule(rider=RIDER, units=UNITS, reference=st.sampled_from(["a", "b", "c"]), signed=st.booleans())
    def redeem(self, rider: str, units: int, reference: str, signed: bool) -> None:
        expected = self.stopped(growing=False)
        if expected is None and not signed:
            expected = "consent_missing"
        if expected is None and reference in self.model.references:
            expected = "already_redeemed"
        expected = expected or self.spend(rider, units)
        operation = Redeem(P, account("shop"), reference, units)
        assert self.outcome(rider, operation, also=("shop",) if signed else ()) == expected
        if expected is None:
            self.model.take(rider, units, self.world.time_ms)
            self.model.references.add(reference)
            self.model.redeemed += units

    @rule(rider=RIDER, units=UNITS)
    def retire(self, rider: str, units: int) -> None:
        expected = self.spend(rider, units)
        got = self.outcome(rider, Retire(P, units, "Oslo", "a reason"))
        if expected is not None:
            assert got == expected
            return
        self.model.take(rider, units, self.world.time_ms)
        self.model.retired += units
        self.model.retirements += 1
        assert got == Retired(self.model.retirements)

    @rule(rider=RIDER)
    def expire(self, rider: str) -> None:
        now, held = self.world.time_ms, self.model.held[rider]
        gone = sum(units for ends, units in held if ends <= now)
        expected = self.stopped(growing=False) or (Expired(gone) if gone else "nothing_to_expire")
        assert self.outcome("eve", Expire(P, account(rider))) == expected
        if isinstance(expected, Expired):
            self.model.held[rider] = [(ends, units) for ends, units in held if ends > now]
            self.model.expired += gone

    @rule(wait_ms=st.sampled_from([1, 999, 1000, 4_000, 20_000]))
    def wait(self, wait_ms: int) -> None:
        self.world.time_ms += wait_ms

    @rule(status=st.sampled_from([OPEN, SUSPENDED]))
    def set_status(self, status: int) -> None:
        same = "bad_arguments" if status == self.model.status else None
        expected = "programme_closed" if self.model.status == CLOSED else same
        assert self.outcome("bank", SetStatus(P, status, "a reason")) == expected
        if expected is None:
            self.model.status = status

    @precondition(lambda self: len(self.model.settled) > 3)
    @rule()
    def close(self) -> None:
        self.outcome("bank", SetStatus(P, CLOSED, "a reason"))
        self.model.status = CLOSED

    @invariant()
    def everything_agrees(self) -> None:
        """Balances, supply and tally are the model's, and the audit finds nothing."""
        world, model = self.world, self.model
        assert supply(world) == Supply(
            model.issued,
            model.redeemed,
            model.retired,
            model.expired,
            model.grams,
            len(model.settled),
            model.retirements,
        )
        quantities = [quantity for _, quantity in model.activities.values()]
        assert tally(world) == Tally(len(quantities), quantities.count(0), sum(quantities))
        for rider in RIDERS:
            assert points(world, rider) == model.spendable(rider, world.time_ms)
            present = world.reader().get(BALANCES, (P, account(rider))) is not None
            assert present == bool(model.held[rider])
        (one,) = audit(world.tables)
        assert one.wrong == []
        assert one.held == sum(units for held in model.held.values() for _, units in held)
        assert one.held == model.issued - model.redeemed - model.retired - model.expired


TestPoints = PointsMachine.TestCase
TestPoints.settings = settings(stateful_step_count=50)
