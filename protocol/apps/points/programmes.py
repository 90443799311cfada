"""Programmes and methodologies: opened by a member, governed by its issuer (P-1 to P-4).

* P-1 Only a member's account opens a programme; it is the issuer from then on. The id is made of the issuer and its
  label, so nobody can take it first. The terms never change: what holders were promised stays.
* P-2 The issuer, and nobody else, sets roles and status, adds and closes methodologies. Where two people have to agree,
  its account needs two keys.
* P-3 Status. *open*: everything. *suspended*: no activity is recorded and no balance changes, whoever asks; the time of
  expiry goes on. *closed*, for good: nothing is recorded or issued any more; holders go on to transfer, redeem, retire.

      open ◄──► suspended ──► closed
        └───────────────────────►┘

* P-4 Versions of the methodology count from 1 without gap. A version's factors never change; a new one is added, and
  an old one is closed to new issues, for good. Points per gram belong to the version too, so that a rate never
  changes under an activity that is already counted.
"""

from __future__ import annotations

from dataclasses import replace

from protocol.apps.common import ascending, origin_of
from protocol.apps.points.amounts import check_expiry, check_factors
from protocol.apps.points.records import (
    CLOSED,
    METHODOLOGIES,
    NO_SUPPLY,
    NO_TALLY,
    OPEN,
    PROGRAMMES,
    STATUS_WORDS,
    SUPPLIES,
    SUSPENDED,
    TALLIES,
    AddMethodology,
    CloseMethodology,
    Methodology,
    OpenProgramme,
    Programme,
    ProgrammeOpened,
    Roles,
    SetRoles,
    SetStatus,
    programme_id,
)
from protocol.errors import (
    ALREADY_EXISTS,
    BAD_ARGUMENTS,
    FORBIDDEN,
    METHODOLOGY_CLOSED,
    NOT_FOUND,
    PROGRAMME_CLOSED,
    PROGRAMME_SUSPENDED,
    Refused,
)
from protocol.ledger.application import Context
from protocol.ledger.state import State, StateView


def programme_by_id(programme: bytes, state: StateView) -> Programme:
    """The programme. Raises Refused(not_found)."""
    found = state.get(PROGRAMMES, (programme,))
    if found is None:
        raise Refused(NOT_FOUND, f"no programme {programme.hex()}")
    return found


def moving_programme(programme: bytes, state: StateView) -> Programme:
    """The programme, if its points may move. Raises Refused: not_found, programme_suspended (P-3)."""
    found = programme_by_id(programme, state)
    if found.status == SUSPENDED:
        raise Refused(PROGRAMME_SUSPENDED, f"programme {programme.hex()} is suspended")
    return found


def growing_programme(programme: bytes, state: StateView) -> Programme:
    """The programme, if it takes activities and issues points.

    Raises Refused: not_found, programme_suspended, programme_closed (P-3).
    """
    found = moving_programme(programme, state)
    _require_not_closed(programme, found)
    return found


def methodology_by_version(programme: bytes, version: int, state: StateView) -> Methodology:
    """The version. Raises Refused(not_found)."""
    found = state.get(METHODOLOGIES, (programme, version))
    if found is None:
        raise Refused(NOT_FOUND, f"programme {programme.hex()} has no methodology {version}")
    return found


def check_roles(roles: Roles) -> None:
    """Raises Refused(bad_arguments) unless each list is distinct and ascending."""
    named = (("issuers", roles.issuers), ("recorders", roles.recorders), ("redeemers", roles.redeemers))
    for name, accounts in named:
        if not ascending(accounts):
            raise Refused(BAD_ARGUMENTS, f"roles.{name}: must be distinct and ascending")


def check_open(arguments: OpenProgramme) -> None:
    """Judges roles and expiry."""
    check_roles(arguments.roles)
    if arguments.terms.expiry is not None:
        check_expiry(arguments.terms.expiry)


def open_programme(context: Context, state: State, arguments: OpenProgramme) -> ProgrammeOpened:
    """P-1."""
    if context.member(state) is None:
        raise Refused(FORBIDDEN, "only a member of the network opens a programme")
    programme = programme_id(context.account, arguments.label)
    if state.get(PROGRAMMES, (programme,)) is not None:
        raise Refused(ALREADY_EXISTS, f"the sender has a programme {programme.hex()} of this label already")
    made = Programme(context.account, arguments.label, arguments.terms, arguments.roles, OPEN, 0)
    state.put(PROGRAMMES, (programme,), made)
    state.put(SUPPLIES, (programme,), NO_SUPPLY)
    state.put(TALLIES, (programme,), NO_TALLY)
    return ProgrammeOpened(programme)


def check_set_roles(arguments: SetRoles) -> None:
    """Judges the lists."""
    check_roles(arguments.roles)


def set_roles(context: Context, state: State, arguments: SetRoles) -> None:
    """P-2; in any status: redeemers change after a programme has closed, too."""
    found = _issued_by_sender(context, arguments.programme, state)
    state.put(PROGRAMMES, (arguments.programme,), replace(found, roles=arguments.roles))


def set_status(context: Context, state: State, arguments: SetStatus) -> None:
    """P-3."""
    found = _issued_by_sender(context, arguments.programme, state)
    _require_not_closed(arguments.programme, found)
    if arguments.status == found.status:
        raise Refused(BAD_ARGUMENTS, f"status: the programme is {STATUS_WORDS[found.status]} already")
    state.put(PROGRAMMES, (arguments.programme,), replace(found, status=arguments.status))


def check_add_methodology(arguments: AddMethodology) -> None:
    """Judges the factors."""
    check_factors(arguments.factors)


def add_methodology(context: Context, state: State, arguments: AddMethodology) -> None:
    """P-4."""
    found = _issued_by_sender(context, arguments.programme, state)
    _require_not_closed(arguments.programme, found)
    following = found.methodologies + 1
    if arguments.version < following:
        raise Refused(ALREADY_EXISTS, f"methodology {arguments.version} is there already; the next is {following}")
    if arguments.version > following:
        raise Refused(BAD_ARGUMENTS, f"version: the next methodology is {following}, not {arguments.version}")
    made = Methodology(arguments.factors, arguments.note, closed=False, added=origin_of(context))
    state.put(PROGRAMMES, (arguments.programme,), replace(found, methodologies=following))
    state.put(METHODOLOGIES, (arguments.programme, following), made)


def close_methodology(context: Context, state: State, arguments: CloseMethodology) -> None:
    """P-4; in any status."""
    _issued_by_sender(context, arguments.programme, state)
    methodology = methodology_by_version(arguments.programme, arguments.version, state)
    if methodology.closed:
        raise Refused(METHODOLOGY_CLOSED, f"methodology {arguments.version} is closed already")
    state.put(METHODOLOGIES, (arguments.programme, arguments.version), replace(methodology, closed=True))


def _issued_by_sender(context: Context, programme: bytes, state: State) -> Programme:
    found = programme_by_id(programme, state)
    if found.issuer != context.account:
        raise Refused(FORBIDDEN, f"only the issuer {found.issuer.hex()} may do this")
    return found


def _require_not_closed(programme: bytes, found: Programme) -> None:
    if found.status == CLOSED:
        raise Refused(PROGRAMME_CLOSED, f"programme {programme.hex()} is closed")
