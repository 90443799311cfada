"""Joining by a snapshot where the validators have changed: before it, and between it and the tip (C-21 to C-23)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from protocol.codec import decode, encode
from protocol.consensus.statements import Certificate, Proposal, VoteKind, statement_bytes
from protocol.crypto.contexts import Context
from protocol.crypto.signing import SigningKey
from protocol.errors import PROOF_BAD_CHAIN, PROOF_WRONG_VALIDATORS
from protocol.ledger.closings import closes, closings
from protocol.ledger.execution import execute_block
from protocol.ledger.genesis import ValidatorPower, ValidatorSet
from protocol.ledger.index import read_base, read_head, read_roots
from protocol.ledger.records import Block, Header, header_hash
from protocol.ledger.tables import Table
from protocol.node.joining import Joining
from protocol.proofs.finality import ProofRefused
from protocol.snapshot.installing import Installing
from protocol.snapshot.offers import EpochChain, read_offer, verify_offer
from protocol.snapshot.serving import answer
from protocol.wire import messages, snapshot
from protocol.wire.snapshot import EpochsFound, SnapshotOffer
from tests.snapshot.epochs import FIRST, SECOND, THIRD, Over, history
from tests.snapshot.liars import flipped, liar
from tests.snapshot.world import Speaker, World

HONEST, OTHER, LIAR = b"a" * 32, b"b" * 32, b"c" * 32


def chain_of(there: Over) -> EpochChain:
    """All ended epochs, followed."""
    chain = EpochChain.of(there.driver.genesis)
    for closed in there.snapshots.closed(1, 10):
        chain.follow(closed)
    return chain


def only(there: Over, offer: SnapshotOffer) -> Speaker:
    """An honest peer that has this snapshot alone."""

    def speak(question: bytes) -> list[bytes]:
        asked = messages.read(question)
        return [encode(offer)] if isinstance(asked, snapshot.SnapshotsWanted) else there.answer(question)

    return speak


def finish(world: World) -> None:
    """What was installed executes the rest of the chain, over the end of the epoch if there is one."""
    there = world.history
    tables, blocks = world.install()
    base = read_base(tables)
    assert base is not None
    assert base.first_height == decode(Header, decode(Block, blocks[0]).header).height
    services, full = there.driver.services, there.driver.tables
    for height in range(read_head(tables).executed.height + 1, len(there.driver.blocks) + 1):
        block = decode(Block, there.driver.blocks[height - 1])
        header, parameters = decode(Header, block.header), services.genesis.parameters
        done = execute_block(services.network_id, parameters, services.rules, tables, header, block.batches)
        tables.apply(done.writes)
    last = len(there.driver.blocks)
    assert read_roots(tables, last) == read_roots(full, last)
    assert closings(tables) == closings(full)
    assert dict(tables.scan(Table.STATE, b"")) == dict(full.scan(Table.STATE, b""))


@pytest.mark.parametrize("place", [0, 1], ids=["of the second epoch", "of the third epoch"])
def test_a_joiner_follows_the_validators_and_begins_in_the_epoch_of_the_snapshot(place: int) -> None:
    """C-22: the closing blocks of before do not come along, but for how they ended."""
    there = history()
    offer = there.snapshots.offers()[place]
    assert read_offer(offer).tip.epoch == place + 2
    world = World(there, {HONEST: only(there, offer), OTHER: only(there, offer)})
    world.connect()
    world.run()
    assert world.joining.complete, world.joining.status
    assert world.charged() == {}
    joining = world.joining
    assert joining.gathering is not None
    ended = [closing.height for closing in closings(there.driver.tables) if closing.height <= offer.height]
    assert len(ended) == place + 1
    done = Installing(joining.genesis, joining.gathering, offer, joining.epochs, lambda _writes: None)
    assert [(epoch, decode(Header, closed.header).height) for epoch, closed in done.ended()] == list(
        enumerate(ended, 1)
    )
    window = joining.gathering.window
    assert window is not None
    assert window.lowest > ended[0], "the first closing block is below the window"
    finish(world)


def test_a_joiner_that_is_killed_between_epochs_goes_on_from_those_it_knows() -> None:
    there = history()
    world = World(there, {HONEST: there.answer})
    asked: list[int] = []

    def one_epoch_at_a_time(question: bytes) -> list[bytes]:
        wanted = messages.read(question)
        if not isinstance(wanted, snapshot.EpochsWanted):
            return there.answer(question)
        asked.append(wanted.first_epoch)
        (found,) = [decode(EpochsFound, data) for data in answer(there.snapshots, wanted)]
        return [encode(replace(found, closed=found.closed[:1]))]

    world.peers[HONEST] = one_epoch_at_a_time
    rounds = 0
    while not world.joining.complete:
        rounds += 1
        assert rounds < 200
        world.joining = world.make()
        world.steps_max = 10
        world.connect()
        world.run(3_000)
    assert rounds > 2
    assert 2 in asked
    assert asked.count(1) == 1, "what was staged is not asked for again"
    world.steps_max = None
    finish(world)


STRANGER = ValidatorSet((ValidatorPower(FIRST.public, 1),))


def _of_another_set(found: EpochsFound) -> EpochsFound:
    return replace(found, closed=(replace(found.closed[0], validators=STRANGER), *found.closed[1:]))


def _one_left_out(found: EpochsFound) -> EpochsFound:
    return replace(found, closed=found.closed[1:])


def _forged(found: EpochsFound) -> EpochsFound:
    closed = found.closed[0]
    signatures = tuple(flipped(signature) for signature in closed.finalization.signatures)
    finalization = replace(closed.finalization, signatures=signatures)
    return replace(found, closed=(replace(closed, finalization=finalization), *found.closed[1:]))


def _twice(found: EpochsFound) -> EpochsFound:
    return replace(found, closed=(found.closed[0], *found.closed))


def _of_a_block_that_closes_nothing(found: EpochsFound) -> EpochsFound:
    data = history().block_at(3)
    assert data is not None
    block = decode(Block, data)
    assert block.finalization is not None
    assert not closes(decode(Header, block.header))
    closed = replace(found.closed[0], header=block.header, finalization=decode(Certificate, block.finalization))
    return replace(found, closed=(closed,))


EPOCH_LIES: dict[str, tuple[Callable[[EpochsFound], EpochsFound], str]] = {
    "another set": (_of_another_set, "names another set"),
    "an epoch left out": (_one_left_out, "not by the validators of epoch 1"),
    "a forged finalization": (_forged, "signature"),
    "an epoch twice": (_twice, "not by the validators of epoch 2"),
    "a header that closes nothing": (_of_a_block_that_closes_nothing, "closes no epoch"),
    "no epoch at all": (lambda found: replace(found, closed=()), "can't say how epoch 1 ended"),
}


@pytest.mark.parametrize("name", EPOCH_LIES)
def test_every_lie_about_the_end_of_an_epoch_is_found_out(name: str) -> None:
    """C-22, L-31: and with an honest peer the joiner goes on."""
    lie, words = EPOCH_LIES[name]
    there = history()
    world = World(there, {LIAR: liar(there, EpochsFound, lie)})
    world.connect()
    world.run(10_000)
    assert words in world.charged()[LIAR]
    assert world.joining.offer is None
    world.peers[HONEST] = there.answer
    world.connect([HONEST])
    world.run()
    assert world.joining.complete, world.joining.status
    assert set(world.charged()) == {LIAR}
    finish(world)


# -- Validators of ended epochs -----------------------------------------------------------------------


def forged_offer(there: Over, key: SigningKey, like: SnapshotOffer, height: int) -> SnapshotOffer:
    """A snapshot at `height` of a state of its own, under a header that is signed by a key of an ended epoch."""
    header = read_offer(like).named_by
    executed = replace(header.executed, height=height, state_root=bytes(32))
    forged = replace(header, height=height + 1, executed=executed, time_ms=header.time_ms + 1_000_000)
    proposal = Proposal(forged.epoch, height + 1, height, header_hash(forged))
    statement = statement_bytes(VoteKind.FINALIZE, forged.epoch, height + 1, proposal)
    signature = key.sign(Context.FINALIZE, there.driver.node.body.network_id, statement)
    certificate = Certificate(int(VoteKind.FINALIZE), forged.epoch, height + 1, proposal, b"\x01", (signature,))
    return SnapshotOffer(height, (encode(forged),), certificate, 1)


def test_what_keys_of_an_ended_epoch_sign_above_its_end_is_refused() -> None:
    """C-23: who knows how an epoch ended believes nothing of it above, however well it is signed."""
    there = history()
    early = there.all_offers()[0]
    assert read_offer(early).tip.epoch == 1
    stranger = EpochChain.of(there.driver.genesis)
    forged = forged_offer(there, FIRST, early, 1_000)
    assert verify_offer(stranger, forged).height == 1_000, "nothing tells a stranger that the epoch has ended"
    known = chain_of(there)
    assert known.epoch == 3
    assert verify_offer(known, early).height == early.height, "what was final before it ended stays so"
    second = forged_offer(there, SECOND, there.snapshots.offers()[0], 1_000)
    for offer in (forged, second):
        with pytest.raises(ProofRefused, match="which ended at height") as refused:
            verify_offer(known, offer)
        assert refused.value.code == PROOF_WRONG_VALIDATORS
    with pytest.raises(ProofRefused, match="is bad"):
        verify_offer(known, forged_offer(there, SECOND, there.snapshots.offers()[1], 1_000))
    third = forged_offer(there, THIRD, there.snapshots.offers()[1], 1_000)
    assert verify_offer(known, third).height == 1_000, "the last set can sign on: an operator's pin is no help either"


def test_an_offer_by_retired_keys_does_not_come_before_an_honest_one_however_high_it_is() -> None:
    """C-23: one peer that knows of a later epoch is enough."""
    there = history()
    forged = forged_offer(there, FIRST, there.all_offers()[0], 1_000)
    world = World(there, {LIAR: only(there, forged), HONEST: there.answer})
    world.connect([LIAR, HONEST])
    assert world.joining.offer == there.snapshots.offers()[-1], "it is looked at first"
    world.run()
    assert world.joining.complete, world.joining.status
    finish(world)


def test_a_joiner_that_has_followed_the_epochs_blames_who_then_offers_what_retired_keys_signed() -> None:
    there = history()
    forged = forged_offer(there, FIRST, there.all_offers()[0], 1_000)
    world = World(there, {HONEST: there.answer, LIAR: only(there, forged)})
    world.connect([HONEST])
    world.steps_max = 10
    world.run(3_000)
    assert world.joining.epochs.epoch == 3
    staged = {key: data for key, data in world.disk.items() if key.startswith(b"e")}
    later = World(there, {LIAR: only(there, forged), HONEST: there.answer}, type(world.disk)(staged))
    later.connect([LIAR])
    later.run(5_000)
    assert "which ended at height" in later.charged()[LIAR]
    later.connect([HONEST])
    later.run()
    assert later.joining.complete
    finish(later)


# -- Where an epoch ends between ------------------------------------------------------------------------


def test_no_snapshot_is_offered_over_the_end_of_an_epoch_and_one_that_is_made_up_is_refused() -> None:
    """Decision 0015: the state at its height alone would not say who votes then."""
    there = history()
    known, tables = chain_of(there), there.driver.tables
    ends = [closing.height for closing in closings(tables)]
    offers = there.all_offers()
    assert len({read_offer(offer).tip.epoch for offer in offers}) == 3
    for offer in offers:
        offered = verify_offer(known, offer)
        assert not any(offered.height < end <= offered.tip.height for end in ends)
    headers = [decode(Header, decode(Block, data).header) for data in there.driver.blocks]
    across = next(h for h in headers if any(h.executed.height < end < h.height for end in ends))
    block = decode(Block, there.driver.blocks[across.height - 1])
    assert block.finalization is not None
    made_up = SnapshotOffer(across.executed.height, (block.header,), decode(Certificate, block.finalization), 1)
    world = World(there, {LIAR: only(there, made_up)})
    world.connect()
    world.run(20_000)
    assert not world.joining.complete
    assert any("an epoch ends between" in words for words in world.charged().values()), world.charged()
    closing = decode(Block, there.driver.blocks[ends[0] - 1])
    assert closing.finalization is not None
    header = decode(Header, closing.header)
    at_the_end = SnapshotOffer(header.executed.height, (closing.header,), decode(Certificate, closing.finalization), 1)
    with pytest.raises(ProofRefused) as refused:
        verify_offer(EpochChain.of(there.driver.genesis), at_the_end)
    assert refused.value.code == PROOF_BAD_CHAIN


def test_a_pin_in_the_chain_of_epochs_is_asked_for_and_another_is_refused() -> None:
    """C-23."""
    there = history()
    pins = [(closing.height, closing.hash) for closing in closings(there.driver.tables)]
    for pinned in pins:
        world = World(there, {HONEST: there.answer}, pinned=pinned)
        world.connect()
        world.run()
        assert world.joining.complete, world.joining.status
    world = World(there, {HONEST: there.answer}, pinned=(pins[0][0], bytes(32)))
    world.connect()
    world.run(10_000)
    assert isinstance(world.joining, Joining)
    assert world.joining.offer is None
    assert "no ended epoch was closed by header" in world.charged()[HONEST]
