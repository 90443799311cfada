"""Activities, and the points issued against them (P-5 to P-7).

* P-5 An activity is recorded once: its claim key is unique in the programme, for ever. Issuer, issuers and recorders
  may record. It has ended by block time. Evidence that it refers to exists and is current at that moment.
* P-6 Points come into being in one way: issued once against a recorded activity, by the issuer or an account among its
  issuers. The ledger computes grams from quantity and factors, points from grams and rate, and refuses other stated
  amounts: so the amounts that people signed are the amounts that are right.
* P-7 An activity of quantity zero is recorded and counted and earns nothing. So does any activity for which the
  factors give less than one point: issuing against it settles it, and no balance is made.

Recording and issuing are two operations because two institutions may do them; who does both puts both into one
envelope, where they hold together or not at all (L-8).

Deliberately absent: taking back an issue. What was issued in error is retired by whoever holds it, or redeemed at the
issuer's cost; a ledger from which an issuer can take points would need rules that this programme does not have.
"""

from __future__ import annotations

from protocol import limits
from protocol.apps.common import origin_of
from protocol.apps.evidence.application import current_evidence
from protocol.apps.points.amounts import add, grams_avoided, new_portion, units_for
from protocol.apps.points.programmes import growing_programme, methodology_by_version
from protocol.apps.points.records import (
    ACTIVITIES,
    BALANCES,
    SETTLEMENTS,
    SUPPLIES,
    TALLIES,
    Activity,
    Factors,
    Issue,
    Programme,
    RecordActivity,
    Settlement,
    Supply,
    Tally,
)
from protocol.errors import (
    ACTIVITY_NOT_OVER,
    ALREADY_CLAIMED,
    ALREADY_ISSUED,
    AMOUNT_MISMATCH,
    BAD_ARGUMENTS,
    CLAIM_TOO_LARGE,
    COUNTER_FULL,
    FORBIDDEN,
    METHODOLOGY_CLOSED,
    NOT_FOUND,
    SUPPLY_EXCEEDED,
    BrokenInvariant,
    Refused,
)
from protocol.ledger.application import Context
from protocol.ledger.state import State, StateView


def check_record_activity(arguments: RecordActivity) -> None:
    """An activity does not end before it starts."""
    if arguments.end_ms < arguments.start_ms:
        raise Refused(BAD_ARGUMENTS, "end_ms: before start_ms")


def record_activity(context: Context, state: State, arguments: RecordActivity) -> None:
    """P-5."""
    programme = growing_programme(arguments.programme, state)
    _require_role(context, programme, (programme.roles.issuers, programme.roles.recorders))
    if arguments.end_ms > context.time_ms:
        raise Refused(ACTIVITY_NOT_OVER, f"the activity ends at {arguments.end_ms} ms, block time is {context.time_ms}")
    key = (arguments.programme, arguments.claim)
    if state.get(ACTIVITIES, key) is not None:
        raise Refused(ALREADY_CLAIMED, f"an activity with claim key {arguments.claim.hex()} is recorded already")
    if arguments.evidence is not None:
        current_evidence(arguments.evidence.owner, arguments.evidence.id, state)
    tally = _counted(tally_of(arguments.programme, state), arguments.quantity)
    state.put(ACTIVITIES, key, Activity(arguments.account, arguments.quantity, origin_of(context)))
    state.put(TALLIES, (arguments.programme,), tally)


def issue(context: Context, state: State, arguments: Issue) -> None:
    """P-6, P-7."""
    programme = growing_programme(arguments.programme, state)
    _require_role(context, programme, (programme.roles.issuers,))
    key = (arguments.programme, arguments.claim)
    activity = state.get(ACTIVITIES, key)
    if activity is None:
        raise Refused(NOT_FOUND, f"no activity with claim key {arguments.claim.hex()}")
    settled = state.get(SETTLEMENTS, key)
    if settled is not None:
        raise Refused(ALREADY_ISSUED, f"{settled.units} points were issued against this activity")
    methodology = methodology_by_version(arguments.programme, arguments.methodology, state)
    if methodology.closed:
        raise Refused(METHODOLOGY_CLOSED, f"methodology {arguments.methodology} is closed")
    _check_amounts(programme, methodology.factors, activity.quantity, arguments)
    supply = _issued(programme, supply_of(arguments.programme, state), arguments)
    state.put(SETTLEMENTS, key, Settlement(arguments.methodology, arguments.grams, arguments.units))
    state.put(SUPPLIES, (arguments.programme,), supply)
    if arguments.units:
        holder = (arguments.programme, activity.account)
        portion = new_portion(programme.terms.expiry, arguments.units, context.time_ms)
        state.put(BALANCES, holder, add(state.get(BALANCES, holder), portion, context.time_ms))


def supply_of(programme: bytes, state: StateView) -> Supply:
    """The programme's supply; it has one from the moment it is opened."""
    found = state.get(SUPPLIES, (programme,))
    if found is None:
        raise BrokenInvariant(f"programme {programme.hex()} has no supply")
    return found


def tally_of(programme: bytes, state: StateView) -> Tally:
    """The programme's count of activities; it has one from the moment it is opened."""
    found = state.get(TALLIES, (programme,))
    if found is None:
        raise BrokenInvariant(f"programme {programme.hex()} has no tally")
    return found


def _require_role(context: Context, programme: Programme, lists: tuple[tuple[bytes, ...], ...]) -> None:
    sender = context.account
    if sender != programme.issuer and not any(sender in accounts for accounts in lists):
        raise Refused(FORBIDDEN, f"account {sender.hex()} has no role in this programme that allows this")


def _check_amounts(programme: Programme, factors: Factors, quantity: int, stated: Issue) -> None:
    """The amounts that the ledger computes are within the programme's bounds, and those stated."""
    if quantity > factors.quantity_max:
        raise Refused(CLAIM_TOO_LARGE, f"quantity {quantity}, the methodology allows {factors.quantity_max}")
    grams = grams_avoided(factors, quantity)
    units = units_for(factors, grams)
    if units > programme.terms.claim_units_max:
        raise Refused(CLAIM_TOO_LARGE, f"{units} points, the programme allows {programme.terms.claim_units_max}")
    if stated.grams != grams:
        raise Refused(AMOUNT_MISMATCH, f"grams: {stated.grams} stated, the methodology gives {grams}")
    if stated.units != units:
        raise Refused(AMOUNT_MISMATCH, f"units: {stated.units} stated, the methodology gives {units}")


def _issued(programme: Programme, supply: Supply, stated: Issue) -> Supply:
    issued = supply.issued + stated.units
    if issued > programme.terms.supply_max:
        left = programme.terms.supply_max - supply.issued
        raise Refused(SUPPLY_EXCEEDED, f"{stated.units} points, the programme may issue {left} more")
    grams = supply.grams + stated.grams
    if grams > limits.U63_MAX:
        raise Refused(COUNTER_FULL, "the programme's grams would pass 2^63 - 1")
    return Supply(issued, supply.redeemed, supply.retired, supply.expired, grams, supply.issues + 1, supply.retirements)


def _counted(tally: Tally, quantity: int) -> Tally:
    if tally.quantity + quantity > limits.U63_MAX:
        raise Refused(COUNTER_FULL, "the sum of the programme's quantities would pass 2^63 - 1")
    return Tally(tally.activities + 1, tally.zero + (quantity == 0), tally.quantity + quantity)
