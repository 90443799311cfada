"""The application `points`, put together: each operation with its rule, its refusals and its words.

Balances and supply can never disagree: every operation is a few puts computed from what was read before the first of
them, each adds to one counter what it takes from another, and `audit` recomputes the sums from the stored state.
Rules P-1 to P-4 stand in `programmes`, P-5 to P-7 in `activities`, P-8 to P-12 in `holdings`, arithmetic in `amounts`.
"""

from __future__ import annotations

from typing import Final

from protocol.apps.common import App, Explain, make_app
from protocol.apps.points import activities, holdings, programmes, words
from protocol.apps.points.records import (
    SPACES,
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
from protocol.errors import (
    ACTIVITY_NOT_OVER,
    ALREADY_CLAIMED,
    ALREADY_EXISTS,
    ALREADY_ISSUED,
    ALREADY_REDEEMED,
    AMOUNT_MISMATCH,
    BAD_ARGUMENTS,
    CLAIM_TOO_LARGE,
    CONSENT_MISSING,
    COUNTER_FULL,
    EVIDENCE_REVOKED,
    EVIDENCE_SUPERSEDED,
    FORBIDDEN,
    INSUFFICIENT_BALANCE,
    METHODOLOGY_CLOSED,
    NOT_FOUND,
    NOT_TRANSFERABLE,
    NOTHING_TO_EXPIRE,
    PROGRAMME_CLOSED,
    PROGRAMME_SUSPENDED,
    REDEEMER_UNKNOWN,
    SUPPLY_EXCEEDED,
    TRANSFER_TO_SELF,
)
from protocol.ledger.application import OperationKind

_MOVING: Final = (NOT_FOUND, PROGRAMME_SUSPENDED)
_GROWING: Final = (*_MOVING, PROGRAMME_CLOSED, FORBIDDEN)

_GOVERNING: Final[list[tuple[OperationKind, Explain]]] = [
    (
        OperationKind(
            name="open_programme",
            arguments=OpenProgramme,
            result=ProgrammeOpened,
            words="Open a programme of points; the sender is a member and becomes its issuer.",
            apply=programmes.open_programme,
            check=programmes.check_open,
            refusals=(BAD_ARGUMENTS, FORBIDDEN, ALREADY_EXISTS),
        ),
        words.explain_open,
    ),
    (
        OperationKind(
            name="set_roles",
            arguments=SetRoles,
            result=None,
            words="Say who may issue, record and redeem in the sender's programme.",
            apply=programmes.set_roles,
            check=programmes.check_set_roles,
            refusals=(BAD_ARGUMENTS, NOT_FOUND, FORBIDDEN),
        ),
        words.explain_roles,
    ),
    (
        OperationKind(
            name="set_status",
            arguments=SetStatus,
            result=None,
            words="Suspend the sender's programme, open it again, or close it for good.",
            apply=programmes.set_status,
            refusals=(BAD_ARGUMENTS, NOT_FOUND, FORBIDDEN, PROGRAMME_CLOSED),
        ),
        words.explain_status,
    ),
    (
        OperationKind(
            name="add_methodology",
            arguments=AddMethodology,
            result=None,
            words="Add the next version of the methodology, with its integer factors.",
            apply=programmes.add_methodology,
            check=programmes.check_add_methodology,
            refusals=(BAD_ARGUMENTS, NOT_FOUND, FORBIDDEN, PROGRAMME_CLOSED, ALREADY_EXISTS),
        ),
        words.explain_add_methodology,
    ),
    (
        OperationKind(
            name="close_methodology",
            arguments=CloseMethodology,
            result=None,
            words="Close a version of the methodology to new issues.",
            apply=programmes.close_methodology,
            refusals=(NOT_FOUND, FORBIDDEN, METHODOLOGY_CLOSED),
        ),
        words.explain_close_methodology,
    ),
]

_ISSUING: Final[list[tuple[OperationKind, Explain]]] = [
    (
        OperationKind(
            name="record_activity",
            arguments=RecordActivity,
            result=None,
            words="Record an activity under a claim key that is unique in the programme.",
            apply=activities.record_activity,
            check=activities.check_record_activity,
            refusals=(
                BAD_ARGUMENTS,
                *_GROWING,
                ACTIVITY_NOT_OVER,
                ALREADY_CLAIMED,
                EVIDENCE_REVOKED,
                EVIDENCE_SUPERSEDED,
                COUNTER_FULL,
            ),
        ),
        words.explain_activity,
    ),
    (
        OperationKind(
            name="issue",
            arguments=Issue,
            result=None,
            words="Issue points against a recorded activity, in the amount that the methodology gives.",
            apply=activities.issue,
            refusals=(
                *_GROWING,
                ALREADY_ISSUED,
                METHODOLOGY_CLOSED,
                CLAIM_TOO_LARGE,
                AMOUNT_MISMATCH,
                SUPPLY_EXCEEDED,
                COUNTER_FULL,
            ),
        ),
        words.explain_issue,
    ),
]

_HOLDING: Final[list[tuple[OperationKind, Explain]]] = [
    (
        OperationKind(
            name="transfer",
            arguments=Transfer,
            result=None,
            words="Pass the sender's points on to another account.",
            apply=holdings.transfer,
            refusals=(*_MOVING, NOT_TRANSFERABLE, TRANSFER_TO_SELF, INSUFFICIENT_BALANCE),
        ),
        words.explain_transfer,
    ),
    (
        OperationKind(
            name="redeem",
            arguments=Redeem,
            result=None,
            words="Give the sender's points to a redeemer for what its reference names.",
            apply=holdings.redeem,
            refusals=(*_MOVING, REDEEMER_UNKNOWN, CONSENT_MISSING, ALREADY_REDEEMED, INSUFFICIENT_BALANCE),
        ),
        words.explain_redeem,
    ),
    (
        OperationKind(
            name="retire",
            arguments=Retire,
            result=Retired,
            words="Take the sender's points out of circulation for ever, in somebody's name.",
            apply=holdings.retire,
            refusals=(*_MOVING, INSUFFICIENT_BALANCE),
        ),
        words.explain_retire,
    ),
    (
        OperationKind(
            name="expire",
            arguments=Expire,
            result=Expired,
            words="Take an account's expired points out of its balance; anyone may send this.",
            apply=holdings.expire,
            refusals=(*_MOVING, NOTHING_TO_EXPIRE),
        ),
        words.explain_expire,
    ),
]

POINTS_APP: Final[App] = make_app(
    "points",
    "Programmes of points, issued against activities by a stated methodology, held, passed on, redeemed, retired.",
    SPACES,
    [*_GOVERNING, *_ISSUING, *_HOLDING],
)
