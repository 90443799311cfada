"""The application `evidence`: rules E-1 to E-4, each legal and each illegal path."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.apps.common import Origin
from protocol.apps.evidence import reading
from protocol.apps.evidence.application import FoundEvidence, evidence_by_id
from protocol.apps.evidence.reading import evidence_by_digest, evidence_chain
from protocol.apps.evidence.records import (
    CURRENT,
    DELEGATIONS,
    MAY_RECORD,
    MAY_REVOKE,
    MAY_SUPERSEDE,
    REVOKED,
    SALTED_FIELDS,
    SHA256,
    SUPERSEDED,
    Evidence,
    EvidenceEnd,
    GrantRights,
    RecordEvidence,
    RevokeEvidence,
    Statement,
    SupersedeEvidence,
    WithdrawRights,
)
from protocol.errors import (
    ALREADY_EXISTS,
    ALREADY_RECORDED,
    BAD_ARGUMENTS,
    EVIDENCE_REVOKED,
    EVIDENCE_SUPERSEDED,
    FORBIDDEN,
    NOT_FOUND,
    Refused,
)
from protocol.ledger import added
from tests.apps.world import START_MS, World, account, id16

A, B, C, D = id16(1), id16(2), id16(3), id16(4)


def statement(digest: int, algorithm: int = SHA256) -> Statement:
    return Statement(
        algorithm, bytes([digest]) * 32, 1234, "application/json", "epcis", "shipping", "urn:x:1", START_MS
    )


def recorded(identifier: bytes, digest: int, owner: bytes | None = None, algorithm: int = SHA256) -> RecordEvidence:
    return RecordEvidence(owner, identifier, statement(digest, algorithm))


def superseding(old: bytes, new: bytes, digest: int, owner: bytes | None = None) -> SupersedeEvidence:
    return SupersedeEvidence(owner, new, old, "typing error", statement(digest))


def revoking(identifier: bytes, owner: bytes | None = None) -> RevokeEvidence:
    return RevokeEvidence(owner, identifier, 1, "wrong order")


def found(world: World, identifier: bytes, owner: str = "ann") -> FoundEvidence:
    record = evidence_by_id(account(owner), identifier, world.reader())
    assert record is not None
    return record


def found_ids(world: World, digest: int, algorithm: int = SHA256) -> set[tuple[bytes, bytes]]:
    return {(one.owner, one.id) for one in evidence_by_digest(world.tables, algorithm, bytes([digest]) * 32).found}


@pytest.fixture(name="world")
def fixture_world() -> World:
    """Ann has recorded digest 1 as A."""
    world = World()
    world.run("ann", recorded(A, 1))
    return world


def test_a_record_says_digest_time_and_place(world: World) -> None:
    """The rest of what Ann said stands in her envelope, at `recorded`."""
    recorded_now = Evidence(SHA256, b"\x01" * 32, Origin((1).to_bytes(32, "big"), 0), START_MS, None, False)
    assert found(world, A) == FoundEvidence(account("ann"), A, recorded_now, None)
    assert found(world, A).status == CURRENT


def test_whoever_holds_the_document_finds_its_records(world: World) -> None:
    """E-2: other owners may record the same digest, and all are found by it, page by page."""
    world.run("ben", recorded(A, 1))
    world.run("eve", recorded(B, 1))
    assert found_ids(world, 1) == {(account("ann"), A), (account("ben"), A), (account("eve"), B)}
    assert found_ids(world, 1, SALTED_FIELDS) == set()
    assert found_ids(world, 2) == set()
    assert in_pages(world, 1) == found_ids(world, 1)


def in_pages(world: World, digest: int) -> set[tuple[bytes, bytes]]:
    """The same as the whole, looked at one by one."""
    pages: list[FoundEvidence] = []
    page = evidence_by_digest(world.tables, SHA256, bytes([digest]) * 32, limit=1)
    pages.extend(page.found)
    while page.after is not None:
        page = evidence_by_digest(world.tables, SHA256, bytes([digest]) * 32, after=page.after, limit=1)
        pages.extend(page.found)
    whole = evidence_by_digest(world.tables, SHA256, bytes([digest]) * 32)
    assert (tuple(pages), None) == whole, "pages and the whole have one order"
    return {(one.owner, one.id) for one in pages}


@pytest.mark.parametrize("name", ["shared_name", "second_name", "name_of"])
def test_what_shares_a_name_is_told_apart(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Digests, owners and records whose hashes begin alike: nobody is refused, and each finds its own."""
    size = {"shared_name": 6, "second_name": 12, "name_of": 7}[name]
    monkeypatch.setattr(added, "second_name", added.second_name.__wrapped__)  # which would remember other names
    monkeypatch.setattr(added, name, lambda *_given: bytes(size))
    if name == "second_name":
        monkeypatch.setattr(added, "shared_name", lambda *_given: bytes(6))
    monkeypatch.setattr(reading, "shared_name", added.shared_name)
    world = World()
    world.run("ann", recorded(A, 1))
    world.run("ann", recorded(B, 2))
    world.run("ben", recorded(A, 1))
    with pytest.raises(Refused, match="recorded this digest"):
        world.run("ben", recorded(C, 1))
    with pytest.raises(Refused) as caught:
        world.run("ben", recorded(A, 3))
    assert caught.value.code == ALREADY_EXISTS
    assert in_pages(world, 1) == {(account("ann"), A), (account("ben"), A)}
    assert in_pages(world, 2) == {(account("ann"), B)}
    assert in_pages(world, 3) == set()
    assert found(world, B).evidence.digest == bytes([2]) * 32


