"""The order of events: network, evidence, programme, bundles, mistakes, load with a killed node, and the ending.

Each part does one thing for real and says what it did and why that matters. The facts that it leaves in `facts` are the
summary for programs (`--json`).
"""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import trio

from daemon.client import Receipt, evidence, points
from daemon.demo import load, mistakes
from daemon.demo.documents import (
    OTHER_STEPS,
    STEPS,
    Document,
    disclosed_path,
    fields_of,
    salted_statement_of,
    statement_of,
)
from daemon.demo.load import Division, Task
from daemon.demo.meter import percentile_ms
from daemon.demo.people import ISSUER
from daemon.demo.programme import (
    BRIEF_LABEL,
    BRIEF_TERMS,
    FACTORS,
    LABEL,
    LASTING_TERMS,
    opening,
    trip_operations,
    units_of,
)
from daemon.demo.stage import Stage, now_ms
from daemon.demo.trips import TripFile
from protocol.errors import ALREADY_RECORDED, OK

RETIRED_UNITS: Final = 3
VALUE_SHOWN: Final = 24
SALT_BYTES: Final = 16


@dataclass(slots=True)
class Case:
    """What the story is about, and what it has come to.

    are_carried: whether the documents are those of this package. facts: the summary so far. recorded: the envelope of
    each document, by its name. brief_units: points that expire.
    """

    directory: Path
    documents: tuple[Document, ...]
    trips: TripFile
    division: Division
    are_carried: bool
    facts: dict[str, Any] = field(default_factory=dict)
    recorded: dict[str, Task] = field(default_factory=dict)
    brief_units: int = 0


async def tell_evidence(stage: Stage, case: Case) -> None:
    """38 documents, one digest each, by the member whose business step it was."""
    teller, people = stage.teller, stage.people
    teller.chapter(f"{len(case.documents)} documents become evidence")
    teller.say(
        "Members record a SHA-256 digest of each document: the documents stay where they are. Whoever gets one later "
        "can check that it is unaltered, who stated it, and when."
    )
    if case.are_carried:
        teller.say("The documents are independent EPCIS 2.0 test documents, not one chain of goods.")
    by_member = Counter(document.member for document in case.documents)
    rows = [
        (member, f"{by_member[member]:,}", ", ".join(steps_of(member)) + (", others" if member == OTHER_STEPS else ""))
        for member in stage.nodes
    ]
    teller.table([("member", "documents", "business steps"), *rows], right=[1])
    span = stage.meter.begin()

    async def record(member: str) -> None:
        digests: set[bytes] = set()
        for document in case.documents:
            if document.member == member:
                statement = statement_of(document)
                code = ALREADY_RECORDED if statement.digest in digests else OK
                digests.add(statement.digest)
                signed = stage.desk.sign(people.members[member], [evidence.record_of(statement)])
                case.recorded[document.name] = Task("evidence", code, signed)
                await stage.one(member, case.recorded[document.name])

    async with trio.open_nursery() as nursery:
        for member in stage.nodes:
            nursery.start_soon(record, member)
    await stage.settled()
    median = percentile_ms(span.latencies, 50)
    teller.figure(
        len(case.documents), f"recorded, by each member one after the other, final after {median} ms (median)"
    )
    case.facts["documents"] = {"count": len(case.documents), "by_member": dict(by_member), "p50_ms": median}
    await _tell_disclosure(stage, case)


def steps_of(member: str) -> list[str]:
    """The business steps that the table gives to a member."""
    return [step for step, responsible in STEPS.items() if responsible == member]


