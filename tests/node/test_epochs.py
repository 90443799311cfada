"""One epoch after the other, on a node driven by hand: keys, order of effects, restarts anywhere (C-21 to C-23)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from protocol.apps.members.records import AddNode, Execute, Propose, Ready, RotateVotingKey, SetPower
from protocol.codec import decode, encode
from protocol.consensus.statements import Certificate, Vote, VoteKind, statement_bytes
from protocol.crypto.contexts import Context
from protocol.crypto.signing import SigningKey
from protocol.dissemination import Held, State
from protocol.errors import OK, PROOF_WRONG_PIN, PROOF_WRONG_VALIDATORS
from protocol.ledger.closings import closes, read_closing
from protocol.ledger.genesis import Genesis, RulesFrom
from protocol.ledger.index import receipt_at
from protocol.ledger.records import (
    Batch,
    BatchBody,
    Block,
    Envelope,
    EnvelopeBody,
    Header,
    Operation,
    Reference,
    account_name,
    header_hash,
)
from protocol.node import epochs
from protocol.node import interface as node_io
from protocol.node.interface import JournalKind
from protocol.node.node import Node
from protocol.node.setup import NodeSetup, Recovered, recall_epochs
from protocol.proofs.build import envelope_at, finality_of, receipt_proof
from protocol.proofs.finality import ProofRefused
from protocol.proofs.records import ClosedEpoch, Finality, ReceiptProof
from protocol.proofs.verify import verify_receipt_proof
from protocol.wire import messages as wire
from tests.ledger.world import START_MS, key, make_genesis
from tests.node.driver import Driver, one_of_four

OLD, NEW = key(300), key(310)


def governed_genesis(members: int = 1) -> Genesis:
    return replace(make_genesis(members), rules=(RulesFrom(1, 2),))


@dataclass
class Governed(Driver):
    """A network of one under the second rules; its keys are what its disk holds."""

    keys: tuple[SigningKey, ...] = (OLD,)
    serial: int = 0
    pinned: tuple[int, bytes] | None = None

    def make(self, recovered: Recovered) -> Node:
        first = self.keys[0] if self.keys else None
        setup = NodeSetup(self.genesis, key(200).public, first, 0, self.keys[1:], self.pinned)
        return Node(setup, recovered)

    def carry(self, effects: list[node_io.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, node_io.EraseKey):
                self.keys = tuple(each for each in self.keys if each.public != effect.voting_key)
        super().carry(effects)

    def send(self, name: str, arguments: Any, signer: SigningKey | None = None) -> None:
        """An operation by the one member, or by another key; until it is final and covered."""
        signer = key(100) if signer is None else signer
        self.serial += 1
        operation = Operation("members", name, encode(arguments))
        network = self.node.body.network_id
        valid_until_ms = START_MS + self.clock_ms + 60_000
        account, id_ = account_name(signer.public), self.serial.to_bytes(16, "big")
        body = encode(EnvelopeBody(network, account, id_, valid_until_ms, (operation,), (signer.public,)))
        data = encode(Envelope(body, (signer.sign(Context.ENVELOPE, network, body),)))
        before = self.node.status().log_size
        self.step(node_io.Submit(self.serial, (data,)))
        self.run(3_000)
        receipt = receipt_at(self.tables, before)
        assert receipt is not None
        assert receipt.code == OK, receipt.words

    def rotate(self, old: SigningKey = OLD, new: SigningKey = NEW) -> None:
        """Decide that the one voting key is replaced."""
        changes = (encode(RotateVotingKey(old.public, new.public)),)
        self.send("propose", Propose(changes, "rotate", START_MS + 10_000_000))
        self.number = self.node.status().log_size
        self.hold(new)
        self.send("ready", Ready(1, new.public, self.node.status().executed_height), new)
        self.send("execute", Execute(1))

    def hold(self, new: SigningKey) -> None:
        """The operator makes a key."""
        self.step(node_io.KeyFound(new))
        self.keys = (*self.keys, new)

    def again(self, journal: int, blocks: int = 0) -> Governed:
        """Another life, from so many records and blocks, and no state: it is executed again as the daemon does."""
        other = Governed(self.genesis, keys=self.keys)
        other.journal, other.blocks = self.journal[:journal], self.blocks[:blocks]
        other.clock_ms = self.clock_ms
        for height, data in enumerate(other.blocks, 1):
            block = decode(Block, data)
            done = other.services.execute(other.tables, height, block.header, block.batches)
            other.tables.apply(done.writes)
            other.results.append(done.executed)
        epochs = recall_epochs(self.genesis, other.tables, other.blocks[-1] if other.blocks else None)
        recovered = Recovered(
            journal=tuple(other.journal),
            blocks=tuple(other.blocks),
            executed=tuple(other.results),
            genesis_executed=other.results[0],
            sets=epochs.sets,
            nodes=epochs.nodes,
            closings=epochs.closings,
        )
        other.node = other.make(recovered)
        other.start()
        return other


@pytest.fixture(name="rotated", scope="module")
def fixture_rotated() -> Governed:
    """A network of one that has replaced its voting key; nobody changes it."""
    driver = Governed(governed_genesis())
    driver.start()
    driver.rotate()
    driver.run(25_000)
    return driver


def headers(driver: Driver) -> list[Header]:
    return [decode(Header, decode(Block, data).header) for data in driver.blocks]


def votes(driver: Driver) -> list[Vote]:
    return [decode(Vote, record.data) for record in driver.journal if record.kind == JournalKind.VOTE]


def test_a_closing_block_ends_the_epoch_and_the_next_stands_on_it(rotated: Governed) -> None:
    """C-21, L-18: next validators as the state at *executed* says; the next epoch counts from view 1."""
    status = rotated.node.status()
    assert status.epoch == 2
    assert status.voting
    (closing,) = [header for header in headers(rotated) if closes(header)]
    after = [header for header in headers(rotated) if header.height > closing.height]
    assert after, "it goes on"
    assert all(header.epoch == 2 and header.validators_hash == closing.next_validators_hash for header in after)
    assert after[0].parent == header_hash(closing)
    assert after[0].proposer == NEW.public
    block = decode(Block, rotated.blocks[closing.height - 1])
    assert block.finalization is not None, "what finalizes its repeats finalizes it"
    assert decode(Certificate, block.finalization).epoch == 1
    known = read_closing(rotated.tables, 1)
    assert known is not None
    assert (known.height, known.hash) == (closing.height, header_hash(closing))
    assert rotated.node.body.machine.core.instance.floor == header_hash(closing)


def test_the_old_key_is_erased_behind_the_closing_finalization(rotated: Governed) -> None:
    """C-23: first durable, then erased; from then on the new key alone signs."""
    assert rotated.keys == (NEW,)
    (erasing,) = [effects for effects in rotated.lists if any(isinstance(e, node_io.EraseKey) for e in effects)]
    kinds = [type(effect) for effect in erasing]
    assert kinds.index(node_io.EraseKey) > kinds.index(node_io.Append)
    persisted = [e.record for effects in rotated.lists[: rotated.lists.index(erasing) + 1] for e in effects
                 if isinstance(e, node_io.Persist)]  # fmt: skip
    finals = [decode(Certificate, record.data) for record in persisted if record.kind == JournalKind.CERTIFICATE]
    (closing,) = [header for header in headers(rotated) if closes(header)]
    assert any(c.proposal is not None and c.proposal.payload == header_hash(closing) for c in finals)
    assert rotated.node.body.keys.keys() == {NEW.public}
    assert rotated.all(node_io.TakePart)[-1].epoch == 2


def test_votes_of_one_key_never_conflict_across_the_change(rotated: Governed) -> None:
    """C-10, journal: votes hold their epoch; views of two epochs are not each other's."""
    seen = [(vote.epoch, vote.view, vote.kind) for vote in votes(rotated)]
    assert len(set(seen)) == len(seen)
    assert {vote.epoch for vote in votes(rotated)} == {1, 2}


