"""A joiner gets what execution needs, proves it, and tells liars from others (snapshot sync, L-7, L-20 to L-22)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.codec import decode, encode, kind_of
from protocol.crypto.log import peaks
from protocol.errors import PROOF_WRONG_PIN, BrokenInvariant, Malformed
from protocol.ledger.closings import Closing
from protocol.ledger.execution import execute_block
from protocol.ledger.index import log_getter, log_key, read_base, read_head, read_roots, seen_of
from protocol.ledger.memory import MemoryTables
from protocol.ledger.records import Block, Header
from protocol.ledger.tables import NAMES, Table
from protocol.node import interface as node_io
from protocol.node.joining import (
    GONE_INTERVALS,
    OFFERS_INTERVALS,
    PATIENCE_INTERVALS,
    SILENCE_INTERVALS,
    Forget,
    JoiningEffect,
    JoiningInput,
)
from protocol.proofs.finality import ProofRefused
from protocol.snapshot.offers import EpochChain, check_pin, read_offer, verify_offer
from protocol.snapshot.pieces import MemoryHeap, piece_at, read_pairs
from protocol.snapshot.pieces import cut as pieces_cut
from protocol.sync import end_of_answer
from protocol.wire import messages, snapshot
from tests.snapshot.liars import LIES, flipped, liar
from tests.snapshot.world import Disk, History, Speaker, World, history


def rows(tables: MemoryTables, table: Table) -> dict[bytes, bytes]:
    return dict(tables.scan(table, b"", limit=10**6))


def execute_on(world: World, tables: MemoryTables, up_to: int) -> None:
    """Execute the network's blocks above the tables."""
    services = world.history.driver.services
    for height in range(read_head(tables).executed.height + 1, up_to + 1):
        block = decode(Block, world.history.driver.blocks[height - 1])
        header = decode(Header, block.header)
        done = execute_block(
            services.network_id, services.genesis.parameters, services.rules, tables, header, block.batches
        )
        tables.apply(done.writes)


def check_installed(world: World) -> None:
    """What was installed executes the network's blocks to the network's results, and remembers what it does."""
    there: History = world.history
    tables, blocks = world.install()
    base = read_base(tables)
    assert base is not None
    assert base.first_height > 1, "the test is about a node without the beginning"
    first = decode(Header, decode(Block, blocks[0]).header)
    assert first.height == base.first_height
    tip = decode(Header, decode(Block, blocks[-1]).header)
    for height, data in enumerate(blocks, first.height):
        mine, theirs = decode(Block, data), decode(Block, there.driver.blocks[height - 1])
        assert (mine.header, mine.batches) == (theirs.header, theirs.batches)
    assert decode(Block, blocks[-1]).finalization is not None
    last = len(there.driver.blocks)
    assert tip.height <= last
    execute_on(world, tables, last)
    full = there.driver.tables
    assert read_roots(tables, last) == read_roots(full, last)
    assert rows(tables, Table.PLACE), "the test is about records that are only ever added, too"
    for table in (Table.STATE, Table.TRIE, Table.PLACE, Table.ALSO):
        assert rows(tables, table) == rows(full, table)
    now = read_head(full).time_ms
    mine_alive, alive = (
        {row for row in rows(each, Table.SEEN) if seen_of(NAMES[Table.SEEN].split(row)[1]).holds(now)}
        for each in (tables, full)
    )
    assert alive, "the test is about envelopes that are still remembered"
    assert mine_alive == alive
    for table in (Table.RECEIPT, Table.TRANSACTION, Table.HISTORY, Table.LOG):
        mine_rows, all_rows = rows(tables, table), rows(full, table)
        assert mine_rows
        if table is Table.LOG:  # what lies below has no receipts here to make it of
            for place in peaks(base.first_log_index):
                assert mine_rows.pop(log_key(*place)) == log_getter(full)(*place)
        assert mine_rows.items() <= all_rows.items()


def test_a_joiner_of_one_honest_peer_has_what_execution_needs() -> None:
    world = World(history(), {b"a" * 32: history().answer})
    world.connect()
    world.run()
    assert world.joining.complete
    assert world.charged() == {}
    check_installed(world)


