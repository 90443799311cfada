"""The node behind one door: `Node.step(input, now) -> effects`.

The caller's duties are numbered in `interface.py`; the short form: make every `Persist` durable, only then
send, then apply and answer. A step takes one input, lets consensus take the inputs that follow from it at
once, and returns all effects in order. It never waits, never reads a clock, never fails on bad input from
outside; an exception out of it is a broken invariant, and the caller stops.

    node = Node(setup, recovered)
    effects = node.start(now)
    effects = node.step(Received(peer, data), now)      # ... until Halt
    wake = node.wake_at_ms                              # step(Tick(), now) then
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, get_args

from protocol.codec import encode
from protocol.consensus import inputs as agree
from protocol.consensus.statements import VoteKind
from protocol.dissemination import State
from protocol.errors import BrokenInvariant
from protocol.ledger.genesis import FIRST_EPOCH
from protocol.ledger.succession import beginning_height
from protocol.node import asking, catching_up, data, envelopes, epochs, memory, mending, ordering, proposing, talk
from protocol.node.body import VOTING_KEYS_MAX, make_body
from protocol.node.interface import (
    BatchChecked,
    BlockExecuted,
    BlocksRead,
    Effect,
    EnvelopesChecked,
    Input,
    JournalKind,
    JournalRecord,
    KeyFound,
    MendBlocks,
    Now,
    PeerDown,
    PeerUp,
    Persisted,
    Pressure,
    Priority,
    Received,
    SignaturesChecked,
    SnapshotRead,
    Submit,
    Tick,
)
from protocol.node.records import VoteFloor
from protocol.node.recovery import recover
from protocol.node.setup import NodeSetup, NodeStatus, Recovered
from protocol.wire.messages import ProposalMessage


class Node:
    """One node of a network; a validator if its setup has a voting key of the set, else an observer."""

    def __init__(self, setup: NodeSetup, recovered: Recovered) -> None:
        if not recovered.executed:
            raise BrokenInvariant("a node begins with the result of its newest executed height")
        genesis = recovered.genesis_executed or recovered.executed[0]
        if genesis.height != beginning_height(setup.genesis) and not recovered.blocks:
            raise BrokenInvariant("without blocks a node needs the result that its network begins with")
        self.body = make_body(setup, genesis, Now(0, 0))
        self.certificates = recover(self.body, recovered)

    # -- The door -----------------------------------------------------------------------------------

    def start(self, now: Now) -> list[Effect]:
        """Once, before the first step: what follows from what the disk held."""
        body = self.body
        body.now = now
        if body.held_back:
            ordering.carry(body, body.machine.hold_back(True, now.monotonic_ms))
        ordering.carry(body, body.machine.start(now.monotonic_ms))
        memory.begin(body)
        epochs.erase(body)
        epochs.take_part(body)
        epochs.follow(body, self.certificates)
        body.housekeeping_ms = now.monotonic_ms
        return self._settle()

    def step(self, given: Input, now: Now) -> list[Effect]:
        """Take one input; return what follows, in order. After a `Halt` always nothing."""
        body = self.body
        if body.halted:
            return []
        body.now = now
        HANDLERS[type(given)](self, given)
        return self._settle()

    def _settle(self) -> list[Effect]:
        """Let consensus take what follows at once; then hand out the effects."""
        body = self.body
        now_ms = body.now.monotonic_ms
        while not body.halted:
            if body.closed is not None and epochs.settle(body):
                for peer, kept in list(body.ahead.items()):
                    del body.ahead[peer]
                    for message in kept:
                        talk.received(body, peer, message)
                catching_up.go_on(body)
            elif body.inbox:
                ordering.carry(body, body.machine.step(body.inbox.popleft(), now_ms))
            elif body.memory.stale:
                memory.look(body)
                asking.ask_again(body)
            elif body.machine.core.held_back != body.held_back:
                ordering.carry(body, body.machine.hold_back(body.held_back, now_ms))
            elif body.work_stale:
                ordering.look_for_work(body)
            else:
                break
        effects, body.out = body.out, []
        return effects

    def on_received(self, given: Received) -> None:
        """One whole message from a peer."""
        talk.received(self.body, given.peer, given.data)

    def on_submit(self, given: Submit) -> None:
        """A client's envelopes."""
        envelopes.submit(self.body, given)

    def on_executed(self, given: BlockExecuted) -> None:
        """A final block's result."""
        if given.governed is not None:
            epochs.told(self.body, given.executed.height, given.governed)
        data.executed(self.body, given)
        catching_up.go_on(self.body)

    def on_envelopes_checked(self, given: EnvelopesChecked) -> None:
        """Verdicts on envelopes."""
        purpose = self.body.jobs.pop(given.job, None)
        if purpose is not None:
            envelopes.envelopes_checked(self.body, purpose, given.verdicts)

    def on_batch_checked(self, given: BatchChecked) -> None:
        """The verdict on a batch."""
        purpose = self.body.jobs.pop(given.job, None)
        if purpose is not None:
            data.batch_checked(self.body, purpose[1], purpose[2], given.verdict)

    def on_blocks_read(self, given: BlocksRead) -> None:
        """Blocks for a peer that asked."""
        purpose = self.body.jobs.pop(given.job, None)
        if purpose is not None:
            talk.blocks_read(self.body, given, purpose[1])

    def on_snapshot_read(self, given: SnapshotRead) -> None:
        """What a peer asked about snapshots."""
        purpose = self.body.jobs.pop(given.job, None)
        if purpose is not None:
            talk.snapshot_read(self.body, given, purpose[1])

    def on_tick(self, _: Tick) -> None:
        """What is due: timers, what was missing for long enough, a batch."""
        self._timers()
        if not self.body.halted:
            talk.ask_for_missing(self.body)
            data.seal(self.body)

    def on_peer_down(self, given: PeerDown) -> None:
        """A channel is gone."""
        memory.peer_down(self.body, given.peer, replaced=given.replaced)
        self.body.neighbours.leave(given.peer)
        catching_up.left(self.body, given.peer)
        mending.left(self.body, given.peer)
        self.body.ahead.pop(given.peer, None)
        self.body.inbox.append(agree.PeerLeft(given.peer))

    def on_mend(self, given: MendBlocks) -> None:
        """Blocks on this disk are damaged."""
        mending.mend(self.body, given)

    def on_key_found(self, given: KeyFound) -> None:
        """C-21: a key for an epoch to come; one of an ended epoch is erased at once."""
        body = self.body
        if len(body.keys) < VOTING_KEYS_MAX:
            body.keys.setdefault(given.key.public, given.key)
        epochs.erase(body)

    def on_pressure(self, given: Pressure) -> None:
        """L-28: the disk is nearly full, or has room again."""
        self.body.disk_full = given.disk_full

    def on_peer_up(self, given: PeerUp) -> None:
        """A channel stands: say how far we are."""
        body, peer = self.body, given.peer
        signer = body.roster.signer_of.get(peer)
        if peer in body.neighbours.peers:
            memory.peer_down(body, peer, replaced=True)
        body.neighbours.join(peer, signer, body.now.monotonic_ms)
        memory.peer_up(body, peer)
        asking.greet(body, peer)
        body.send((peer,), Priority.CONSENSUS, talk.keepalive(body))
        body.inbox.append(agree.PeerJoined(peer, signer))

    def on_persisted(self, given: Persisted) -> None:
        """Duty 2: what waited for the disk becomes true."""
        body = self.body
        while body.undurable and body.undurable[0][0] <= given.count:
            _, then = body.undurable.popleft()
            if isinstance(then, VoteFloor):
                memory.floor_durable(body, then)
            elif not isinstance(then, agree.VoteDurable) or then.vote.epoch == body.epoch:
                body.inbox.append(then)

    def on_signatures_checked(self, given: SignaturesChecked) -> None:
        """Good or bad signatures, for whoever asked."""
        good = given.good
        match self.body.jobs.pop(given.job, None):
            case ("consensus", job):
                self.body.inbox.append(agree.SignaturesVerified(job, good))
            case ("vote", vote, content, peer):
                talk.vote_checked(self.body, vote, content, peer, good[0])
            case ("sync", session, covered, certificate):
                catching_up.checked(self.body, session, covered, certificate, good)
            case ("mend", session, block):
                mending.checked(self.body, session, block, good)
            case ("challenge", message, content, peer):
                asking.challenge_checked(self.body, message, content, peer, good[0])
            case ("recollection", message, certificate, content, peer):
                asking.recollection_checked(self.body, message, certificate, content, peer, good)
            case ("proposal", message, content, peer):
                talk.proposal_checked(self.body, message, content, peer, good[0])
            case _:
                pass

    # -- Time ---------------------------------------------------------------------------------------

    def _timers(self) -> None:
        body = self.body
        now_ms = body.now.monotonic_ms
        due = body.machine.due(now_ms)
        while due is not None and not body.halted:
            ordering.carry(body, body.machine.step(agree.TimerFired(due), now_ms))
            due = body.machine.due(now_ms)
        if body.rejudge_ms is not None and body.rejudge_ms <= now_ms:
            proposing.judge(body)
        if body.housekeeping_ms <= now_ms:
            self._housekeeping()

    def _housekeeping(self) -> None:
        """Every half retry interval: say how far we are, and look at all that waits."""
        body = self.body
        body.housekeeping_ms = body.now.monotonic_ms + max(1, body.parameters.retry_interval_ms // 2)
        talk.say_how_far(body)
        data.announce(body)
        data.drop_expired(body)
        body.pool.expire(body.chain.final.time_ms)
        envelopes.pass_on_waiting(body)
        catching_up.watch(body)
        mending.watch(body)
        memory.look(body)
        asking.ask_again(body)
        ordering.advance(body)
        proposing.judge(body)
        proposing.build(body)
        body.work_stale = True

    @property
    def wake_at_ms(self) -> int | None:
        """Monotonic time at which `Tick` is to be stepped."""
        body = self.body
        if body.halted:
            return None
        wake_ms = body.housekeeping_ms
        times = [body.machine.wake_at_ms, body.rejudge_ms]
        if body.pool.waiting:
            times.append(data.seal_due_ms(body))
        if body.neighbours.peers and (body.batch_wants.missing or body.header_wants.missing):
            times += [body.batch_wants.next_ms(), body.header_wants.next_ms()]
        for time_ms in times:
            if time_ms is not None and time_ms < wake_ms:
                wake_ms = time_ms
        return wake_ms

    # -- Questions ----------------------------------------------------------------------------------

    def is_pending(self, transaction: bytes) -> bool:
        """Whether this envelope waits here, or in a batch that is not final."""
        body = self.body
        return body.pool.holds(transaction) or transaction in body.batches.sealed_elsewhere

    def refusal(self, transaction: bytes) -> tuple[str, str] | None:
        """Code and words, if this node refused the envelope and remembers."""
        return self.body.pool.refused.get(transaction)

    @property
    def covering_height(self) -> int:
        """As in `status`: one reading, so that a thread beside the one that steps may ask."""
        return self.body.covering[0]

    def status(self) -> NodeStatus:
        """A snapshot for operators and metrics."""
        body = self.body
        core, chain = body.machine.core, body.chain
        newest = chain.results.get(chain.executed_height)
        return NodeStatus(
            epoch=body.epoch,
            view=core.view,
            leader=core.leader,
            final_view=core.final_view,
            final_height=chain.final.height,
            final_hash=chain.final.hash,
            final_time_ms=chain.final.time_ms,
            executed_height=chain.executed_height,
            state_root=b"" if newest is None else newest.state_root,
            log_size=0 if newest is None else newest.log_size,
            log_root=b"" if newest is None else newest.log_root,
            covered_height=body.covering[1],
            covering_height=body.covering[0],
            pool_envelopes=len(body.pool.waiting),
            pool_bytes=body.pool.waiting_bytes,
            unordered_batches=len(body.batches.held),
            peers=body.everyone(),
            hears=body.neighbours.hears(body.now.monotonic_ms),
            syncing_to_height=body.sync.target_height if body.sync.peer is not None else 0,
            voting=core.may_sign(core.view),
            memory=body.memory.phase.value,
            vote_floor=core.vote_floor,
            memory_missing=memory.missing(body),
            disk_full=body.disk_full,
            validators=tuple(
                (body.nodes[key], power)
                for key, power in zip(body.roster.validators.keys, body.roster.validators.powers, strict=True)
            ),
            counters=dict(body.counters),
        )

    def live_records(self) -> list[JournalRecord]:
        """What a truncated journal begins with (L-24): the vote floor first. Segments are synced before."""
        body = self.body
        core = body.machine.core
        # What a start remembers stays while it asks: else who crashes then would be told of nothing it lacks (C-24).
        asking = core.recalled
        floor = VoteFloor(body.epoch, max(core.vote_floor, 0 if asking else core.final_view))
        if body.closed is not None:
            floor = VoteFloor(body.epoch + 1, 0)  # nothing of an ended epoch is ever signed again
        floor = VoteFloor(*max((floor.epoch, floor.view), body.vote_floor))
        records = [JournalRecord(JournalKind.VOTE_FLOOR, encode(floor))]
        if body.memory.restored is not None:
            records.append(JournalRecord(JournalKind.RESTORED, encode(body.memory.restored)))
        elif body.memory.phase is memory.Phase.AMNESIAC:
            records.append(JournalRecord(JournalKind.FORGOTTEN, encode(VoteFloor(body.epoch, core.vote_floor))))
        if body.epoch > FIRST_EPOCH:
            records.append(JournalRecord(JournalKind.EPOCH, epochs.epoch_record(body)))
        certificates = [core.finalization, *core.notarizations.values(), *core.nullifications.values()]
        records += [JournalRecord(JournalKind.CERTIFICATE, encode(c)) for c in certificates if c is not None]
        records += [JournalRecord(JournalKind.HEADER, known.data) for known in body.chain.known.values()]
        for view, own in core.own.items():
            if view <= core.final_view:
                continue
            for vote in own.votes():
                proposed = None if own.proposal is None else body.chain.known.get(own.proposal.payload)
                if own.proposal is not None and proposed is not None and vote.kind == VoteKind.NOTARIZE:
                    message = ProposalMessage(own.proposal, vote.signature, proposed.data)
                    records.append(JournalRecord(JournalKind.PROPOSAL, encode(message)))
                else:
                    records.append(JournalRecord(JournalKind.VOTE, encode(vote)))
        recalled = () if asking is None else asking.votes
        for vote in sorted((vote for vote in recalled if vote.view <= core.final_view), key=lambda v: (v.view, v.kind)):
            records.append(JournalRecord(JournalKind.VOTE, encode(vote)))
        for journaled in body.journaled.values():  # of epochs that have not begun again here
            records += [JournalRecord(JournalKind.VOTE, encode(vote)) for vote in journaled.votes]
            records += [JournalRecord(JournalKind.PROPOSAL, encode(message)) for message in journaled.proposals]
            records += [JournalRecord(JournalKind.CERTIFICATE, encode(c)) for c in journaled.certificates]
        held = [held for held in body.batches.held.values() if held.state is not State.CHECKING]
        return records + [JournalRecord(JournalKind.BATCH, batch.data) for batch in held]


HANDLERS: Final[dict[type[Any], Callable[[Node, Any], None]]] = {
    PeerUp: Node.on_peer_up,
    PeerDown: Node.on_peer_down,
    Received: Node.on_received,
    Submit: Node.on_submit,
    SignaturesChecked: Node.on_signatures_checked,
    EnvelopesChecked: Node.on_envelopes_checked,
    BatchChecked: Node.on_batch_checked,
    BlockExecuted: Node.on_executed,
    BlocksRead: Node.on_blocks_read,
    SnapshotRead: Node.on_snapshot_read,
    Persisted: Node.on_persisted,
    Tick: Node.on_tick,
    Pressure: Node.on_pressure,
    MendBlocks: Node.on_mend,
    KeyFound: Node.on_key_found,
}
"""Input -> what is done with it."""
assert set(HANDLERS) == set(get_args(Input)), "every input has a handler"
