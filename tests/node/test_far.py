"""Far behind, far ahead, and lied to: what a node needs is not forgotten, and what a peer says is not believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.codec import decode, encode
from protocol.errors import NOT_VALIDATOR
from protocol.ledger.records import Block, Executed, Header, header_hash
from protocol.node import data, envelopes
from protocol.node import interface as node_io
from protocol.node.chain import HEADERS_MAX
from protocol.sync import end_of_answer, parts_of
from protocol.wire import messages as wire
from tests.ledger.world import key
from tests.node.driver import Driver, alone, one_of_four
from tests.node.test_node import envelope, submit

PEER = key(200).public
FAR = HEADERS_MAX + 40


@pytest.fixture(scope="module")
def history() -> Driver:
    """More final blocks than a node keeps headers for."""
    driver = alone()
    submit(driver, envelope(driver, 1))
    driver.run(FAR * (driver.genesis.parameters.idle_interval_ms + 50))
    assert len(driver.blocks) > FAR
    return driver


class Away(Driver):
    """An observer that was away, and the peer that it asks."""

    def serve(self, blocks: list[bytes]) -> int:
        """Answer every question for blocks that stands unanswered; returns how many there were."""
        asked = 0
        while self.lists:
            for effect in self.lists.pop(0):
                message = wire.read(effect.data) if isinstance(effect, node_io.Send) else None
                if isinstance(message, wire.BlocksWanted):
                    asked += 1
                    last = min(len(blocks), message.first_height + message.count - 1)
                    for height in range(message.first_height, last + 1):
                        for part in parts_of(height, blocks[height - 1]):
                            self.step(node_io.Received(PEER, part))
                    self.step(node_io.Received(PEER, end_of_answer(last + 1)))
        return asked


def away(history: Driver, cls: type[Away] = Away) -> Away:
    """A fresh observer that has just heard how far its peer is."""
    driver = cls(history.genesis, observer=True)
    driver.start()
    driver.step(node_io.PeerUp(PEER))
    count = len(history.blocks)
    driver.step(node_io.Received(PEER, encode(wire.Keepalive(10**6, count, count, count, b"\0", True))))
    return driver


def test_a_long_tail_of_unsynced_segments_comes_back_from_the_journal(history: Driver) -> None:
    """L-24: however many blocks a power cut took from the segments."""
    again = Driver(history.genesis)
    again.journal, again.results = list(history.journal), list(history.results)
    again.tables, again.clock_ms = history.tables, history.clock_ms
    again.restart(blocks=0)
    assert again.node.status().final_height >= len(history.blocks)


@pytest.mark.parametrize("told_first", [False, True])
def test_block_sync_covers_any_distance(history: Driver, told_first: bool) -> None:
    """Range by range, each with its own finalization; also when the newest finalization came first (C-12)."""
    driver = away(history)
    if told_first:
        newest = decode(Block, history.blocks[-1]).finalization
        assert newest is not None
        driver.step(node_io.Received(PEER, newest))
    assert driver.serve(history.blocks) <= len(history.blocks) // 200 + 2
    assert driver.node.status().final_height == len(history.blocks)
    assert driver.node.status().state_root == history.node.status().state_root
    assert driver.node.body.sync.waiting_bytes == 0
    assert not driver.notes("peer_charged")


def test_made_up_blocks_end_the_session_and_are_charged() -> None:
    """L-31: a peer that lies about its height and sends headers without end holds nobody."""
    driver = one_of_four()
    liar = key(999).public
    driver.step(node_io.PeerUp(liar))
    driver.step(node_io.Received(liar, encode(wire.Keepalive(1, 0, 10**9, 0, b"\0", True))))
    body = driver.node.body
    assert body.sync.peer == liar
    parent, made = body.chain.final.hash, Executed(0, b"x" * 32, 0, b"y" * 32)
    for height in range(1, 1200):
        header = Header(1, 1, height, parent, 10**6 + height, b"z" * 32, (), made, b"v" * 32, b"v" * 32)
        parent = header_hash(header)
        driver.step(node_io.Received(liar, encode(wire.BlockPart(height, 0, 1, encode(header), b"", ()))))
    assert driver.node.body.sync.peer is None
    assert not body.sync.usable(liar, driver.clock_ms)
    assert driver.notes("peer_charged")
    assert not body.chain.known, "nothing of it is believed"
    assert driver.node.live_records()


class Slow(Away):
    """Blocks are executed when the test says so."""

    def carry(self, effects: list[node_io.Effect]) -> None:
        super().carry([effect for effect in effects if not isinstance(effect, node_io.Execute)])


def test_consensus_is_told_what_the_newest_execution_took(history: Driver) -> None:
    """C-15: since the block was appended here."""
    driver = away(history, Slow)
    driver.serve(history.blocks[:20])
    appended_ms = {executing.height: executing.since_ms for executing in driver.node.body.chain.executing}
    assert list(appended_ms)[:3] == [1, 2, 3]
    for height, pause_ms in ((1, 30), (2, 40), (3, 0)):
        driver.clock_ms += pause_ms
        driver.step(node_io.BlockExecuted(history.results[height], ()))
        assert driver.node.body.machine.core.execution_ms == driver.clock_ms - appended_ms[height] >= 30


def test_a_result_that_comes_after_the_header_that_names_it_is_compared(history: Driver) -> None:
    """L-22: also while catching up."""
    driver = away(history, Slow)
    driver.serve(history.blocks[:20])
    named = decode(Header, decode(Block, history.blocks[10]).header).executed.height
    for height in range(1, named):
        driver.step(node_io.BlockExecuted(history.results[height], ()))
    assert not driver.all(node_io.Halt)
    driver.lists.clear()
    driver.step(node_io.BlockExecuted(replace(history.results[named], state_root=b"x" * 32), ()))
    (halt,) = driver.all(node_io.Halt)
    assert "state" in halt.words


def test_what_is_held_back_does_not_make_the_node_spin() -> None:
    """L-11: an envelope that stands in another author's batch waits, and the clock goes on."""
    other = one_of_four(1)
    data = envelope(other, 1)
    other.step(node_io.PeerUp(key(200).public))
    submit(other, data)
    other.run(20)
    (batch,) = [record.data for record in other.journal if record.kind == node_io.JournalKind.BATCH]
    driver = one_of_four(0)
    driver.step(node_io.PeerUp(key(201).public))
    driver.step(node_io.Received(key(201).public, batch))
    submit(driver, data)
    driver.run(5)
    before = len(driver.lists)
    driver.run(driver.genesis.parameters.relay_delay_ms // 2)
    assert len(driver.lists) - before < 40


def test_an_amnesiac_passes_its_clients_envelopes_on() -> None:
    """L-16, C-24: it seals nothing itself."""
    driver = one_of_four()
    driver.restart(journal=False, amnesiac=True)
    driver.step(node_io.PeerUp(key(201).public))
    (result,) = submit(driver, envelope(driver, 1))
    assert isinstance(result, node_io.Admitted)
    sent = [wire.read(send.data) for send in driver.all(node_io.Send)]
    assert any(isinstance(message, wire.EnvelopesRelayed) for message in sent)


def test_what_waits_when_a_node_seals_no_more_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-16: it was taken in by a validator, which was removed before it made a batch of it."""
    driver = one_of_four()
    driver.step(node_io.PeerUp(key(201).public))
    (result,) = submit(driver, envelope(driver, 1))
    assert isinstance(result, node_io.Admitted)
    assert not driver.node.body.relays
    for module, name in ((envelopes, "authors"), (data, "may_seal")):
        monkeypatch.setattr(module, name, lambda _body: False)
    driver.run(1_000)
    sent = [wire.read(send.data) for send in driver.all(node_io.Send)]
    relayed = [message for message in sent if isinstance(message, wire.EnvelopesRelayed)]
    assert relayed, "and again while it is not final"
    assert list(driver.node.body.relays) == [result.transaction]


def test_who_reaches_validators_through_an_observer_only_passes_envelopes_on_to_it() -> None:
    """L-16: and that one to a validator; where nobody reaches one a client is refused."""
    between, far = key(901).public, Driver(one_of_four().genesis, observer=True)
    far.step(node_io.PeerUp(between))
    data = envelope(far, 1)
    (result,) = submit(far, data)
    assert isinstance(result, node_io.Refusal)
    assert result.code == NOT_VALIDATOR
    far.step(node_io.Received(between, encode(wire.EnvelopesRelayed((data,)))))
    assert not far.all(node_io.CheckEnvelopes), "it could do nothing with it"

    hears = wire.heard_bitmap([1], 4)
    far.step(node_io.Received(between, encode(wire.Keepalive(1, 0, 0, 0, hears, True, 1))))
    (result,) = submit(far, data)
    assert isinstance(result, node_io.Admitted)
    assert passed_on(far) == [((between,), (data,))]

    middle = Driver(far.genesis, observer=True)
    middle.step(node_io.PeerUp(PEER))
    middle.step(node_io.PeerUp(between))
    middle.step(node_io.Received(between, encode(wire.EnvelopesRelayed((data,)))))
    assert passed_on(middle) == [((PEER,), (data,))], "who hears a validator needs nobody else"
    middle.lists.clear()
    middle.step(node_io.Received(between, encode(wire.EnvelopesRelayed((data, data)))))
    assert passed_on(middle) == [], "what waits already is passed on again by its own time (L-16)"


def test_validators_without_a_memory_do_not_pass_envelopes_to_and_fro() -> None:
    """L-16, C-24: each would be a validator to the other."""
    driver = one_of_four()
    driver.restart(journal=False, amnesiac=True)
    driver.step(node_io.PeerUp(key(201).public))
    data = envelope(driver, 1)
    driver.step(node_io.Received(key(201).public, encode(wire.EnvelopesRelayed((data,)))))
    assert not driver.all(node_io.CheckEnvelopes)


def passed_on(driver: Driver) -> list[tuple[tuple[bytes, ...], tuple[bytes, ...]]]:
    """To whom which envelopes went."""
    sent = [(send.to, wire.read(send.data)) for send in driver.all(node_io.Send)]
    return [(to, message.envelopes) for to, message in sent if isinstance(message, wire.EnvelopesRelayed)]