HONEST, OTHER, LIAR = b"a" * 32, b"b" * 32, b"c" * 32


@pytest.mark.parametrize("name", LIES)
def test_every_lie_is_found_out_and_blamed_on_who_told_it(name: str) -> None:
    """L-31: the liar is known by its first lie and is asked no more; what was kept before is true, and goes on."""
    kind, lie, words = LIES[name]
    there = history()
    world = World(there, {LIAR: liar(there, kind, lie)})
    world.connect()
    world.run(10_000)
    assert world.joining.status.stage != "complete"
    charged = world.charged()
    assert set(charged) == {LIAR}, charged
    assert words in charged[LIAR], charged
    assert any(isinstance(effect, node_io.Disconnect) and effect.peer == LIAR for effect in world.effects)
    world.peers |= {HONEST: there.answer, OTHER: there.answer}
    world.connect()
    world.run()
    assert LIAR not in world.joining.peers, "it is not let in again"
    assert world.joining.complete, world.joining.status
    assert set(world.charged()) == {LIAR}, "nobody else is blamed"
    check_installed(world)


def test_among_honest_peers_liars_are_found_out_and_the_joiner_goes_on() -> None:
    there = history()
    kind, lie, _ = LIES["a value that is not the state's"]
    liars = {bytes([100 + index]) * 32: liar(there, kind, lie) for index in range(3)}
    world = World(there, {**liars, HONEST: there.answer, OTHER: there.answer})
    world.connect()
    world.run()
    assert world.joining.complete, world.joining.status
    assert set(world.charged()) == set(liars)
    check_installed(world)


@pytest.mark.parametrize("every", [8, 11, 25])
def test_a_joiner_that_is_killed_goes_on_with_what_it_lacks(every: int) -> None:
    there = history()
    world = World(there, {HONEST: there.answer, OTHER: there.answer})
    rounds = 0
    while not world.joining.complete:
        rounds += 1
        assert rounds < 300, world.joining.status
        kept = dict(world.disk)
        world.joining = world.make()  # a new process over the same disk
        world.steps_max = every
        world.connect()
        world.run(5_000)
        assert kept.items() <= world.disk.items(), "what was kept stays"
    assert rounds > 2, "it was killed on the way"
    world.steps_max = None
    again = world.make()
    assert again.complete, "a joiner over a complete disk lacks nothing"
    check_installed(world)


def test_peers_that_are_silent_or_have_nothing_are_left_for_others() -> None:
    there = history()

    def silent(question: bytes) -> list[bytes]:
        return there.answer(question) if isinstance(messages.read(question), snapshot.SnapshotsWanted) else []

    def without(question: bytes) -> list[bytes]:
        asked = messages.read(question)
        if isinstance(asked, snapshot.PiecesWanted):
            return [encode(snapshot.PiecesFound(asked.height, ()))]
        if isinstance(asked, snapshot.ReceiptsWanted):
            return [encode(snapshot.ReceiptsFound(asked.first, asked.size, (), ()))]
        if isinstance(asked, snapshot.HeadersBelowWanted):
            return [encode(snapshot.HeadersBelow(asked.height, ()))]
        if isinstance(asked, messages.BlocksWanted):
            return [end_of_answer(asked.first_height)]
        return there.answer(question)

    world = World(there, {LIAR: silent, OTHER: without, HONEST: there.answer})
    world.connect()
    world.run(200_000)
    assert world.joining.complete
    assert world.charged() == {}, "who is slow or has nothing is not blamed"
    check_installed(world)


def test_a_peer_that_leaves_is_replaced() -> None:
    there = history()
    world = World(there, {HONEST: there.answer, OTHER: there.answer})
    world.steps_max = 12
    world.connect([HONEST])
    world.run()
    assert world.joining.status.stage != "complete"
    world.steps_max = None
    world.step(node_io.PeerDown(HONEST))
    world.connect([OTHER])
    world.run()
    assert world.joining.complete
    assert world.answered[OTHER] > 0
    check_installed(world)


