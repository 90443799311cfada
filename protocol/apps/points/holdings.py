"""What holders do with points, and the three ways out of circulation (P-8 to P-12).

* P-8 Only its holder moves a balance, and only what has not expired. The oldest points go first; whoever receives
  points receives their time of expiry with them. A balance without points does not stand in the state.
* P-9 A transfer changes two balances and nothing else. Programmes say whether there are any.
* P-10 A redemption is made at one of the programme's redeemers, under a reference that the redeemer uses once; with
  the redeemer's consent where the terms ask for it. The points are gone.
* P-11 A retirement takes points away for ever in somebody's name; it has a number in its programme.
* P-12 Expired points count as outstanding until somebody, anyone, has them taken out. Nothing else depends on that
  moment: they cannot be spent from the block whose time reaches their expiry.

After every operation, and at every height: the sum of a programme's balances is issued - redeemed - retired - expired.
Each operation here takes from balance and adds to one of these by the same number, or moves between two balances.
"""

from __future__ import annotations

from dataclasses import replace

from protocol.apps.common import origin_of
from protocol.apps.points.activities import supply_of
from protocol.apps.points.amounts import add, spendable_units, take, units_of, without_expired
from protocol.apps.points.programmes import moving_programme
from protocol.apps.points.records import (
    BALANCES,
    REDEMPTIONS,
    SUPPLIES,
    Balance,
    Expire,
    Expired,
    Redeem,
    Redemption,
    Retire,
    Retired,
    Transfer,
)
from protocol.errors import (
    ALREADY_REDEEMED,
    NOT_TRANSFERABLE,
    NOTHING_TO_EXPIRE,
    REDEEMER_UNKNOWN,
    TRANSFER_TO_SELF,
    Refused,
)
from protocol.ledger.application import Context
from protocol.ledger.state import State, StateView


def spendable(programme: bytes, account: bytes, time_ms: int, state: StateView) -> int:
    """Points of an account that have not expired at `time_ms`."""
    return spendable_units(state.get(BALANCES, (programme, account)), time_ms)


def transfer(context: Context, state: State, arguments: Transfer) -> None:
    """P-8, P-9."""
    identifier, time_ms = arguments.programme, context.time_ms
    programme = moving_programme(identifier, state)
    if not programme.terms.transferable:
        raise Refused(NOT_TRANSFERABLE, f"points of programme {identifier.hex()} cannot be transferred")
    if arguments.to == context.account:
        raise Refused(TRANSFER_TO_SELF, "to: the sender's own account")
    sender, receiver = (identifier, context.account), (identifier, arguments.to)
    portion, left = take(state.get(BALANCES, sender), arguments.units, time_ms)
    received = add(state.get(BALANCES, receiver), portion, time_ms)
    _put_balance(sender, left, state)
    state.put(BALANCES, receiver, received)


def redeem(context: Context, state: State, arguments: Redeem) -> None:
    """P-8, P-10."""
    programme = moving_programme(arguments.programme, state)
    if arguments.redeemer not in programme.roles.redeemers:
        raise Refused(REDEEMER_UNKNOWN, f"account {arguments.redeemer.hex()} is not a redeemer of this programme")
    if programme.terms.redeemer_consents:
        context.require_consent(arguments.redeemer, state)
    key = (arguments.programme, arguments.redeemer, arguments.reference)
    if state.get(REDEMPTIONS, key) is not None:
        raise Refused(ALREADY_REDEEMED, "reference: the redeemer has used it already")
    left = _taken_by_sender(context, arguments.programme, arguments.units, state)
    supply = supply_of(arguments.programme, state)
    state.put(REDEMPTIONS, key, Redemption(context.account, arguments.units, origin_of(context)))
    _put_balance((arguments.programme, context.account), left, state)
    state.put(SUPPLIES, (arguments.programme,), replace(supply, redeemed=supply.redeemed + arguments.units))


def retire(context: Context, state: State, arguments: Retire) -> Retired:
    """P-8, P-11."""
    moving_programme(arguments.programme, state)
    left = _taken_by_sender(context, arguments.programme, arguments.units, state)
    before = supply_of(arguments.programme, state)
    supply = replace(before, retired=before.retired + arguments.units, retirements=before.retirements + 1)
    _put_balance((arguments.programme, context.account), left, state)
    state.put(SUPPLIES, (arguments.programme,), supply)
    return Retired(supply.retirements)


def expire(context: Context, state: State, arguments: Expire) -> Expired:
    """P-12."""
    moving_programme(arguments.programme, state)
    holder = (arguments.programme, arguments.account)
    units, left = without_expired(state.get(BALANCES, holder), context.time_ms)
    if not units:
        raise Refused(NOTHING_TO_EXPIRE, f"no points of account {arguments.account.hex()} have expired")
    supply = supply_of(arguments.programme, state)
    _put_balance(holder, left, state)
    state.put(SUPPLIES, (arguments.programme,), replace(supply, expired=supply.expired + units))
    return Expired(units)


def _taken_by_sender(context: Context, programme: bytes, units: int, state: State) -> Balance | None:
    """What is left of the sender's balance. Raises Refused(insufficient_balance)."""
    before = state.get(BALANCES, (programme, context.account))
    portion, left = take(before, units, context.time_ms)
    assert units_of(portion) == units and units_of(left) + units == units_of(before), "points do not vanish"  # noqa: PT018
    return left


def _put_balance(key: tuple[bytes, bytes], balance: Balance | None, state: State) -> None:
    if balance is None:
        state.delete(BALANCES, key)
    else:
        state.put(BALANCES, key, balance)
