"""Copies of a batch, and checks that take long: a verdict is one copy's, and its room is taken until it comes (L-13).

One validator of four is the liar here: it leads, references batches of its own, and sends them as it likes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from protocol import limits
from protocol.codec import decode, encode
from protocol.consensus.statements import CONTEXTS, Certificate, Proposal, VoteKind, statement_bytes
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.dissemination import NEEDED_TIMES, State
from protocol.ledger.batch import seal_batch
from protocol.ledger.records import Batch, Executed, Header, Reference, batch_digest
from protocol.node import interface as node_io
from protocol.wire import messages as wire
from tests.ledger.world import START_MS, key, make_genesis
from tests.node.driver import Driver
from tests.node.test_node import envelope

GENESIS = make_genesis(4)


@dataclass
class Slow(Driver):
    """Batches are checked when the test says so; the others are the liar and two who only sign what it needs."""

    checks: list[node_io.CheckBatch] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.start()
        self.body = self.node.body
        self.validators = self.body.roster.validators
        self.members = {key(300 + member).public: member for member in range(4)}
        self.liar = key(300 + self.leader(1))
        self.channel = key(200 + self.leader(1)).public
        for member in range(4):
            if member != self.member:
                self.step(node_io.PeerUp(key(200 + member).public))

    def leader(self, view: int) -> int:
        return self.members[self.validators.keys[self.body.machine.core.rotation.leader(view)]]

    def carry(self, effects: list[node_io.Effect]) -> None:
        self.checks += [effect for effect in effects if isinstance(effect, node_io.CheckBatch)]
        super().carry([effect for effect in effects if not isinstance(effect, node_io.CheckBatch)])

    def check(self, data: bytes) -> None:
        """The verdict on the oldest check of these bytes."""
        check = next(check for check in self.checks if check.data == data)
        self.checks.remove(check)
        self.step(node_io.BatchChecked(check.job, self.services.check_batch(check.data)))

    def batch(self, number: int) -> tuple[bytes, Reference]:
        data = seal_batch(self.body.network_id, self.liar, number + 100, [envelope(self, number)])
        return data, Reference(self.liar.public, batch_digest(decode(Batch, data).body), len(data), 1)

    def brought(self, data: bytes) -> None:
        self.step(node_io.Received(self.channel, data))

    def nullified(self, view: int) -> None:
        """The view ends without a block."""
        signers = [index for index, one in enumerate(self.validators.keys) if self.members[one] != self.member]
        message = statement_bytes(VoteKind.NULLIFY, 1, view, None)
        signatures = tuple(
            key(300 + self.members[self.validators.keys[index]]).sign(
                CONTEXTS[VoteKind.NULLIFY], self.body.network_id, message
            )
            for index in signers
        )
        bits = bytes([sum(1 << index for index in signers)])
        self.brought(encode(Certificate(1, VoteKind.NULLIFY, view, None, bits, signatures)))

    def proposed(self, view: int, references: tuple[Reference, ...]) -> None:
        """The liar proposes a block with these."""
        body = self.body
        now, named = START_MS + 1000 + self.clock_ms, body.roster.validators_hash
        final = body.chain.final
        header = Header(
            1, 1, 1, final.hash, now, self.liar.public, references, final.executed, named, named
        )  # fmt: skip
        data = encode(header)
        proposal = Proposal(1, view, 0, digest(Domain.HEADER, data))
        statement = statement_bytes(VoteKind.NOTARIZE, 1, view, proposal)
        signature = self.liar.sign(CONTEXTS[VoteKind.NOTARIZE], body.network_id, statement)
        self.brought(encode(wire.ProposalMessage(proposal, signature, data)))


def slow() -> Slow:
    """A validator that leads neither the first view nor the second."""
    member = next(member for member in range(4) if member not in {Slow(GENESIS).leader(view) for view in (1, 2)})
    return Slow(GENESIS, member)


def with_a_bad_signature(data: bytes) -> bytes:
    batch = decode(Batch, data)
    return encode(replace(batch, signature=bytes([batch.signature[0] ^ 1]) + batch.signature[1:]))


def test_a_verdict_counts_for_its_own_copy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A validator that voted for a block has its batches, whatever copies of them came in which order."""
    monkeypatch.setattr(limits, "UNORDERED_BATCHES_PER_AUTHOR_MAX", 1)
    driver = slow()
    filling, _ = driver.batch(9)
    (first, first_named), (second, second_named) = driver.batch(1), driver.batch(2)
    bad = with_a_bad_signature(first)
    driver.brought(filling)
    driver.proposed(1, (first_named,))
    driver.brought(first)
    for view in (1, 2, 3, 4):
        driver.nullified(view)
    driver.proposed(5, (first_named, second_named))
    driver.brought(second)
    driver.brought(bad)
    for data in [check.data for check in driver.checks]:
        driver.check(data)
        held = driver.body.batches.held.get(first_named.digest)
        assert held is None or held.state is State.CHECKING or held.data == first
    own = driver.body.machine.core.own.get(5)
    assert own is not None
    assert own.notarized, "the test is about a block that was voted for"
    assert driver.body.batches.data(first_named.digest) == first
    assert bad not in [record.data for record in driver.journal]