def test_work_is_shared_by_all_who_have_the_snapshot() -> None:
    there = history()
    names = [bytes([65 + index]) * 32 for index in range(4)]
    world = World(there, dict.fromkeys(names, there.answer))
    world.connect()
    world.run()
    assert all(world.answered[name] > 1 for name in names), world.answered


def test_a_snapshot_that_nobody_has_any_more_is_given_up_for_a_newer_one() -> None:
    there = history()
    offers = there.snapshots.offers()
    assert len(offers) == 2
    old, new = offers
    world = World(there, {HONEST: offering(there, old), OTHER: offering(there, new)})
    world.steps_max = 30
    world.connect([HONEST])
    world.run()
    assert world.joining.offer == old
    world.steps_max = None
    world.step(node_io.PeerDown(HONEST))
    world.connect([OTHER])
    world.run(120_000)
    assert world.joining.complete
    assert world.joining.offer == new
    assert any(isinstance(effect, Forget) for effect in world.effects)
    check_installed(world)


@pytest.mark.parametrize(
    ("silent", "intervals"),
    [
        pytest.param(False, GONE_INTERVALS + 2 * OFFERS_INTERVALS, id="they say so"),
        pytest.param(True, SILENCE_INTERVALS + GONE_INTERVALS + 4 * OFFERS_INTERVALS, id="they say nothing"),
    ],
)
def test_a_snapshot_that_all_have_dropped_for_a_newer_one_is_not_waited_for(silent: bool, intervals: int) -> None:
    """They are connected and say so, or are asked anew; who is away may come back with it, and is waited for longer."""
    there = history()
    old, new = there.snapshots.offers()
    asked_for_old = 0

    def speak(question: bytes) -> list[bytes]:
        nonlocal asked_for_old
        asked = messages.read(question)
        if isinstance(asked, snapshot.SnapshotsWanted):
            return [encode(new if asked_for_old else old)]
        if isinstance(asked, snapshot.PiecesWanted) and asked.height == old.height:
            asked_for_old += 1
            if asked_for_old > 1:
                return [] if silent else [encode(snapshot.PiecesFound(asked.height, ()))]
        return there.answer(question)

    world = World(there, {HONEST: speak, OTHER: speak})
    world.connect()
    assert asked_for_old == 3, "one got pieces, and then nobody did"
    assert world.joining.offer == old
    interval_ms = there.driver.genesis.parameters.retry_interval_ms
    world.run(intervals * interval_ms)
    assert world.joining.complete, world.joining.status
    assert world.joining.offer == new
    assert not world.charged()
    assert intervals < PATIENCE_INTERVALS
    check_installed(world)


def test_a_source_that_comes_back_may_take_its_time_to_say_what_it_has() -> None:
    """It makes its newest offer first, and time passes before the one that is wanted: nothing is forgotten."""
    there = history()
    old, new = there.snapshots.offers()
    world = World(there, {HONEST: offering(there, old)})
    world.steps_max = 30
    world.connect()
    world.run()
    assert world.joining.offer == old
    assert world.joining.status.stage != "complete"
    interval_ms = there.driver.genesis.parameters.retry_interval_ms
    world.steps_max = None
    world.peers[HONEST] = lambda _question: []
    world.run((GONE_INTERVALS + 3) * interval_ms)
    world.step(node_io.Received(HONEST, encode(new)))
    world.step(node_io.Tick())
    world.step(node_io.Received(HONEST, encode(old)))
    world.peers[HONEST] = offering(there, old)
    world.run(60 * interval_ms)
    assert world.joining.complete, world.joining.status
    assert world.joining.offer == old
    assert not any(isinstance(effect, Forget) for effect in world.effects)


