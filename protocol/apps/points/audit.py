"""The audit: every sum of every programme, recomputed from the stored state alone.

Execution keeps counters; this does not believe them. It walks what is stored, adds up balances, activities and
redemptions, computes each issue again from its methodology's factors, and says in words whatever does not agree. Tools
and tests run it at any height; execution never does. Memory is bounded by the number of programmes and methodologies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, TypeVar

from protocol.apps.points.amounts import grams_avoided, units_for, units_of
from protocol.apps.points.records import (
    ACTIVITIES,
    BALANCES,
    METHODOLOGIES,
    PROGRAMMES,
    REDEMPTIONS,
    SETTLEMENTS,
    SUPPLIES,
    TALLIES,
    Activity,
    Balance,
    Methodology,
    Programme,
    Settlement,
    Supply,
    Tally,
    outstanding_units,
)
from protocol.codec import decode
from protocol.ledger.added import PAGES
from protocol.ledger.spaces import KeyPart, KeyParts, Space, parse_state_key, state_key
from protocol.ledger.state import StateReader
from protocol.ledger.tables import Reader, Table

R = TypeVar("R")
_PAGE: Final = 1000


@dataclass(slots=True)
class ProgrammeAudit:
    """What was found of one programme. `wrong` is empty if everything agrees."""

    programme: bytes
    terms: Programme | None = None
    supply: Supply | None = None
    tally: Tally | None = None
    methodologies: dict[int, Methodology] = field(default_factory=dict)
    holders: int = 0
    held: int = 0
    activities: int = 0
    zero: int = 0
    quantity: int = 0
    issues: int = 0
    issued: int = 0
    grams: int = 0
    redeemed: int = 0
    wrong: list[str] = field(default_factory=list)


def audit(reader: Reader) -> tuple[ProgrammeAudit, ...]:
    """All programmes, ascending by id, with what does not agree in each."""
    found: dict[bytes, ProgrammeAudit] = {}

    def of(parts: KeyParts) -> ProgrammeAudit:
        identifier = parts[0]
        assert isinstance(identifier, bytes), "every key of points begins with a programme"
        return found.setdefault(identifier, ProgrammeAudit(identifier))

    for parts, programme in stored_pairs(reader, PROGRAMMES):
        of(parts).terms = programme
    for parts, supply in stored_pairs(reader, SUPPLIES):
        of(parts).supply = supply
    for parts, tally in stored_pairs(reader, TALLIES):
        of(parts).tally = tally
    for parts, methodology in stored_pairs(reader, METHODOLOGIES):
        of(parts).methodologies[_version(parts[1])] = methodology
    for parts, balance in stored_pairs(reader, BALANCES):
        _add_balance(of(parts), parts[1], balance)
    state = StateReader(reader)
    for space, parts, value in added_records(reader, (ACTIVITIES, SETTLEMENTS, REDEMPTIONS)):
        one = of(parts)
        if space is ACTIVITIES:
            _add_activity(one, value)
        elif space is SETTLEMENTS:
            _add_settlement(one, parts[1], value, state.get(ACTIVITIES, parts))
        else:
            one.redeemed += value.units
    for one in found.values():
        _compare(one)
    return tuple(found[identifier] for identifier in sorted(found))


def stored_pairs(reader: Reader, space: Space[R]) -> Iterator[tuple[KeyParts, R]]:
    """All pairs of a space, ascending by encoded key."""
    named = state_key(space.name)
    prefix = bytes([named[0] + len(space.parts)]) + named[1:]  # an array of the name and the parts, cut after the name
    start = prefix
    while True:
        page = list(reader.scan(Table.STATE, prefix, start, _PAGE))
        for key, value in page:
            yield parse_state_key(key)[1], decode(space.record, value)
        if len(page) < _PAGE:
            return
        start = page[-1][0] + b"\x00"


def added_records(reader: Reader, spaces: Sequence[Space[Any]]) -> Iterator[tuple[Space[Any], KeyParts, Any]]:
    """All records of these spaces of added ones, in the order in which they were added: space, key, value."""
    by_name = {space.name: space for space in spaces}
    for _, page in stored_pairs(reader, PAGES):
        for one in page.records:
            name, parts = parse_state_key(one.key)
            space = by_name.get(name)
            if space is not None:
                yield space, parts, decode(space.record, one.value)


def _version(part: KeyPart) -> int:
    assert isinstance(part, int), "a version is a number"
    return part


def _hex(part: KeyPart) -> str:
    return part.hex() if isinstance(part, bytes) else str(part)


def _add_balance(one: ProgrammeAudit, account: KeyPart, balance: Balance) -> None:
    one.holders += 1
    one.held += units_of(balance)
    if not units_of(balance):
        one.wrong.append(f"the balance of {_hex(account)} is empty and stands in the state")
    if any(low.expires_ms >= high.expires_ms for low, high in pairwise(balance.lots)):
        one.wrong.append(f"the lots of {_hex(account)} do not ascend")
    expiring = one.terms is not None and one.terms.terms.expiry is not None
    if balance.lasting if expiring else balance.lots:
        one.wrong.append(f"the balance of {_hex(account)} does not expire as the programme's terms say")


def _add_activity(one: ProgrammeAudit, activity: Activity) -> None:
    one.activities += 1
    one.zero += activity.quantity == 0
    one.quantity += activity.quantity


def _add_settlement(one: ProgrammeAudit, claim: KeyPart, settled: Settlement, activity: Activity | None) -> None:
    one.issues += 1
    one.issued += settled.units
    one.grams += settled.grams
    if activity is None:
        one.wrong.append(f"points were issued for activity {_hex(claim)}, which is not there")
        return
    methodology = one.methodologies.get(settled.methodology)
    if methodology is None:
        one.wrong.append(f"activity {_hex(claim)} names methodology {settled.methodology}, which is not there")
        return
    grams = grams_avoided(methodology.factors, activity.quantity)
    if (grams, units_for(methodology.factors, grams)) != (settled.grams, settled.units):
        one.wrong.append(f"activity {_hex(claim)} brought other amounts than its methodology gives")


def _compare(one: ProgrammeAudit) -> None:
    programme, supply, tally = one.terms, one.supply, one.tally
    if programme is None or supply is None or tally is None:
        one.wrong.append("programme, supply or tally is missing")
        return
    if sorted(one.methodologies) != list(range(1, programme.methodologies + 1)):
        one.wrong.append("the methodologies do not count from 1 to the latest")
    agreements: list[tuple[str, Any, Any]] = [
        ("outstanding points and the sum of balances", outstanding_units(supply), one.held),
        ("points issued and the sum of settlements", supply.issued, one.issued),
        ("points redeemed and the sum of redemptions", supply.redeemed, one.redeemed),
        ("grams and the sum of settlements", supply.grams, one.grams),
        ("issues and settlements", supply.issues, one.issues),
        ("activities counted and stored", tally.activities, one.activities),
        ("activities of quantity zero counted and stored", tally.zero, one.zero),
        ("quantity counted and stored", tally.quantity, one.quantity),
    ]
    one.wrong += [f"{what} differ: {counted}, {summed}" for what, counted, summed in agreements if counted != summed]
    if supply.issued > programme.terms.supply_max:
        one.wrong.append(f"{supply.issued} points issued, the terms allow {programme.terms.supply_max}")