async def _tell_disclosure(stage: Stage, case: Case) -> None:
    """The document with the most fields, a second time: by salted digests of its fields; one is disclosed."""
    document = max(case.documents, key=lambda each: len(fields_of(each)))
    fields = fields_of(document)
    root, disclosures = evidence.salted_fields(fields, {path: secrets.token_bytes(SALT_BYTES) for path in fields})
    operation = evidence.record_of(salted_statement_of(document, root, len(fields)))
    account = stage.people.members[document.member]
    receipt = await stage.applied(document.member, Task("evidence", OK, stage.desk.sign(account, [operation])))
    other = next(name for name in stage.nodes if name != document.member)
    await stage.executed(other, receipt.height)
    stored = await stage.client(other).state(evidence.RECORDS, account.name, operation.id)
    shown = next(each for each in disclosures if each.field.path == disclosed_path(fields))
    altered = evidence.Disclosure(
        evidence.SaltedField(shown.field.path, shown.field.salt, shown.field.value + b"0"),
        shown.index,
        shown.count,
        shown.audit_path,
    )
    verified = stored is not None and evidence.verify_disclosure(stored.digest, shown)
    refused = stored is not None and not evidence.verify_disclosure(stored.digest, altered)
    if not (verified and refused):
        stage.surprises.append("the disclosed field does not verify, or an altered one does")
    value = shown.field.value.decode(errors="replace")
    value = value if len(value) <= VALUE_SHOWN else value[:VALUE_SHOWN] + "..."
    stage.teller.figure(
        len(fields),
        f"fields of {document.name} recorded under one root, each with a salt of its own. {document.member.title()} "
        f"shows {other} one of them and nothing else:",
    )
    stage.teller.verbatim(f"           {shown.field.path} = {value}")
    stage.teller.figure("", "It belongs to the root on the ledger; with another value it does not.")
    case.facts["documents"] |= {
        "salted": {"document": document.name, "fields": len(fields), "disclosed": shown.field.path},
        "disclosure_verified": verified,
        "altered_disclosure_refused": refused,
    }


async def tell_programme(stage: Stage, case: Case) -> bytes:
    """Open the programmes; the id of the lasting one."""
    teller, people = stage.teller, stage.people
    teller.chapter("A green-travel programme")
    trips, file = case.trips.trips, case.trips
    zero = sum(trip.distance_m == 0 for trip in trips)
    teller.say(
        f"{ISSUER.title()} gives points for trips by shared bicycle. The ledger computes grams and points from the "
        "methodology's integers and refuses any other amount."
    )
    teller.figure(
        len(trips), f"trips of {file.file.name}" + (f", of {file.rows:,} rows" if file.rows != len(trips) else "")
    )
    teller.figure(sum(trip.distance_m for trip in trips), "metres between stations, straight, rounded down")
    teller.figure(zero, "of them end where they began: recorded, counted, and worth nothing")
    if file.left_out:
        teller.figure(len(file.left_out), f"left out, such as {file.left_out[0]}")
    teller.figure(len(people.riders), "riders: the data holds none, so these accounts are made for the demonstration")
    teller.say(
        f"Example factors, no study's: {FACTORS.baseline_mg} mg CO2 a metre by car, {FACTORS.actual_mg} by bicycle; "
        f"{FACTORS.points} point for {FACTORS.grams} g avoided."
    )
    for label, terms in ((LABEL, LASTING_TERMS), (BRIEF_LABEL, BRIEF_TERMS)):
        signed = stage.desk.sign(people.issuer, opening(people, label, terms))
        await stage.applied(ISSUER, Task("programme", OK, signed))
    case.facts["trips"] = {
        "file": str(file.file),
        "rows": file.rows,
        "taken": len(trips),
        "left_out": len(file.left_out),
        "zero": zero,
        "metres": sum(trip.distance_m for trip in trips),
    }
    return points.programme_id(people.issuer.name, LABEL)


async def tell_bundles(stage: Stage, case: Case, programme: bytes) -> None:
    """The first trips, many in an envelope."""
    tasks = load.bundles(stage.desk, stage.people, programme, case.division)
    trips = len(case.division.bundled)
    stage.teller.chapter("Trips in bundles")
    stage.teller.say(
        f"The bicycles' operator signs {load.BUNDLE_TRIPS} trips at once: each is recorded under a claim key (hash of "
        "system, times, stations) and its points are issued."
    )
    span = stage.meter.begin()
    await stage.deliver_all(tasks, size=1)
    await stage.settled()
    bundles = "bundle" if len(tasks) == 1 else "bundles"
    per_second = round(trips / span.seconds)
    stage.teller.figure(
        trips,
        f"trips in {len(tasks)} signed {bundles}, final in {span.seconds:.1f} s: {per_second:,} a second",
    )
    case.facts["bundled"] = {
        "trips": trips,
        "transactions": span.final,
        "operations": span.operations,
        "seconds": round(span.seconds, 3),
        "trips_per_second": per_second,
    }