def test_a_peer_whose_offer_is_looked_at_and_that_then_has_none_is_relied_on_in_vain() -> None:
    """So that it does not come first again: it did not even say that its epochs are not to be had."""
    there = history()
    (offer, *_) = there.snapshots.offers()
    later = replace(offer, chain=tuple(encode(replace(decode(Header, data), epoch=2)) for data in offer.chain[:1]))

    def speak(question: bytes) -> list[bytes]:
        asked = isinstance(messages.read(question), snapshot.SnapshotsWanted)
        return [encode(snapshot.SnapshotOffer(0, (), None, 0))] if asked else []

    world = World(there, {LIAR: speak})
    world.connect()
    world.step(node_io.Received(LIAR, encode(later)))
    interval_ms = there.driver.genesis.parameters.retry_interval_ms
    world.run((SILENCE_INTERVALS - 1) * interval_ms)
    assert world.joining.peers.failures == {LIAR: 1}


def test_of_the_snapshots_of_those_who_answer_at_once_the_newest_is_taken() -> None:
    """A joiner looks as soon as all have said something: what they say first is the one that lasts longest."""
    there = history()
    world = World(there, {HONEST: there.answer, OTHER: there.answer})
    world.connect()
    assert world.joining.offer == there.snapshots.offers()[-1]


@pytest.mark.parametrize("peers", [1, 3])
def test_no_peer_is_asked_anything_before_it_has_answered(peers: int) -> None:
    """L-31: a node answers one question at a time of each peer and passes over others: they would be waited for."""
    there = history()
    world = World(there, {bytes([65 + index]) * 32: there.answer for index in range(peers)})
    step, open_questions, asked = world.joining.step, set[bytes](), 0

    def looked(given: JoiningInput, now: node_io.Now) -> list[JoiningEffect]:
        nonlocal asked
        if isinstance(given, node_io.Received):
            open_questions.discard(given.peer)
        effects = step(given, now)
        for effect in effects:
            if isinstance(effect, node_io.Send) and isinstance(messages.read(effect.data), snapshot.QUESTIONS):
                assert effect.to[0] not in open_questions
                open_questions.add(effect.to[0])
                asked += 1
        return effects

    world.joining.step = looked  # type: ignore[method-assign]
    world.connect()
    world.run()
    assert world.joining.complete
    assert asked > 2 * peers, "each is asked more than once"
    check_installed(world)


def offering(there: History, *served: snapshot.SnapshotOffer, silent_on: tuple[type, ...] = ()) -> Speaker:
    """A peer that offers these, and says nothing to some questions."""

    def speak(question: bytes) -> list[bytes]:
        asked = messages.read(question)
        if isinstance(asked, snapshot.SnapshotsWanted):
            return [encode(offer) for offer in served]
        return [] if isinstance(asked, silent_on) else there.answer(question)

    return speak


EVERYTHING = (snapshot.HeadersBelowWanted, snapshot.PiecesWanted, snapshot.ReceiptsWanted, messages.BlocksWanted)


@pytest.mark.parametrize("silent_on", [EVERYTHING, EVERYTHING[1:2]], ids=["to everything", "about the state"])
def test_a_true_offer_of_a_peer_that_then_is_silent_is_given_up_for_one_that_is_served(
    silent_on: tuple[type, ...],
) -> None:
    """The liar stays connected, its header is final and nobody else has that height."""
    there = history()
    old, new = there.snapshots.offers()
    world = World(there, {LIAR: offering(there, new, silent_on=silent_on), HONEST: offering(there, old)})
    world.connect()
    world.run(5_000)
    assert world.joining.offer == new, "it is the higher one"
    world.run(200_000)
    assert world.joining.complete, world.joining.status
    assert world.joining.offer == old
    assert world.charged() == {}, "silence proves nothing"
    assert sum(isinstance(effect, Forget) for effect in world.effects) == 1
    check_installed(world)


def test_a_peer_that_was_relied_on_in_vain_is_not_preferred_when_it_comes_again() -> None:
    there = history()
    old, new = there.snapshots.offers()
    world = World(there, {LIAR: offering(there, new, silent_on=EVERYTHING), HONEST: offering(there, old)})
    world.connect([LIAR])
    while not any(isinstance(effect, Forget) for effect in world.effects):
        world.run(500)
        assert world.clock_ms < 200_000
    world.step(node_io.PeerDown(LIAR))
    world.step(node_io.PeerUp(LIAR))
    world.connect([HONEST])
    world.run(200_000)
    assert world.joining.complete
    assert world.joining.offer == old
    check_installed(world)


