"""Records of the application `points`: its operations' arguments and results, and what the state keeps.

Kinds 130 to 149 are arguments, 150 to 159 stand in the state, 165 to 169 are results. All amounts are integers:
points in whole units, quantities in the methodology's unit (metres, for a trip), CO2 in grams, factors in milligrams.
"""

from __future__ import annotations

from typing import Annotated, Final

from protocol import limits
from protocol.apps.common import Origin
from protocol.codec import U53, U63, Hash, Id16, Items, Name, Range, Text, record, structure
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.ledger.spaces import Part, Space

OPEN: Final = 1
SUSPENDED: Final = 2
CLOSED: Final = 3
STATUS_WORDS: Final = {OPEN: "open", SUSPENDED: "suspended", CLOSED: "closed"}

Units = Annotated[int, Range(1, limits.U63_MAX)]
Version = Annotated[int, Range(1, 65535)]
Status = Annotated[int, Range(OPEN, CLOSED)]
Quantity = Annotated[int, Range(0, limits.QUANTITY_MAX)]
Factor = Annotated[int, Range(0, limits.FACTOR_MAX)]
Rate = Annotated[int, Range(1, limits.FACTOR_MAX)]
Accounts = Annotated[tuple[Hash, ...], Items(0, limits.ROLE_ACCOUNTS_MAX)]
Label = Annotated[str, Text(0, limits.LABEL_BYTES_MAX)]
Note = Annotated[str, Text(1, limits.REFERENCE_BYTES_MAX)]


@structure
class Expiry:
    """Points expire `lifetime_ms` after they are issued, at the next whole multiple of `step_ms` of block time."""

    lifetime_ms: Annotated[int, Range(1, limits.LIFETIME_MS_MAX)]
    step_ms: Annotated[int, Range(1, limits.LIFETIME_MS_MAX)]


@structure
class Roles:
    """Who may do what besides the issuing member; each list distinct and ascending.

    issuers: issue points and record activities. recorders: record activities. redeemers: take points for what they
    give.
    """

    issuers: Accounts
    recorders: Accounts
    redeemers: Accounts


@structure
class Terms:
    """The rules of a programme that never change.

    name, unit: for people. transferable: whether holders may pass points on. redeemer_consents: whether the redeemer
    has to sign a redemption too. expiry: None if points do not expire. claim_units_max: most points for one activity.
    supply_max: most points ever issued.
    """

    name: Name
    unit: Annotated[str, Text(1, 32)]
    transferable: bool
    redeemer_consents: bool
    expiry: Expiry | None
    claim_units_max: Units
    supply_max: Units


@structure
class Factors:
    """The integers of a methodology, and what they are counted in.

    quantity_unit: of an activity's quantity, "m". quantity_max: most for one activity. baseline_mg, actual_mg: CO2 for
    one unit of quantity, without and with the activity. points, grams: `points` points for every `grams` grams avoided.
    """

    quantity_unit: Annotated[str, Text(1, 32)]
    quantity_max: Quantity
    baseline_mg: Factor
    actual_mg: Factor
    points: Rate
    grams: Rate


@record(kind=130)
class OpenProgramme:
    """Open a programme of the sender's, who is a member; `label` is the sender's own name for it."""

    label: Name
    terms: Terms
    roles: Roles


@record(kind=131)
class SetRoles:
    """Replace the lists of who may do what."""

    programme: Id16
    roles: Roles


@record(kind=132)
class SetStatus:
    """Suspend (2), open again (1) or close for good (3)."""

    programme: Id16
    status: Status
    reason: Note


@record(kind=133)
class AddMethodology:
    """Add the next version of the methodology; `note` says whose factors these are and where they come from."""

    programme: Id16
    version: Version
    factors: Factors
    note: Note


@record(kind=134)
class CloseMethodology:
    """Close a version to new issues, for good."""

    programme: Id16
    version: Version


@structure
class EvidenceName:
    """A record of the application `evidence`."""

    owner: Hash
    id: Id16


@record(kind=135)
class RecordActivity:
    """Record what somebody did.

    claim: 32 bytes that are unique in the programme, made from what makes the activity one and the same. account: who
    gets the points. quantity: in the methodology's unit. from start_ms to end_ms. evidence: a current record, if given.
    """

    programme: Id16
    claim: Hash
    account: Hash
    quantity: Quantity
    start_ms: U53
    end_ms: U53
    evidence: EvidenceName | None


@record(kind=136)
class Issue:
    """Issue points against a recorded activity; grams and units must be what the methodology gives."""

    programme: Id16
    claim: Hash
    methodology: Version
    grams: U63
    units: U63


@record(kind=137)
class Transfer:
    """Pass the sender's points on."""

    programme: Id16
    to: Hash
    units: Units
    memo: Label


@record(kind=138)
class Redeem:
    """Give the sender's points to a redeemer for what its `reference` names; they are gone then."""

    programme: Id16
    redeemer: Hash
    reference: Annotated[str, Text(1, limits.NAME_BYTES_MAX)]
    units: Units