def test_a_restart_at_any_record_goes_on_safely(rotated: Governed) -> None:
    """L-24: from every third beginning of the journal, without any block: the same chain, no vote that conflicts."""
    chain = rotated.blocks
    for cut in range(0, len(rotated.journal) + 1, 3):
        driver = Governed(rotated.genesis, keys=(OLD, NEW))
        driver.journal = rotated.journal[:cut]
        driver.clock_ms = rotated.clock_ms
        driver.node = driver.make(Recovered(journal=tuple(driver.journal), executed=tuple(driver.results)))
        driver.start()
        driver.run(2_000)
        assert driver.node.body.halted is False
        kept = sum(1 for record in rotated.journal[:cut] if record.kind == JournalKind.CERTIFICATE)
        assert len(driver.blocks) >= (1 if kept > 6 else 0)
        same = min(len(driver.blocks), len(chain))
        common = next((at for at in range(same) if driver.blocks[at] != chain[at]), same)
        signed: dict[tuple[int, int, int], bytes | None] = {}
        for vote in votes(driver):
            at = (vote.epoch, vote.view, vote.kind)
            payload = None if vote.proposal is None else vote.proposal.payload
            assert signed.setdefault(at, payload) == payload, f"cut {cut}"
        for epoch, view, kind in signed:
            if kind == VoteKind.FINALIZE:
                assert (epoch, view, VoteKind.NULLIFY) not in signed, f"cut {cut}"
        assert common >= sum(1 for record in rotated.journal[:cut] if _is_finalization(record)), f"cut {cut}"