def test_an_offer_of_several_peers_goes_before_a_higher_one_of_a_single_peer() -> None:
    there = history()
    old, new = there.snapshots.offers()
    honest = offering(there, old)
    world = World(there, {LIAR: offering(there, new, silent_on=EVERYTHING), HONEST: honest, OTHER: honest})
    for peer in world.peers:
        world.joining.step(node_io.PeerUp(peer), world.now)
    for peer, offer in ((HONEST, old), (LIAR, new), (OTHER, old)):
        world.step(node_io.Received(peer, encode(offer)))
    world.run(20_000)
    assert world.joining.complete
    assert world.joining.offer == old
    check_installed(world)


def test_a_peer_that_could_not_say_how_epochs_ended_ranks_behind_others() -> None:
    there = history()
    old, new = there.snapshots.offers()
    header = decode(Header, new.chain[0])
    epochs_asked = 0

    def of_a_later_epoch(question: bytes) -> list[bytes]:
        nonlocal epochs_asked
        asked = messages.read(question)
        epochs_asked += isinstance(asked, snapshot.EpochsWanted)
        if not isinstance(asked, snapshot.SnapshotsWanted):
            return []
        return [encode(replace(new, chain=(encode(replace(header, epoch=header.epoch + 1)),)))]

    third = b"d" * 32
    world = World(
        there, {LIAR: of_a_later_epoch, third: of_a_later_epoch, HONEST: offering(there, old, silent_on=EVERYTHING)}
    )
    world.connect([LIAR])
    world.run(15_000)
    assert epochs_asked == 1
    world.step(node_io.PeerDown(LIAR))
    world.connect([third])
    assert epochs_asked == 2, "it is looked at, and the others' offers come meanwhile"
    world.connect([LIAR, HONEST])
    world.run(15_000)
    assert world.joining.offer == old
    assert epochs_asked == 2
    assert world.charged() == {}


def test_an_offer_from_below_the_pinned_header_is_refused_and_its_peer_is_not_blamed() -> None:
    """C-23: validators of before could sign another history."""
    there = history()
    new = there.snapshots.offers()[-1]
    tip = read_offer(new).tip
    world = World(there, {HONEST: there.answer}, pinned=(tip.height, bytes(32)))
    world.connect()
    world.run(3_000)
    world.step(node_io.Received(HONEST, encode(messages.Keepalive(1, 0, 3, 3, b"\0", True))))
    assert world.joining.offer is None
    assert world.joining.nobody_has_one, "blocks can be fetched, and are compared with the pinned header"
    assert world.charged() == {}
    for pinned in ((tip.height, bytes(32)), (new.height + 1, bytes(32)), (new.height + 1_000, bytes(32))):
        with pytest.raises(ProofRefused, match="from before the pinned header") as refused:
            verify_offer(world.joining.epochs, new, pinned)
        assert refused.value.code == PROOF_WRONG_PIN


def test_the_chain_has_the_pinned_header_itself() -> None:
    first = EpochChain.of(history().driver.genesis)
    ended = [Closing(epoch, 50 * epoch, bytes([epoch]) * 32, first.validators) for epoch in (1, 2)]
    epochs = replace(first, epoch=3, height=100, closings=ended)
    for pinned in (None, (50, b"\x01" * 32), (100, b"\x02" * 32)):
        check_pin(epochs, pinned)
    for wrong in ((50, b"\x02" * 32), (99, b"\x02" * 32), (101, b"\x02" * 32)):
        with pytest.raises(ProofRefused) as refused:
            check_pin(epochs, wrong)
        assert refused.value.code == PROOF_WRONG_PIN


