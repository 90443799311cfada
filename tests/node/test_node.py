"""The node as a whole, driven by hand: order of effects, restarts, halts, pressure, peers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.apps.evidence.records import SHA256, RecordEvidence, Statement
from protocol.codec import decode, encode, kind_of
from protocol.consensus.statements import CONTEXTS, Proposal, Vote, VoteKind, statement_bytes
from protocol.errors import BROKEN_INVARIANT, DISK_FULL, BrokenInvariant
from protocol.ledger.envelope import seal_envelope
from protocol.ledger.records import EnvelopeBody, Header, Operation, account_name
from protocol.node import interface as node_io
from protocol.node.node import Node
from protocol.node.setup import NodeSetup, Recovered
from protocol.wire import messages as wire
from tests.ledger.world import key, make_genesis
from tests.node.driver import Driver, alone, finalized, one_of_four


def envelope(driver: Driver, number: int) -> bytes:
    """An envelope that records evidence."""
    who = key(1)
    statement = Statement(SHA256, number.to_bytes(32, "big"), 1, "", "", "", "", None)
    operation = RecordEvidence(None, number.to_bytes(16, "big"), statement)
    body = EnvelopeBody(
        driver.node.body.network_id,
        account_name(who.public),
        number.to_bytes(16, "big"),
        driver.now.wall_ms + 60_000,
        (Operation("evidence", "record", encode(operation)),),
        (who.public,),
    )
    return seal_envelope(body, [who])


def submit(driver: Driver, *envelopes: bytes) -> tuple[node_io.Admitted | node_io.Refusal, ...]:
    driver.step(node_io.Submit(7, envelopes))
    return driver.all(node_io.Answer)[-1].results


def test_a_network_of_one_finalizes_executes_and_covers() -> None:
    """An envelope is final, and a later header covers its receipt: then it can be proven."""
    driver = alone()
    (result,) = submit(driver, envelope(driver, 1))
    assert isinstance(result, node_io.Admitted)
    assert driver.node.is_pending(result.transaction)
    driver.run(200)
    status = driver.node.status()
    assert not driver.node.is_pending(result.transaction)
    assert status.log_size == 1
    assert status.covered_height >= 1, "C-15: receipts that no header covers are work"
    assert status.executed_height == status.final_height
    height = status.final_height
    driver.run(2000)
    assert driver.node.status().final_height == height, "then the network is quiet"


def test_durable_before_sent_and_before_counted() -> None:
    """Duty 1: in every list what a Send, Append or Execute rests on stands before it, and while nothing is
    durable nothing that rests on it happens in later lists either (C-10)."""
    driver = one_of_four()
    driver.step(node_io.PeerUp(key(201).public))
    driver.hold_persists = True
    submit(driver, envelope(driver, 1))
    driver.run(10)
    batches = [record for record in driver.journal if record.kind == node_io.JournalKind.BATCH]
    assert len(batches) == 1
    for effects in driver.lists:
        kinds = [type(effect) for effect in effects]
        if node_io.Persist in kinds and node_io.Send in kinds:
            sends = [e for e in effects if isinstance(e, node_io.Send) and e.data == batches[0].data]
            if sends:
                assert kinds.index(node_io.Persist) < effects.index(sends[0])
    persists = [effect for effects in driver.lists for effect in effects if isinstance(effect, node_io.Persist)]
    patient = {persist.record.kind for persist in persists if persist.patient}
    assert patient == {node_io.JournalKind.BATCH}, "what rests on a batch brings a sync (L-13); a vote never waits"


def test_a_vote_and_its_header_are_in_one_list() -> None:
    """The quorum that notarized a block can find it again after a power cut of everyone."""
    driver = alone()
    submit(driver, envelope(driver, 1))
    driver.run(200)
    proposals = [record for record in driver.journal if record.kind == node_io.JournalKind.PROPOSAL]
    assert proposals
    for record in proposals:
        message = decode(wire.ProposalMessage, record.data)
        assert decode(Header, message.header).height >= 1


@pytest.mark.parametrize("torn", [0, 1, 2])
def test_a_restart_goes_on_from_the_journal_also_when_segments_lost_their_tail(torn: int) -> None:
    """L-24, L-26: blocks that were not synced come back from the journal, once."""
    driver = alone()
    for number in range(5):
        submit(driver, envelope(driver, number))
        driver.run(100)
    before = driver.node.status()
    whole = finalized(driver)
    driver.restart(blocks=len(whole) - torn)
    assert [(b.header, b.batches) for b in finalized(driver)] == [(b.header, b.batches) for b in whole]
    # One finalization stands for all below it: those of torn blocks between need not come back.
    assert finalized(driver)[-1].finalization == whole[-1].finalization
    after = driver.node.status()
    assert (after.final_height, after.final_hash) == (before.final_height, before.final_hash)
    assert (after.executed_height, after.state_root) == (before.executed_height, before.state_root)
    submit(driver, envelope(driver, 99))
    driver.run(200)
    assert driver.node.status().log_size == 6


def test_the_live_records_alone_are_enough() -> None:
    """L-24: a truncated journal begins with the vote floor, and the node goes on from it."""
    driver = alone()
    for number in range(4):
        submit(driver, envelope(driver, number))
        driver.run(100)
    records = driver.node.live_records()
    assert records[0].kind == node_io.JournalKind.VOTE_FLOOR
    assert len(records) < len(driver.journal)
    driver.journal = list(records)
    view = driver.node.status().view
    driver.restart()
    assert driver.node.status().view >= view
    submit(driver, envelope(driver, 50))
    driver.run(200)
    assert driver.node.status().log_size == 5


def test_an_amnesiac_signs_nothing() -> None:
    """C-24."""
    driver = alone()
    driver.restart(journal=False, amnesiac=True)
    submit(driver, envelope(driver, 1))
    driver.run(30_000)
    assert not driver.journal
    assert driver.node.status().voting is False
    assert driver.notes("amnesiac")


def test_another_result_than_a_final_header_names_stops_the_node() -> None:
    """L-22: before anything more is signed or written."""
    driver = alone()
    submit(driver, envelope(driver, 1))
    driver.run(200)
    chain = driver.node.body.chain
    newest = chain.results[chain.executed_height]
    header = decode(Header, finalized(driver)[-1].header)
    assert chain.check(header) is None
    other = replace(newest, state_root=b"x" * 32)
    assert chain.check(replace(header, executed=other)) is not None


def test_after_a_halt_nothing_is_said_or_written() -> None:
    """Duty 6."""
    driver = alone()
    submit(driver, envelope(driver, 1))
    driver.node.body.halt(BROKEN_INVARIANT, "words")
    (effect,) = driver.node.body.out
    assert isinstance(effect, node_io.Halt)
    assert driver.step(node_io.Tick()) == []
    assert driver.node.wake_at_ms is None


def test_a_twin_stops_the_node() -> None:
    """C-24: another node signs with this node's voting key."""
    driver = one_of_four()
    body = driver.node.body
    peer = key(201).public
    driver.step(node_io.PeerUp(peer))
    assert body.machine.core.me is not None
    payload = statement_bytes(VoteKind.NULLIFY, 1, 1, None)
    signature = key(300).sign(CONTEXTS[VoteKind.NULLIFY], body.network_id, payload)
    driver.step(node_io.Received(peer, encode(Vote(1, 1, 1, None, body.machine.core.me, signature))))
    (halt,) = driver.all(node_io.Halt)
    assert "twin" in halt.words