async def tell_riders(stage: Stage, case: Case, programme: bytes) -> str | None:
    """One rider redeems and retires points; the order number that the shop used, None if no rider has enough."""
    people, desk = stage.people, stage.desk
    units = load.expected_units(people, case.division)
    rider = richest(stage, case)
    brief = points.programme_id(people.issuer.name, BRIEF_LABEL)
    paying = next((trip for _, trip in case.division.bundled if units_of(trip)), None)
    if paying is not None:
        case.brief_units = units_of(paying)
        await stage.applied(
            ISSUER, Task("trip", OK, desk.sign(people.operator, trip_operations(brief, paying, rider.name)))
        )
    if units[rider.name] < load.SPARE_UNITS:
        stage.teller.say("No rider has points enough to spend, so none are redeemed or retired.")
        return None
    order = "order-first"
    redeem = points.Redeem(programme, people.shop.name, order, load.REDEMPTION_UNITS)
    await stage.applied(ISSUER, Task("redemption", OK, desk.sign(rider, [redeem], consents=(people.shop,))))
    retire = points.Retire(programme, RETIRED_UNITS, "a rider", "taken out of circulation for good")
    receipt = await stage.applied(ISSUER, Task("retirement", OK, desk.sign(rider, [retire])))
    number = receipt.results[0].number if receipt.results else 0
    stage.teller.figure(load.REDEMPTION_UNITS, "points redeemed at the shop, signed by rider and shop")
    stage.teller.figure(RETIRED_UNITS, f"points retired for ever, as retirement {number} of the programme")
    return order


def richest(stage: Stage, case: Case) -> Any:
    """The rider with the most points from bundled trips."""
    units = load.expected_units(stage.people, case.division)
    return max(stage.people.riders, key=lambda rider: units[rider.name])


async def tell_mistakes(stage: Stage, case: Case, programme: bytes, order: str | None) -> None:
    """What is wrong on purpose, and who refuses it."""
    teller = stage.teller
    teller.chapter("What is refused")
    teller.say(
        "A node refuses what is wrong by itself, and nobody else sees it. What depends on the order of things, the "
        "ledger refuses: there is a receipt that says why, and nothing is changed."
    )
    scene = mistakes.Scene(
        stage.desk,
        stage.people,
        programme,
        rider=richest(stage, case),
        claimed=case.division.bundled[0][1],
        fresh=case.division.single[-1][1],
        document=case.documents[0],
        first=case.recorded[case.documents[0].name].sealed,
        first_sender=stage.people.members[case.documents[0].member],
        redeemed=order,
    )
    listed = [*mistakes.at_the_node(scene), *mistakes.on_the_ledger(scene)]
    rows: list[tuple[str, str, str]] = []
    for member, mistake in zip(cycle(stage.nodes), listed, strict=False):
        result = await stage.one(member, Task(mistake.words, mistake.code, mistake.sealed))
        by = mistakes.LEDGER if isinstance(result, Receipt) else mistakes.NODE
        if by != mistake.by:
            stage.surprises.append(f"{mistake.words}: refused by the {by}, not the {mistake.by}")
        rows.append((result.code, by, mistake.words))
    teller.table([("code", "by", "what was tried"), *rows])
    again = await stage.client(ISSUER).send(scene.first)
    teller.say(f"An envelope sent twice acts once: its first receipt came back, of height {again.height}.")
    case.facts["mistakes"] = [{"tried": words, "code": code, "by": by} for code, by, words in rows]
    await _tell_expiry(stage, case)


async def _tell_expiry(stage: Stage, case: Case) -> None:
    """The weekend points have expired by now, or do in a moment; anyone takes them out."""
    if not case.brief_units:
        return
    rider = richest(stage, case)
    programme = points.programme_id(stage.people.issuer.name, BRIEF_LABEL)
    balance = await stage.client(ISSUER).state(points.BALANCES, programme, rider.name)
    latest_ms = 0 if balance is None else max(lot.expires_ms for lot in balance.lots)
    await trio.sleep(max(0, latest_ms - now_ms()) / 1000)
    task = Task("expiry", OK, stage.desk.sign(stage.people.stranger, [points.Expire(programme, rider.name)]))
    await stage.applied(ISSUER, task)
    stage.teller.figure(case.brief_units, "weekend points, good for a second, had expired; a stranger took them out")
    case.facts["expired_units"] = case.brief_units