def test_the_same_bytes_under_two_algorithms_are_two_things(world: World) -> None:
    world.run("ann", recorded(B, 1, algorithm=SALTED_FIELDS))
    assert found_ids(world, 1, SALTED_FIELDS) == {(account("ann"), B)}
    assert found_ids(world, 1) == {(account("ann"), A)}


def test_an_owner_records_a_digest_once(world: World) -> None:
    """E-2."""
    words = world.refuses(ALREADY_RECORDED, "ann", recorded(B, 1))
    assert A.hex() in words


def test_an_id_is_taken_once_by_an_owner_and_free_for_others(world: World) -> None:
    world.refuses(ALREADY_EXISTS, "ann", recorded(A, 2))
    world.run("ben", recorded(A, 2))


def test_superseding_keeps_the_chain_both_ways(world: World) -> None:
    """E-1."""
    world.time_ms += 5
    world.run("ann", superseding(A, B, 2))
    old, new = found(world, A), found(world, B)
    origin = Origin((2).to_bytes(32, "big"), 0)
    assert old.end == EvidenceEnd(SUPERSEDED, origin, START_MS + 5, B, None)
    assert old.evidence.recorded_ms == START_MS
    assert (new.status, new.evidence.replaces) == (CURRENT, A)
    assert (new.evidence.recorded, new.evidence.recorded_ms) == (origin, START_MS + 5)
    world.run("ann", superseding(B, C, 3))
    assert [one.id for one in evidence_chain(world.tables, account("ann"), A)] == [A, B, C]
    assert [one.id for one in evidence_chain(world.tables, account("ann"), A, limit=2)] == [A, B]
    assert evidence_chain(world.tables, account("ann"), D) == []
    assert found_ids(world, 1) == {(account("ann"), A)}, "the old document is found, and says what replaced it"


def test_revoking_says_when_and_why(world: World) -> None:
    """E-1."""
    world.time_ms += 9
    world.run("ann", RevokeEvidence(None, A, 3, ""))
    origin = Origin((2).to_bytes(32, "big"), 0)
    assert found(world, A).end == EvidenceEnd(REVOKED, origin, START_MS + 9, None, 3)


@pytest.mark.parametrize("operation", [superseding(A, C, 3), revoking(A), superseding(A, B, 3)])
def test_what_is_superseded_changes_no_more(world: World, operation: Any) -> None:
    """E-1: superseded twice, or superseded and then revoked."""
    world.run("ann", superseding(A, B, 2))
    words = world.refuses(EVIDENCE_SUPERSEDED, "ann", operation)
    assert B.hex() in words


@pytest.mark.parametrize("operation", [superseding(A, C, 3), revoking(A), superseding(A, C, 1)])
def test_what_is_revoked_changes_no_more(world: World, operation: Any) -> None:
    """E-1: revoked twice, or revoked and then superseded."""
    world.run("ann", revoking(A))
    world.refuses(EVIDENCE_REVOKED, "ann", operation)


def test_a_revoked_digest_is_not_recorded_again(world: World) -> None:
    """E-2: neither anew nor as the successor of another record."""
    world.run("ann", revoking(A))
    world.refuses(ALREADY_RECORDED, "ann", recorded(B, 1))
    world.run("ann", recorded(C, 3))
    world.refuses(ALREADY_RECORDED, "ann", superseding(C, D, 1))