def test_a_finer_cut_that_a_peer_told_is_answered_by_those_that_have_the_coarser_one() -> None:
    """A branch where others have pairs proves itself; whoever told it need not answer for what is below."""
    there = history()
    offer = there.snapshots.offers()[-1]
    cut = there.snapshots.made[offer.height][1]
    pairs = [pair for prefix, data in cut.items() if kind_of(data) == 91 for pair in read_pairs(prefix, data)]
    finer: dict[bytes, bytes] = {}
    heap = MemoryHeap((pair.key, pair.value) for pair in pairs)
    assert pieces_cut(heap, finer.__setitem__, piece_pairs=1) == read_offer(offer).executed.state_root
    lies = {prefix: finer[prefix] for prefix, data in cut.items() if finer[prefix] != data}
    assert len(lies) > 3
    assert all(kind_of(data) == 90 for data in lies.values())

    def speak(question: bytes) -> list[bytes]:
        asked = messages.read(question)
        if not isinstance(asked, snapshot.PiecesWanted):
            return there.answer(question)
        known = [prefix for prefix in asked.prefixes if prefix in cut]
        found = tuple(snapshot.FoundPiece(prefix, lies.get(prefix, cut[prefix])) for prefix in known)
        return [encode(snapshot.PiecesFound(asked.height, found))] if len(known) == len(asked.prefixes) else []

    world = World(there, {LIAR: speak, HONEST: there.answer})
    world.connect([LIAR])
    world.run(20_000)
    assert world.joining.status.stage != "complete"
    assert any(world.disk.get(b"p" + prefix) == data for prefix, data in lies.items())
    world.step(node_io.PeerDown(LIAR))
    world.connect([HONEST])
    world.run(20_000)
    assert world.joining.complete, world.joining.status
    assert world.charged() == {}
    assert not any(isinstance(effect, Forget) for effect in world.effects)
    check_installed(world)


def test_nothing_is_answered_for_a_prefix_where_nothing_stands() -> None:
    offer = history().snapshots.offers()[-1]
    cut = history().snapshots.made[offer.height][1]
    asked = [prefix + bytes([nibble]) for prefix in cut for nibble in range(16)]
    answers = {prefix: piece_at(cut.get, prefix) for prefix in asked}
    assert {prefix for prefix in asked if answers[prefix] is None}
    for prefix, data in answers.items():
        if data is not None and prefix not in cut:
            assert read_pairs(prefix, data)


def test_a_network_without_snapshots_says_so() -> None:
    there = history()
    nothing = encode(snapshot.SnapshotOffer(0, (), None, 0))
    world = World(there, {HONEST: lambda _question: [nothing]})
    world.connect()
    assert world.joining.status.stage == "offers", "offers may still come"
    world.run(5_000)
    assert not world.joining.nobody_has_one, "who only joins too may know others"
    world.step(node_io.Received(HONEST, encode(messages.Keepalive(1, 0, 3, 3, b"\0", True))))
    assert world.joining.nobody_has_one


def test_joiners_of_a_new_network_begin_it() -> None:
    """Without this all would wait for each other's snapshots for ever."""
    there = history()
    other = World(there, {})
    asked = encode(snapshot.SnapshotsWanted(0))

    def speak(question: bytes) -> list[bytes]:
        other.joining.step(node_io.PeerUp(OTHER), other.now)
        said = other.joining.step(node_io.Received(OTHER, question), other.now)
        return [effect.data for effect in said if isinstance(effect, node_io.Send)]

    world = World(there, {HONEST: speak})
    assert speak(asked)
    world.connect()
    world.run(10_000)
    assert world.joining.status.stage == "offers"
    world.run(11_000)
    assert world.joining.nobody_has_one
    assert world.charged() == {}


def test_damage_to_what_is_staged_is_found_when_it_is_installed() -> None:
    there = history()
    world = World(there, {HONEST: there.answer})
    world.connect()
    world.run()
    for prefix in (b"p", b"b", b"r"):
        for key in [key for key in world.disk if key.startswith(prefix)][:3]:
            damaged = World(there, {}, Disk(world.disk))
            damaged.disk[key] = flipped(damaged.disk[key], len(damaged.disk[key]) // 2)
            with pytest.raises((Malformed, BrokenInvariant)):
                damaged.install()