@record(kind=139)
class Retire:
    """Take the sender's points out of circulation for ever, in somebody's name."""

    programme: Id16
    units: Units
    beneficiary: Annotated[str, Text(1, limits.LABEL_BYTES_MAX)]
    reason: Note


@record(kind=140)
class Expire:
    """Take an account's expired points out of the balance; anyone may ask."""

    programme: Id16
    account: Hash


@record(kind=150)
class Programme:
    """A programme. methodologies: the latest version of its methodology, 0 if there is none."""

    issuer: Hash
    label: Name
    terms: Terms
    roles: Roles
    status: Status
    methodologies: Annotated[int, Range(0, 65535)]


@record(kind=151)
class Methodology:
    """One version of a programme's methodology; only `closed` ever changes."""

    factors: Factors
    note: Note
    closed: bool
    added: Origin


@record(kind=152)
class Activity:
    """An activity as the state keeps it; times and evidence stand in the envelope at `recorded`."""

    account: Hash
    quantity: Quantity
    recorded: Origin


@record(kind=157)
class Settlement:
    """What an activity brought: by which version, grams avoided, points issued."""

    methodology: Version
    grams: U63
    units: U63


@structure
class Lot:
    """Points that expire at the same time: spendable while block time is below `expires_ms`."""

    expires_ms: U63
    units: Units


@record(kind=153)
class Balance:
    """An account's points: those that never expire, and lots, ascending by time. There is none without points."""

    lasting: U63
    lots: Annotated[tuple[Lot, ...], Items(0, limits.LOTS_MAX)]


@record(kind=154)
class Supply:
    """A programme's points, counted: what came into being, and the three ways out of it.

    grams: CO2 avoided over all issues. issues, retirements: how many there were.
    """

    issued: U63
    redeemed: U63
    retired: U63
    expired: U63
    grams: U63
    issues: U63
    retirements: U63


@record(kind=155)
class Tally:
    """A programme's activities, counted: all, those of quantity zero, and the sum of quantities."""

    activities: U63
    zero: U63
    quantity: U63


@record(kind=156)
class Redemption:
    """What was redeemed under a redeemer's reference."""

    account: Hash
    units: Units
    redeemed: Origin


@record(kind=165)
class ProgrammeOpened:
    """The new programme's id."""

    programme: Id16


@record(kind=166)
class Retired:
    """The retirement's number within its programme, from 1."""

    number: U63


@record(kind=167)
class Expired:
    """How many points had expired."""

    units: Units


NO_SUPPLY: Final = Supply(0, 0, 0, 0, 0, 0, 0)
NO_TALLY: Final = Tally(0, 0, 0)

_PROGRAMME: Final = Part("programme", "bytes", "the programme's id, 16 bytes")
_ACCOUNT: Final = Part("account", "bytes", "the holder")

PROGRAMMES: Final = Space("points.programme", Programme, (_PROGRAMME,), "programmes with their terms and roles")
METHODOLOGIES: Final = Space(
    "points.methodology",
    Methodology,
    (_PROGRAMME, Part("version", "integer", "from 1")),
    "versions of the programmes' methodologies",
)
_CLAIM: Final = Part("claim", "bytes", "the claim key, 32 bytes")
ACTIVITIES: Final = Space("points.activity", Activity, (_PROGRAMME, _CLAIM), "activities", added=True)
SETTLEMENTS: Final = Space(
    "points.settlement", Settlement, (_PROGRAMME, _CLAIM), "what was issued for activities", added=True
)
BALANCES: Final = Space("points.balance", Balance, (_PROGRAMME, _ACCOUNT), "points held")
SUPPLIES: Final = Space("points.supply", Supply, (_PROGRAMME,), "points issued, redeemed, retired, expired")
TALLIES: Final = Space("points.tally", Tally, (_PROGRAMME,), "activities counted")
REDEMPTIONS: Final = Space(
    "points.redemption",
    Redemption,
    (_PROGRAMME, Part("redeemer", "bytes", "its account"), Part("reference", "text", "the redeemer's own")),
    "redemptions by the redeemer's reference",
    added=True,
)

SPACES: Final = (PROGRAMMES, METHODOLOGIES, ACTIVITIES, SETTLEMENTS, BALANCES, SUPPLIES, TALLIES, REDEMPTIONS)


def programme_id(issuer: bytes, label: str) -> bytes:
    """Id of the programme that `issuer` calls `label`; 16 bytes, and nobody else can take it."""
    return digest(Domain.PROGRAMME, issuer + label.encode("utf-8"))[:16]


def claim_key(*parts: bytes) -> bytes:
    """A claim key (32 bytes) from what makes an activity one and the same, such as system, times and places.

    Each part is preceded by its length (4 bytes, big endian), so that no two lists of parts give the same bytes. It
    has no salt: whoever claims the same activity again gets the same key, and is refused.
    """
    return digest(Domain.CLAIM, b"".join(len(part).to_bytes(4, "big") + part for part in parts))


def outstanding_units(supply: Supply) -> int:
    """Points that accounts hold, expired ones that nobody took out yet among them."""
    return supply.issued - supply.redeemed - supply.retired - supply.expired
