"""What is sent wrongly on purpose, one thing after the other, so that refusals are seen.

Two kinds. What needs no state, or only the sender's, the *node* that is asked refuses at once: nobody else ever sees
it. What depends on the order of things the *ledger* refuses: the transaction is final, has a receipt that says why, and
has changed nothing. Each mistake names the code that has to come back; another, or success, fails the demonstration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from daemon.client.account import Account
from daemon.client.sealing import Sealed
from daemon.demo.desk import Desk, cut_short, with_bad_signature
from daemon.demo.documents import Document, statement_of
from daemon.demo.people import People
from daemon.demo.programme import trip_operations
from daemon.demo.trips import Trip
from protocol import errors
from protocol.apps.evidence.records import RecordEvidence
from protocol.apps.points.records import Redeem, Transfer

NODE: Final = "node"
LEDGER: Final = "ledger"
FORTUNE: Final = 1_000_000_000
"""Points that nobody has."""
ANOTHER_NETWORK: Final = b"\x5a" * 32


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong. words: what is tried. code: what has to come back. by: who refuses it."""

    words: str
    code: str
    by: str
    sealed: Sealed


@dataclass(frozen=True, slots=True)
class Scene:
    """What mistakes are made of.

    rider: who makes most of them; with points, if anybody has some. claimed: a trip that has been claimed. fresh: one
    that has not. document: one that is recorded, by its member. first, first_sender: an envelope that is final, and
    whose it is. redeemed: an order number that the shop has used; None if no rider had points to redeem.
    """

    desk: Desk
    people: People
    programme: bytes
    rider: Account
    claimed: Trip
    fresh: Trip
    document: Document
    first: Sealed
    first_sender: Account
    redeemed: str | None


def at_the_node(scene: Scene) -> list[Mistake]:
    """What a node refuses."""
    desk, people = scene.desk, scene.people
    rider = scene.rider
    other = next(each for each in people.riders if each is not rider)
    transfer = Transfer(scene.programme, other.name, 1, "")
    as_rider = Account(people.stranger.keys, name=rider.name)
    good = desk.sign(rider, [transfer])
    week_ms = 7 * 24 * 3_600_000
    rows = [
        ("a rider's transfer, signed by a stranger", errors.NOT_AUTHORISED, desk.sign(as_rider, [transfer])),
        ("a transfer with one bit of its signature turned", errors.BAD_SIGNATURE, with_bad_signature(good)),
        ("an envelope without its last byte", errors.MALFORMED, cut_short(good)),
        (
            "a transfer signed for another network",
            errors.WRONG_NETWORK,
            desk.sign(rider, [transfer], network=ANOTHER_NETWORK),
        ),
        ("a transfer whose time is over", errors.EXPIRED, desk.sign(rider, [transfer], validity_ms=-1_000)),
        (
            "a transfer that is valid for a week",
            errors.TOO_FAR_AHEAD,
            desk.sign(rider, [transfer], validity_ms=week_ms),
        ),
        (
            "other content under an id that was used",
            errors.CONFLICT,
            desk.sign(scene.first_sender, [transfer], identifier=scene.first.id),
        ),
    ]
    return [Mistake(words, code, NODE, sealed) for words, code, sealed in rows]


def on_the_ledger(scene: Scene) -> list[Mistake]:
    """What the ledger refuses, with a receipt."""
    desk, people, programme = scene.desk, scene.people, scene.programme
    rider = scene.rider
    other = next(each for each in people.riders if each is not rider)
    owner = people.members[scene.document.member]
    again = RecordEvidence(None, bytes(15) + b"\x01", statement_of(scene.document))
    claim = trip_operations(programme, scene.claimed, other.name)
    generous = trip_operations(programme, scene.fresh, rider.name, more_units=1)
    rows: list[tuple[str, str, Account, Sequence[Any], Sequence[Account]]] = [
        ("the same document recorded again", errors.ALREADY_RECORDED, owner, [again], ()),
        ("a trip claimed a second time, for another rider", errors.ALREADY_CLAIMED, people.operator, claim, ()),
        ("one point more than the methodology gives", errors.AMOUNT_MISMATCH, people.operator, generous, ()),
        (
            "points issued by somebody without a role",
            errors.FORBIDDEN,
            people.stranger,
            trip_operations(programme, scene.fresh, people.stranger.name),
            (),
        ),
        (
            "a transfer of more than the rider has",
            errors.INSUFFICIENT_BALANCE,
            rider,
            [Transfer(programme, other.name, FORTUNE, "")],
            (),
        ),
        (
            "a transfer to oneself",
            errors.TRANSFER_TO_SELF,
            rider,
            [Transfer(programme, rider.name, 1, "")],
            (),
        ),
        (
            "points redeemed at a shop that is none",
            errors.REDEEMER_UNKNOWN,
            rider,
            [Redeem(programme, other.name, "order-0", 1)],
            (),
        ),
        (
            "points redeemed without the shop's signature",
            errors.CONSENT_MISSING,
            rider,
            [Redeem(programme, people.shop.name, "order-0", 1)],
            (),
        ),
    ]
    if scene.redeemed is not None:
        used = [Redeem(programme, people.shop.name, scene.redeemed, 1)]
        rows.append(("an order number that was redeemed already", errors.ALREADY_REDEEMED, rider, used, (people.shop,)))
    return [
        Mistake(words, code, LEDGER, desk.sign(account, operations, consents=consents))
        for words, code, account, operations, consents in rows
    ]
