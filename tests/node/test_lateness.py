"""L-15: an author whose late batches made a leader's view fail waits for the announcements."""

from __future__ import annotations

from protocol.codec import decode, encode
from protocol.consensus.statements import CONTEXTS, Vote, VoteKind, statement_bytes
from protocol.ledger.records import Header, Reference
from protocol.node import interface as node_io
from protocol.node.interface import JournalKind
from protocol.node.lateness import Lateness
from protocol.node.proposing import _references
from protocol.wire import messages as wire
from tests.ledger.world import key
from tests.node.driver import Driver, one_of_four
from tests.node.test_node import envelope

A, B = b"a" * 32, b"b" * 32
AUTHOR, ASKER, THIRD, LEADER = range(4)
"""Members of the network, by what they do here."""


def reference(author: bytes, number: int) -> Reference:
    return Reference(author, bytes([number]) * 32, 100, 1)


def test_only_who_was_asked_for_in_a_view_that_failed_is_late() -> None:
    late = Lateness()
    late.proposed(4, (reference(A, 1), reference(B, 2)))
    late.wanted(bytes([1]) * 32)
    late.wanted(bytes([9]) * 32)
    late.nullified(3)
    assert late.late == set()
    late.nullified(4)
    assert late.late == {A}
    late.proposed(8, (reference(B, 3),))
    late.nullified(8)
    assert late.late == {A}, "what was asked for in an earlier view says nothing of this one"
    late.notarized(8)
    assert late.late == {A}
    late.proposed(12, (reference(A, 4),))
    late.notarized(12)
    assert late.late == set()


def leader_with_a_batch() -> tuple[Driver, Reference, Header, int]:
    """The leader of the first view, whose proposal references another author's batch; with its header and view."""
    author = one_of_four(AUTHOR)
    author.step(node_io.Submit(1, (envelope(author, 1),)))
    author.run(10)
    (batch,) = [record.data for record in author.journal if record.kind == JournalKind.BATCH]
    leader = one_of_four(LEADER)
    core = leader.node.body.machine.core
    assert core.rotation.leader(core.view) == core.me, "the rotation is another: choose another LEADER"
    for other in (AUTHOR, ASKER, THIRD):
        leader.step(node_io.PeerUp(key(200 + other).public))
    leader.step(node_io.Received(key(200 + AUTHOR).public, batch))
    leader.run(200)
    (record,) = [record for record in leader.journal if record.kind == JournalKind.PROPOSAL]
    message = decode(wire.ProposalMessage, record.data)
    header = decode(Header, message.header)
    (named,) = header.references
    return leader, named, header, message.proposal.view


def tell(leader: Driver, member: int, message: object) -> None:
    leader.step(node_io.Received(key(200 + member).public, encode(message)))


def nullify(leader: Driver, view: int) -> None:
    """The three others say that the view failed."""
    body = leader.node.body
    for other in (AUTHOR, ASKER, THIRD):
        signer = body.roster.signer_of[key(200 + other).public]
        content = statement_bytes(VoteKind.NULLIFY, body.epoch, view, None)
        signature = key(300 + other).sign(CONTEXTS[VoteKind.NULLIFY], body.network_id, content)
        tell(leader, other, Vote(int(VoteKind.NULLIFY), body.epoch, view, None, signer, signature))


def test_a_leader_holds_back_whom_it_was_asked_for_until_a_quorum_announces() -> None:
    leader, named, header, view = leader_with_a_batch()
    body = leader.node.body
    tell(leader, ASKER, wire.BatchesWanted((named.digest,)))
    nullify(leader, view)
    assert body.machine.core.view > view
    assert body.lateness.late == {named.author}
    assert _references(body, header.parent, header.height) == ()
    tell(leader, AUTHOR, wire.Announcement((named,)))
    assert _references(body, header.parent, header.height) == (), "the author's own word is not enough"
    tell(leader, ASKER, wire.Announcement((named,)))
    assert _references(body, header.parent, header.height) == (named,), "here, the author, and one more: three of four"


def test_what_nobody_announces_is_held_back_for_a_while_only() -> None:
    """A neighbour that is silent for ever must not keep an author out."""
    leader, named, header, view = leader_with_a_batch()
    body = leader.node.body
    tell(leader, ASKER, wire.BatchesWanted((named.digest,)))
    nullify(leader, view)
    assert _references(body, header.parent, header.height) == ()
    leader.clock_ms += 5 * body.parameters.retry_interval_ms
    leader.step(node_io.Tick())
    assert _references(body, header.parent, header.height) == (named,)


def test_a_view_that_failed_for_another_reason_makes_nobody_late() -> None:
    leader, named, header, view = leader_with_a_batch()
    nullify(leader, view)
    assert leader.node.body.machine.core.view > view
    assert _references(leader.node.body, header.parent, header.height) == (named,)


def test_where_no_quorum_is_connected_all_that_are_suffice() -> None:
    """In a ring no node hears a quorum announce; its liveness must not hang on it."""
    leader, named, header, view = leader_with_a_batch()
    body = leader.node.body
    tell(leader, ASKER, wire.BatchesWanted((named.digest,)))
    nullify(leader, view)
    for other in (ASKER, THIRD):
        leader.step(node_io.PeerDown(key(200 + other).public))
    assert body.lateness.late == {named.author}
    assert _references(body, header.parent, header.height) == (named,)