def _is_finalization(record: node_io.JournalRecord) -> bool:
    return record.kind == JournalKind.CERTIFICATE and decode(Certificate, record.data).kind == VoteKind.FINALIZE


def test_a_restart_after_the_change_remembers_epoch_and_set(rotated: Governed) -> None:
    """From blocks alone, from the journal alone, and from a rotated journal."""
    everything = len(rotated.journal)
    for driver in (rotated.again(0, len(rotated.blocks)), rotated.again(everything), rotated.again(everything, 3)):
        assert driver.node.status().epoch == 2
        driver.run(1_000)
        assert driver.node.status().final_height >= len(rotated.blocks)
    rotated_journal = rotated.node.live_records()
    assert rotated_journal[0].kind == JournalKind.VOTE_FLOOR
    assert JournalKind.EPOCH in {record.kind for record in rotated_journal}


def test_a_key_of_an_ended_epoch_found_again_is_erased_at_once(rotated: Governed) -> None:
    """C-23: also after a restart, when the erasing was lost."""
    driver = rotated.again(0, len(rotated.blocks))
    driver.step(node_io.KeyFound(OLD))
    assert driver.all(node_io.EraseKey)[-1].voting_key == OLD.public
    assert OLD.public not in driver.node.body.keys


def test_another_history_than_the_pinned_one_stops_the_node(rotated: Governed) -> None:
    """C-23: configuration can pin a closing header."""
    (closing,) = [header for header in headers(rotated) if closes(header)]
    for pinned, halted in (((closing.height, header_hash(closing)), False), ((closing.height, bytes(32)), True)):
        driver = Governed(rotated.genesis, keys=(OLD, NEW), pinned=pinned)
        driver.journal = list(rotated.journal)
        driver.node = driver.make(Recovered(journal=tuple(driver.journal), executed=tuple(driver.results)))
        driver.start()
        assert driver.node.body.halted is halted


def test_messages_of_other_epochs_are_answered_and_asked_about(rotated: Governed) -> None:
    """C-21: a late vote gets the closing finalization, once in a retry interval; a message from ahead a question."""
    driver = rotated.again(len(rotated.journal))
    peer = key(900).public
    driver.step(node_io.PeerUp(peer))
    late = votes(rotated)[0]
    assert late.epoch == 1
    sent = [e for e in driver.step(node_io.Received(peer, encode(late))) if isinstance(e, node_io.Send)]
    (answer,) = [decode(Certificate, e.data) for e in sent if e.data[:2] == bytes([0x98, 23])]
    (closing,) = [header for header in headers(rotated) if closes(header)]
    assert answer.proposal is not None
    assert answer.proposal.payload == header_hash(closing)
    assert not [e for e in driver.step(node_io.Received(peer, encode(late))) if isinstance(e, node_io.Send)]
    ahead = replace(late, epoch=3, proposal=None, kind=int(VoteKind.NULLIFY))
    sent = [e for e in driver.step(node_io.Received(peer, encode(ahead))) if isinstance(e, node_io.Send)]
    (wanted,) = [wire.read(e.data) for e in sent]
    assert isinstance(wanted, wire.CertificatesWanted)
    assert wanted.epoch == 2
    for _ in range(20):
        driver.step(node_io.Received(peer, encode(ahead)))
    assert len(driver.node.body.ahead[peer]) == 8, "a few are kept, no more"
    assert driver.node.body.counters.get("peer_charged", 0) == 0


