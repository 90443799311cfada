"""What is sent: the mixes of operations, stated in words that the report repeats, and their envelopes.

Everyone who acts is made from one seed of the run, so that each generator signs for the same accounts without being
handed keys one by one; the accounts are worth nothing outside the run. Ids, digests and claims are new each time.

One in `BAD_EVERY` envelopes carries a bad signature. Nodes must refuse it, and it counts in no rate.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from daemon.client.account import Account
from daemon.client.sealing import ID_BYTES, AnyOperation
from daemon.demo.desk import Desk, with_bad_signature
from protocol.apps.evidence.records import SHA256, RecordEvidence, Statement
from protocol.apps.points.records import (
    AddMethodology,
    Factors,
    Issue,
    OpenProgramme,
    RecordActivity,
    Roles,
    Terms,
    Transfer,
    programme_id,
)

BAD_EVERY: Final = 100
"""1% of all envelopes are refused, or something is wrong."""
HOLDERS: Final = 1_000
"""Accounts with points, which also record evidence."""
PLATFORMS: Final = 8
"""Accounts that may issue: they record for their users, many operations under one signature."""
BUNDLE_OPERATIONS: Final = 100
VALIDITY_MS: Final = 3_000_000
"""Longer than any run; below what a network takes by default (an hour)."""
LABEL: Final = "bench"
METHODOLOGY: Final = 1
QUANTITY: Final = 100_000
FACTORS: Final = Factors(quantity_unit="m", quantity_max=QUANTITY, baseline_mg=150, actual_mg=10, points=10, grams=1)
GRAMS: Final = QUANTITY * (FACTORS.baseline_mg - FACTORS.actual_mg) // 1000
UNITS: Final = GRAMS * FACTORS.points // FACTORS.grams
TERMS: Final = Terms(
    name="Bench",
    unit="point",
    transferable=True,
    redeemer_consents=False,
    expiry=None,
    claim_units_max=UNITS,
    supply_max=10**15,
)


@dataclass(frozen=True, slots=True)
class Cast:
    """Who acts. programme: whose points move."""

    programme: bytes
    holders: tuple[Account, ...]
    platforms: tuple[Account, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """A mix. operations: of one envelope. bulk: envelopes of a request unless told otherwise; words: what is in it."""

    name: str
    words: str
    operations: int
    bulk: int
    envelope: Callable[[Cast, int], tuple[Account, Sequence[AnyOperation]]]


@dataclass(frozen=True, slots=True)
class Signed:
    """An envelope that waits for its time. good: whether it is to become final."""

    transaction: bytes
    data: bytes
    good: bool


def make_cast(seed: bytes, issuer: bytes) -> Cast:
    """Everyone, from the run's seed and the account of the member whose programme it is."""

    def accounts(kind: bytes, count: int) -> tuple[Account, ...]:
        return tuple(Account.from_seed(sha256(seed + kind + at.to_bytes(4, "big")).digest()) for at in range(count))

    return Cast(programme_id(issuer, LABEL), accounts(b"holder", HOLDERS), accounts(b"platform", PLATFORMS))


def opening(cast: Cast) -> list[Any]:
    """What the issuing member signs first: the programme, its methodology, and who may issue."""
    issuers = tuple(sorted(platform.name for platform in cast.platforms))
    roles = Roles(issuers=issuers, recorders=(), redeemers=())
    return [OpenProgramme(LABEL, TERMS, roles), AddMethodology(cast.programme, METHODOLOGY, FACTORS, "for measuring")]


def endowing(cast: Cast) -> list[tuple[Account, list[Any]]]:
    """Envelopes that give every holder points to pass on."""
    half = BUNDLE_OPERATIONS // 2
    chunks = [cast.holders[at : at + half] for at in range(0, len(cast.holders), half)]
    return [
        (cast.platforms[at % PLATFORMS], [one for holder in chunk for one in trip(cast, holder)])
        for at, chunk in enumerate(chunks)
    ]


def sign(desk: Desk, cast: Cast, workload: Workload, number: int) -> Signed:
    """Envelope `number` of a run; every `BAD_EVERY`th is spoiled."""
    account, operations = workload.envelope(cast, number)
    sealed = desk.sign(account, operations, validity_ms=VALIDITY_MS)
    good = (number + 1) % BAD_EVERY != 0
    return Signed(sealed.transaction, (sealed if good else with_bad_signature(sealed)).data, good)


# -- Mixes --------------------------------------------------------------------------------------------


def evidence(text: str | None = None) -> RecordEvidence:
    """What a person or machine records of a document: digest, size, type, step, and a name given elsewhere (`text`)."""
    said = Statement(
        algorithm=SHA256,
        digest=secrets.token_bytes(32),
        size=4_096,
        media_type="application/json",
        type="event",
        step="shipping",
        reference=f"urn:example:{secrets.token_hex(4)}" if text is None else text,
        event_time_ms=time.time_ns() // 1_000_000,
    )
    return RecordEvidence(None, secrets.token_bytes(ID_BYTES), said)


def trip(cast: Cast, holder: Account) -> list[Any]:
    """Record an activity and issue its points."""
    claim, now_ms = secrets.token_bytes(32), time.time_ns() // 1_000_000
    times = (now_ms - 3_600_000, now_ms - 1_800_000)
    record = RecordActivity(cast.programme, claim, holder.name, QUANTITY, *times, None)
    return [record, Issue(cast.programme, claim, METHODOLOGY, GRAMS, UNITS)]


def _transfer(cast: Cast, number: int, to: int) -> tuple[Account, list[Any]]:
    return cast.holders[number % HOLDERS], [Transfer(cast.programme, cast.holders[to % HOLDERS].name, 1, "")]


def _single(cast: Cast, number: int) -> tuple[Account, Sequence[Any]]:
    if number % 2:
        return _transfer(cast, number * 7, number * 7 + 1 + number % 13)
    return cast.holders[number * 7 % HOLDERS], [evidence()]


def _bundled(cast: Cast, number: int) -> tuple[Account, Sequence[Any]]:
    platform = cast.platforms[number % PLATFORMS]
    if number // PLATFORMS % 2:
        return platform, [evidence() for _ in range(BUNDLE_OPERATIONS)]
    first = number * BUNDLE_OPERATIONS // 2
    holders = [cast.holders[(first + at) % HOLDERS] for at in range(BUNDLE_OPERATIONS // 2)]
    return platform, [one for holder in holders for one in trip(cast, holder)]


def _hot(cast: Cast, number: int) -> tuple[Account, Sequence[Any]]:
    return _transfer(cast, 1 + number % (HOLDERS - 1), 0)


SINGLE_WORDS: Final = (
    "one operation, one signature: half evidence.record, half points.transfer among 1,000 accounts, who sign in turn"
)
WORKLOADS: Final = {
    "single": Workload("single", SINGLE_WORDS, 1, 50, _single),
    "bundled": Workload(
        "bundled",
        "100 operations under one signature, by 8 accounts: half of the envelopes 50 times points.record_activity and "
        "points.issue for 1,000 accounts, half 100 times evidence.record",
        BUNDLE_OPERATIONS,
        1,
        _bundled,
    ),
    "hot": Workload(
        "hot", "one operation, one signature: points.transfer, each to the same account, by 999 others", 1, 50, _hot
    ),
}