def test_a_good_copy_that_came_behind_a_bad_one_is_looked_at() -> None:
    driver = slow()
    data, named = driver.batch(1)
    other = key(200 + next(member for member in range(4) if member not in (driver.member, driver.leader(1)))).public
    driver.step(node_io.Received(other, with_a_bad_signature(data)))
    driver.brought(data)
    driver.check(with_a_bad_signature(data))
    driver.check(data)
    assert driver.body.batches.ready(named.digest)
    assert [note.facts["peer"] for note in driver.notes("peer_charged")] == [other]


def test_batches_that_were_dropped_make_no_room_for_more_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader whose views all fail brings the same batches in each: a bounded number is being checked."""
    monkeypatch.setattr(limits, "UNORDERED_BATCHES_PER_AUTHOR_MAX", 2)
    driver = slow()
    made = [driver.batch(number) for number in range(12)]
    for view in range(1, 26, 4):
        driver.proposed(view, tuple(named for _, named in made))
        for data, _ in made:
            driver.brought(data)
        for failed in range(view, view + 4):
            driver.nullified(failed)
    assert driver.body.machine.core.view == 29
    assert len(driver.checks) == 2 * NEEDED_TIMES
    for check in list(driver.checks):
        driver.check(check.data)
    driver.nullified(29)
    assert driver.body.batches.count_of[driver.liar.public] <= 2, "what is beyond the share and not live is shed"


def test_what_others_pass_on_fills_its_authors_share_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """One validator signs, another passes on: neither share is passed by what nobody needs."""
    monkeypatch.setattr(limits, "UNORDERED_BATCHES_PER_AUTHOR_MAX", 2)
    driver = slow()
    other = key(200 + next(member for member in range(4) if member not in (driver.member, driver.leader(1)))).public
    for number in range(6):
        data, _ = driver.batch(number)
        driver.step(node_io.Received(other, data))
        driver.check(data)
    assert driver.body.batches.count_of == {driver.liar.public: 2}
    assert len(driver.body.batches.held) == 2


def test_an_envelope_that_became_final_while_it_was_checked_does_not_wait() -> None:
    """At an observer, which seals nothing, it would be passed on until its time is over."""
    driver = Driver(GENESIS, observer=True)
    driver.start()
    node = driver.node
    node.step(node_io.PeerUp(key(200).public), driver.now)
    made = (envelope(driver, 1), envelope(driver, 2))
    effects = node.step(node_io.Submit(1, made), driver.now)
    (check,) = [effect for effect in effects if isinstance(effect, node_io.CheckEnvelopes)]
    first, second = driver.services.check_envelopes(driver.tables, made, driver.now.wall_ms, None)
    assert isinstance(first, node_io.Admitted)
    assert isinstance(second, node_io.Admitted)
    zero = driver.results[0]
    done = node_io.Outcome(first.transaction, first.account, first.id, node_io.Fate.FINAL, "ok", 0)
    executed = Executed(1, zero.state_root, zero.log_size + 1, zero.log_root)
    node.step(node_io.BlockExecuted(executed, (done,)), driver.now)
    effects = node.step(node_io.EnvelopesChecked(check.job, (first, second)), driver.now)
    (answer,) = [effect for effect in effects if isinstance(effect, node_io.Answer)]
    assert answer.results == (first, second)
    assert list(node.body.pool.waiting) == [second.transaction]