def test_a_full_disk_accepts_and_votes_nothing_and_then_goes_on() -> None:
    """L-28."""
    driver = alone()
    driver.step(node_io.Pressure(True))
    (refused,) = submit(driver, envelope(driver, 1))
    assert isinstance(refused, node_io.Refusal)
    assert refused.code == DISK_FULL
    written = len(driver.journal)
    driver.run(30_000)
    assert len(driver.journal) == written
    driver.step(node_io.Pressure(False))
    (result,) = submit(driver, envelope(driver, 1))
    assert isinstance(result, node_io.Admitted)
    driver.run(200)
    assert driver.node.status().log_size == 1


def test_bad_envelopes_are_refused_each_for_itself() -> None:
    """L-9, L-10."""
    driver = alone()
    good = envelope(driver, 1)
    altered = good[:-1] + bytes([good[-1] ^ 1])
    first, second, third = submit(driver, good, altered, b"garbage")
    assert isinstance(first, node_io.Admitted)
    assert isinstance(second, node_io.Refusal)
    assert isinstance(third, node_io.Refusal)
    assert (second.code, third.code) == ("bad_signature", "malformed")
    assert second.transaction is None, "not remembered: anyone could have made it"


def test_garbage_from_a_peer_is_charged_and_ends_in_a_disconnect() -> None:
    """L-31: never a crash, never silence for ever."""
    driver = one_of_four()
    peer = key(201).public
    driver.step(node_io.PeerUp(peer))
    for number in range(40):
        driver.step(node_io.Received(peer, bytes([number]) * 50))
    assert driver.all(node_io.Disconnect)
    assert driver.notes("peer_charged")
    assert driver.node.body.neighbours.peers


