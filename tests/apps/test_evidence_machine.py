"""Evidence under any sequence of operations, beside a naive model: plain lists, searched from the beginning."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocol.apps.evidence.application import evidence_by_id
from protocol.apps.evidence.reading import evidence_by_digest, evidence_chain
from protocol.apps.evidence.records import (
    CURRENT,
    REVOKED,
    SHA256,
    SUPERSEDED,
    GrantRights,
    RecordEvidence,
    RevokeEvidence,
    Statement,
    SupersedeEvidence,
    WithdrawRights,
)
from protocol.errors import Refused
from tests.apps.world import World, account, id16

PEOPLE = ("ann", "ben", "eve")
PERSON = st.sampled_from(PEOPLE)
ID = st.integers(1, 6)
DIGEST = st.integers(1, 4)
ENDED = {SUPERSEDED: "evidence_superseded", REVOKED: "evidence_revoked"}


@dataclass
class Entry:
    """One record, in the order of recording."""

    owner: str
    id: int
    digest: int
    status: int = CURRENT
    replaces: int | None = None
    replaced_by: int | None = None


class EvidenceMachine(RuleBasedStateMachine):
    """Three people, each for themselves and for one another."""

    entries: list[Entry]
    grants: dict[tuple[str, str], tuple[int, int | None]]

    @initialize()
    def begin(self) -> None:
        self.world, self.entries, self.grants = World(), [], {}

    def outcome(self, sender: str, arguments: object) -> str | None:
        try:
            self.world.run(sender, arguments)
        except Refused as refusal:
            return refusal.code
        return None

    def forbidden(self, sender: str, owner: str, right: int) -> str | None:
        rights, until_ms = self.grants.get((owner, sender), (0, None))
        granted = rights & right and (until_ms is None or self.world.time_ms < until_ms)
        return None if sender == owner or granted else "forbidden"

    def entry(self, owner: str, number: int) -> Entry | None:
        return next((one for one in self.entries if (one.owner, one.id) == (owner, number)), None)

    def ended(self, owner: str, number: int) -> str | None:
        old = self.entry(owner, number)
        return "not_found" if old is None else ENDED.get(old.status)

    def latest(self, owner: str, digest: int) -> Entry | None:
        found = [one for one in self.entries if (one.owner, one.digest) == (owner, digest)]
        return found[-1] if found else None

    @rule(sender=PERSON, owner=PERSON, number=ID, digest=DIGEST)
    def record(self, sender: str, owner: str, number: int, digest: int) -> None:
        expected = self.forbidden(sender, owner, 1)
        expected = expected or ("already_exists" if self.entry(owner, number) else None)
        expected = expected or ("already_recorded" if self.latest(owner, digest) else None)
        assert self.outcome(sender, RecordEvidence(account(owner), id16(number), said(digest))) == expected
        if expected is None:
            self.entries.append(Entry(owner, number, digest))

    @rule(sender=PERSON, owner=PERSON, old=ID, number=ID, digest=DIGEST)
    def supersede(self, sender: str, owner: str, old: int, number: int, digest: int) -> None:
        expected = self.forbidden(sender, owner, 2) or self.ended(owner, old)
        expected = expected or ("already_exists" if self.entry(owner, number) else None)
        latest = self.latest(owner, digest)
        free = latest is None or latest.id == old or latest.status == SUPERSEDED
        expected = expected or (None if free else "already_recorded")
        operation = SupersedeEvidence(account(owner), id16(number), id16(old), "", said(digest))
        assert self.outcome(sender, operation) == expected
        before = self.entry(owner, old)
        if expected is None and before is not None:
            before.status, before.replaced_by = SUPERSEDED, number
            self.entries.append(Entry(owner, number, digest, replaces=old))

    @rule(sender=PERSON, owner=PERSON, number=ID)
    def revoke(self, sender: str, owner: str, number: int) -> None:
        expected = self.forbidden(sender, owner, 4) or self.ended(owner, number)
        assert self.outcome(sender, RevokeEvidence(account(owner), id16(number), 1, "")) == expected
        before = self.entry(owner, number)
        if expected is None and before is not None:
            before.status = REVOKED

    @rule(owner=PERSON, delegate=PERSON, rights=st.integers(1, 7), wait_ms=st.sampled_from([None, 0, 5]))
    def grant(self, owner: str, delegate: str, rights: int, wait_ms: int | None) -> None:
        until_ms = None if wait_ms is None else self.world.time_ms + wait_ms
        expected = "bad_arguments" if owner == delegate or wait_ms == 0 else None
        assert self.outcome(owner, GrantRights(account(delegate), rights, until_ms)) == expected
        if expected is None:
            self.grants[owner, delegate] = rights, until_ms

    @rule(owner=PERSON, delegate=PERSON)
    def withdraw(self, owner: str, delegate: str) -> None:
        expected = None if self.grants.pop((owner, delegate), None) else "not_found"
        assert self.outcome(owner, WithdrawRights(account(delegate))) == expected

    @rule()
    def wait(self) -> None:
        self.world.time_ms += 3

    @invariant()
    def everything_agrees(self) -> None:
        """Each record, each chain, each digest."""
        for one in self.entries:
            found = evidence_by_id(account(one.owner), id16(one.id), self.world.reader())
            assert found is not None
            links = [None if number is None else id16(number) for number in (one.replaces, one.replaced_by)]
            replaced_by = None if found.end is None else found.end.replaced_by
            assert (found.status, [found.evidence.replaces, replaced_by]) == (one.status, links)
            chain = evidence_chain(self.world.tables, account(one.owner), id16(one.id))
            assert [link.status for link in chain[:-1]] == [SUPERSEDED] * (len(chain) - 1)
            assert chain[-1].status != SUPERSEDED, "a chain ends in what holds, or in what was revoked"
        for digest in range(1, 5):
            latest = [self.latest(owner, digest) for owner in PEOPLE]
            expected = sorted((account(one.owner), id16(one.id)) for one in latest if one is not None)
            found_here = evidence_by_digest(self.world.tables, SHA256, bytes([digest]) * 32).found
            assert sorted((one.owner, one.id) for one in found_here) == expected


def said(digest: int) -> Statement:
    """A statement about one of a few documents."""
    return Statement(SHA256, bytes([digest]) * 32, 1, "", "", "", "", None)


TestEvidence = EvidenceMachine.TestCase
TestEvidence.settings = settings(stateful_step_count=40)