def test_a_change_without_a_new_set_is_no_epoch() -> None:
    """L-29: node keys follow the state at once; an equal set closes nothing."""
    driver = Governed(governed_genesis())
    driver.start()
    changes = (encode(SetPower(OLD.public, 1)), encode(AddNode(None, NEW.public)))
    driver.send("propose", Propose(changes, "as it is", START_MS + 10_000_000))
    told = len(driver.all(node_io.TakePart))
    driver.send("execute", Execute(1))
    driver.run(3_000)
    assert driver.node.status().epoch == 1
    assert len(driver.all(node_io.TakePart)) == told + 1


def test_a_receipt_is_proven_through_the_epochs_and_against_a_pin(rotated: Governed) -> None:
    """L-21, C-22: from genesis alone, with how each epoch ended; a pin that is not in the chain is refused."""
    closing = read_closing(rotated.tables, 1)
    assert closing is not None
    ended = decode(Block, rotated.blocks[closing.height - 1])
    assert ended.finalization is not None
    closed = ClosedEpoch(ended.header, decode(Certificate, ended.finalization), closing.validators)
    newest = decode(Block, rotated.blocks[-1])
    assert newest.finalization is not None
    header = decode(Header, newest.header)
    assert header.epoch == 2
    finality = finality_of(header, decode(Certificate, newest.finalization), [closed])
    first = next(decode(Block, data) for data in rotated.blocks if decode(Block, data).batches)
    genesis = encode(rotated.genesis)
    proof = receipt_proof(rotated.genesis, rotated.tables, 0, envelope_at(first.batches, 0), finality)
    verified = verify_receipt_proof(genesis, proof, pinned=closing.hash)
    assert verified.final.header == header
    for wrong, code in (({"pinned": bytes(32)}, PROOF_WRONG_PIN), ({}, PROOF_WRONG_VALIDATORS)):
        shown = proof if wrong else encode(replace(decode(ReceiptProof, proof), finality=_unchained(finality)))
        with pytest.raises(ProofRefused) as refused:
            verify_receipt_proof(genesis, shown, **wrong)
        assert refused.value.code == code


def _unchained(finality: Finality) -> Finality:
    return replace(finality, closed=(), pinned=None)


def test_an_old_key_cannot_speak_for_the_new_epoch(rotated: Governed) -> None:
    """C-23: a certificate of the new epoch under the old key is refused where proofs are verified, and by nodes."""
    newest = decode(Block, rotated.blocks[-1])
    assert newest.finalization is not None
    certificate = decode(Certificate, newest.finalization)
    assert certificate.proposal is not None
    view = certificate.view + 1
    proposal = replace(certificate.proposal, view=view)
    payload = statement_bytes(certificate.kind, 2, view, proposal)
    signature = OLD.sign(Context.FINALIZE, rotated.node.body.network_id, payload)
    forged = replace(certificate, view=view, proposal=proposal, signatures=(signature,))
    driver = rotated.again(len(rotated.journal))
    peer = key(900).public
    driver.step(node_io.PeerUp(peer))
    before = driver.node.status().final_view
    driver.step(node_io.Received(peer, encode(forged)))
    assert driver.node.status().final_view == before
    assert driver.notes("peer_charged"), "whoever sends it is charged"


def test_a_batch_of_a_later_epochs_author_stays_through_a_switch() -> None:
    """L-24: the journal may hold the only copy of what a final block two epochs on references."""
    driver = one_of_four()
    body = driver.node.body
    leaving, coming = key(301).public, key(777).public
    for author in (leaving, coming):
        reference = Reference(author, author, 10, 1)
        body.batches.add(Held(reference, b"", 100, State.READY, 0, ()))
    epochs._drop_batches(body, frozenset({leaving}))
    assert list(body.batches.held) == [coming]


def test_a_batch_under_the_own_key_that_nobody_checked_gives_nothing_back_at_a_switch() -> None:
    """Whoever sends it says that it is ours; what is in it is not known."""
    driver = one_of_four()
    body = driver.node.body
    (own,) = body.keys
    peer = key(201).public
    driver.step(node_io.PeerUp(peer))
    sealed = encode(Batch(encode(BatchBody(body.network_id, own, 100, (b"x" * 200,))), bytes(64)))
    driver.node.step(node_io.Received(peer, sealed), driver.now)
    assert [held.state for held in body.batches.held.values()] == [State.CHECKING]
    epochs._drop_batches(body, frozenset({own}))
    assert not body.batches.held
    assert not body.pool.waiting