def test_a_message_from_nobody_connected_is_nothing() -> None:
    driver = one_of_four()
    assert driver.step(node_io.Received(b"x" * 32, b"garbage")) == []


def test_a_vote_by_another_goes_on_to_who_does_not_hear_its_signer() -> None:
    """L-14: verified first; a bad one goes nowhere."""
    driver = one_of_four()
    body = driver.node.body
    near, far = key(201).public, key(202).public
    driver.step(node_io.PeerUp(near))
    driver.step(node_io.PeerUp(far))
    voting = key(301)
    signer = body.roster.validators.index_of(voting.public)
    assert signer is not None
    assert body.roster.node_keys[signer] == near
    payload = statement_bytes(VoteKind.NULLIFY, 1, 1, None)
    signature = voting.sign(CONTEXTS[VoteKind.NULLIFY], body.network_id, payload)
    bad = encode(Vote(1, 1, 1, None, signer, bytes(64)))
    driver.step(node_io.Received(near, bad))
    assert not [send for send in driver.all(node_io.Send) if send.data == bad]
    good = encode(Vote(1, 1, 1, None, signer, signature))
    driver.step(node_io.Received(near, good))
    assert [send.to for send in driver.all(node_io.Send) if send.data == good] == [(far,)]


def test_a_proposal_with_another_header_is_charged() -> None:
    driver = one_of_four()
    peer = key(201).public
    driver.step(node_io.PeerUp(peer))
    message = wire.ProposalMessage(Proposal(1, 1, 0, b"p" * 32), bytes(64), b"not that header")
    driver.step(node_io.Received(peer, encode(message)))
    assert driver.notes("peer_charged")


def test_an_observer_passes_envelopes_on_and_to_another_when_it_takes_too_long() -> None:
    """L-16."""
    driver = Driver(make_genesis(4), observer=True)
    driver.start()
    (refused,) = submit(driver, envelope(driver, 1))
    assert isinstance(refused, node_io.Refusal), "without a validator it says so"
    for number in (201, 202):
        driver.step(node_io.PeerUp(key(number).public))
    submit(driver, envelope(driver, 1))
    driver.run(3 * driver.genesis.parameters.relay_delay_ms)
    sent = [send.to[0] for send in driver.all(node_io.Send) if kind_of(send.data) == 49]
    assert len(sent) >= 3
    assert len(set(sent)) == 2
    assert not driver.journal, "an observer signs nothing"


def test_a_node_needs_the_result_of_its_newest_height() -> None:
    setup = NodeSetup(make_genesis(1), key(200).public, key(300))
    with pytest.raises(BrokenInvariant, match="result of its newest"):
        Node(setup, Recovered())