@pytest.mark.parametrize("operation", [superseding(D, B, 2), revoking(D)])
def test_what_is_not_there_is_not_found(world: World, operation: Any) -> None:
    world.refuses(NOT_FOUND, "ann", operation)
    world.refuses(NOT_FOUND, "ben", superseding(A, B, 2))


def test_a_successor_needs_a_new_id_and_a_new_digest(world: World) -> None:
    world.run("ann", recorded(C, 3))
    world.refuses(ALREADY_EXISTS, "ann", superseding(A, A, 2))
    world.refuses(ALREADY_EXISTS, "ann", superseding(A, C, 2))
    world.refuses(ALREADY_RECORDED, "ann", superseding(A, B, 3))


def test_a_statement_is_corrected_about_the_same_document(world: World) -> None:
    """E-2: the digest leads to the latest record."""
    world.run("ann", superseding(A, B, 1))
    assert found_ids(world, 1) == {(account("ann"), B)}
    assert found(world, B).evidence.replaces == A


def test_an_earlier_version_can_be_returned_to(world: World) -> None:
    """E-2: by superseding, not by recording."""
    world.run("ann", superseding(A, B, 2))
    world.refuses(ALREADY_RECORDED, "ann", recorded(C, 1))
    world.run("ann", superseding(B, C, 1))
    assert found_ids(world, 1) == {(account("ann"), C)}


def test_a_delegate_does_what_was_granted_and_no_more(world: World) -> None:
    """E-3."""
    ann = account("ann")
    for operation in (recorded(B, 2, ann), superseding(A, B, 2, ann), revoking(A, ann)):
        world.refuses(FORBIDDEN, "ben", operation)
    world.run("ann", GrantRights(account("ben"), MAY_RECORD, None))
    world.run("ben", recorded(B, 2, ann))
    assert found(world, B).status == CURRENT
    assert evidence_by_id(account("ben"), B, world.reader()) is None, "what a delegate recorded is the owner's"
    world.refuses(FORBIDDEN, "ben", superseding(A, C, 3, ann))
    world.refuses(FORBIDDEN, "ben", revoking(A, ann))
    world.run("ann", GrantRights(account("ben"), MAY_SUPERSEDE | MAY_REVOKE, None))
    world.refuses(FORBIDDEN, "ben", recorded(C, 3, ann))
    world.run("ben", superseding(A, C, 3, ann))
    world.run("ben", revoking(B, ann))
    world.refuses(FORBIDDEN, "eve", revoking(C, ann))


def test_a_grant_ends_at_its_time(world: World) -> None:
    """E-3: from the block whose time reaches it."""
    world.run("ann", GrantRights(account("ben"), MAY_RECORD, START_MS + 10))
    world.time_ms = START_MS + 9
    world.run("ben", recorded(B, 2, account("ann")))
    world.time_ms = START_MS + 10
    world.refuses(FORBIDDEN, "ben", recorded(C, 3, account("ann")))


def test_a_grant_is_withdrawn(world: World) -> None:
    """E-3."""
    before = world.state()
    world.run("ann", GrantRights(account("ben"), MAY_RECORD, None))
    world.run("ann", WithdrawRights(account("ben")))
    assert world.state() == before
    world.refuses(FORBIDDEN, "ben", recorded(B, 2, account("ann")))
    world.refuses(NOT_FOUND, "ann", WithdrawRights(account("ben")))


def test_a_grant_is_made_by_its_owner_to_somebody_else_and_for_later(world: World) -> None:
    world.refuses(BAD_ARGUMENTS, "ann", GrantRights(account("ann"), MAY_RECORD, None))
    world.refuses(BAD_ARGUMENTS, "ann", GrantRights(account("ben"), MAY_RECORD, START_MS))
    world.run("ann", GrantRights(account("ben"), MAY_RECORD, None))
    world.run("ben", GrantRights(account("eve"), MAY_RECORD, None))
    world.refuses(FORBIDDEN, "eve", recorded(B, 2, account("ann")))
    world.refuses(NOT_FOUND, "eve", WithdrawRights(account("ben")))
    assert world.reader().get(DELEGATIONS, (account("ann"), account("ben"))) is not None


def test_naming_oneself_as_owner_is_the_same(world: World) -> None:
    world.run("ann", recorded(B, 2, account("ann")))
    assert found(world, B).status == CURRENT
