"""Operations of `points` in a sentence each, for `papilio proof show` and whoever else reads to people."""

from __future__ import annotations

from protocol.apps.common import quoted, short
from protocol.apps.points.records import (
    STATUS_WORDS,
    AddMethodology,
    CloseMethodology,
    Expire,
    Expired,
    Issue,
    OpenProgramme,
    ProgrammeOpened,
    RecordActivity,
    Redeem,
    Retire,
    Retired,
    SetRoles,
    SetStatus,
    Transfer,
)


def explain_open(arguments: OpenProgramme, result: ProgrammeOpened | None) -> str:
    """A sentence."""
    terms = arguments.terms
    identifier = "" if result is None else f" with id {result.programme.hex()}"
    moves = "may be transferred" if terms.transferable else "cannot be transferred"
    expiry = "never expire" if terms.expiry is None else f"expire after {terms.expiry.lifetime_ms} ms"
    return (
        f"Opened the programme {quoted(terms.name)}{identifier}: its points ({quoted(terms.unit)}) {moves} and "
        f"{expiry}; at most {terms.claim_units_max} for one activity and {terms.supply_max} in all."
    )


def explain_roles(arguments: SetRoles, _result: None) -> str:
    """A sentence."""
    roles = arguments.roles
    return (
        f"Programme {short(arguments.programme)} has {len(roles.issuers)} issuers besides its member, "
        f"{len(roles.recorders)} recorders and {len(roles.redeemers)} redeemers."
    )


def explain_status(arguments: SetStatus, _result: None) -> str:
    """A sentence."""
    status = STATUS_WORDS[arguments.status]
    return f"Programme {short(arguments.programme)} is {status}: {quoted(arguments.reason)}."


def explain_add_methodology(arguments: AddMethodology, _result: None) -> str:
    """A sentence."""
    factors = arguments.factors
    return (
        f"Added methodology {arguments.version} to programme {short(arguments.programme)}: for each "
        f"{quoted(factors.quantity_unit)}, {factors.baseline_mg} mg of CO2 without and {factors.actual_mg} mg with the "
        f"activity; {factors.points} points for every {factors.grams} g avoided. "
        f"Its author says: {quoted(arguments.note)}."
    )


def explain_close_methodology(arguments: CloseMethodology, _result: None) -> str:
    """A sentence."""
    return f"Closed methodology {arguments.version} of programme {short(arguments.programme)} to new issues."


def explain_activity(arguments: RecordActivity, _result: None) -> str:
    """A sentence."""
    return (
        f"Recorded an activity of quantity {arguments.quantity} by account {short(arguments.account)} under claim key "
        f"{arguments.claim.hex()} in programme {short(arguments.programme)}."
    )


def explain_issue(arguments: Issue, _result: None) -> str:
    """A sentence."""
    return (
        f"Issued {arguments.units} points for {arguments.grams} g of CO2 avoided, by methodology "
        f"{arguments.methodology}, against the activity with claim key {arguments.claim.hex()} in "
        f"programme {short(arguments.programme)}."
    )


def explain_transfer(arguments: Transfer, _result: None) -> str:
    """A sentence."""
    memo = f", with the words {quoted(arguments.memo)}" if arguments.memo else ""
    where = f"programme {short(arguments.programme)}"
    return f"Transferred {arguments.units} points of {where} to account {short(arguments.to)}{memo}."


def explain_redeem(arguments: Redeem, _result: None) -> str:
    """A sentence."""
    return (
        f"Redeemed {arguments.units} points of programme {short(arguments.programme)} at account "
        f"{short(arguments.redeemer)} for its reference {quoted(arguments.reference)}."
    )


def explain_retire(arguments: Retire, result: Retired | None) -> str:
    """A sentence."""
    number = "" if result is None else f", as retirement {result.number} of the programme"
    return (
        f"Retired {arguments.units} points of programme {short(arguments.programme)} for ever in the name of "
        f"{quoted(arguments.beneficiary)}{number}: {quoted(arguments.reason)}."
    )


def explain_expire(arguments: Expire, result: Expired | None) -> str:
    """A sentence."""
    units = "the expired" if result is None else f"{result.units} expired"
    return f"Took {units} points of account {short(arguments.account)} out of programme {short(arguments.programme)}."
