"""A running node finds damage, never serves it, and gets the blocks again from its peers (L-25)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from daemon import limits
from daemon.store.directory import open_directory
from daemon.store.errors import SegmentDamaged
from daemon.store.files import OsFiles
from daemon.store.journal import Journal
from daemon.store.segments import Segments
from protocol.codec import decode, encode
from protocol.ledger.genesis import network_id
from protocol.node.interface import JournalKind, Priority
from protocol.node.records import VoteFloor
from protocol.wire import messages as wire
from tests.runtime.nodes import JOURNAL_ID, Life, Place, Port, Switch, genesis_of


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing rests for hours, or for seconds."""
    monkeypatch.setattr(limits, "SCRUB_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(limits, "SCRUB_BYTES_PER_SECOND", 1 << 40)
    monkeypatch.setattr(limits, "MEND_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(limits, "MEND_RETRY_SECONDS", 0.3)


async def made(tmp_path: Path, count: int = 6) -> list[Place]:
    """Two nodes that ran together for some blocks, and the blocks are on both disks."""
    genesis, switch = genesis_of(2), Switch()
    places = [Place(tmp_path / f"node{index}", genesis, index) for index in range(2)]
    async with places[0].running(switch) as first, places[1].running(switch) as second:
        for number in range(count):
            (result,) = await first.submit(number, 1)
            await first.service.wait_final(result.transaction, 40)
            await second.service.wait_final(result.transaction, 40)
    return places


def hurt(place: Path, height: int, *, at: int = 60) -> bytes:
    """Flip a bit in a block of the only segment; the good block. A start would read it, so the node runs by then."""
    segments = Segments.open(place / "segments", OsFiles(), network_of(place), writable=False)
    good = segments.read(height)
    active = segments._active
    assert good is not None
    assert active is not None
    offset = active.offsets[height - active.first]
    segments.close()
    path = next((place / "segments").glob("*.seg"))
    content = bytearray(path.read_bytes())
    content[offset + at] ^= 1
    path.write_bytes(content)
    return good


def network_of(place: Path) -> bytes:
    from daemon.store.directory import read_format

    return read_format(place, OsFiles())


def header_of(data: bytes | None) -> bytes:
    from protocol.ledger.records import Block

    assert data is not None
    return decode(Block, data).header


async def until(holds: Callable[[], bool]) -> None:
    """Look now and then, since what is looked at belongs to the product and rings no bell."""
    while not holds():  # noqa: ASYNC110 - see above
        await trio.sleep(0.05)


def charges(life: Life) -> int:
    return sum(count for name, count in life.running.lines.counters.items() if "peer_charged" in name)


async def mended(life: Life, height: int, good: bytes) -> None:
    with trio.fail_after(40):
        await until(lambda: life.running.mender.status.mended > 0)
    assert header_of(life.service.block(height)) == header_of(good)


async def test_a_damaged_block_is_not_served_and_comes_back_from_a_peer(tmp_path: Path) -> None:
    places = await made(tmp_path)
    switch = Switch()
    async with places[1].running(switch) as life:
        good = hurt(places[1].directory, 2)
        with pytest.raises(SegmentDamaged):
            life.service.block(2)
        async with places[0].running(switch):
            await mended(life, 2, good)
            metrics = life.service.metrics()
            assert metrics.counters["blocks_mended"] == 1
            assert metrics.gauges["blocks_damaged"] == 0
            # And it goes on: new blocks behind what was mended.
            (result,) = await life.submit(100, 1)
            await life.service.wait_final(result.transaction, 40)
    assert len(list((places[1].directory / "quarantine").iterdir())) == 1
    store = open_directory(places[1].directory, network_id(places[1].genesis), JOURNAL_ID)
    assert header_of(store.segments.read(2)) == header_of(good)
    assert not store.segments.report.damaged
    store.close()


@pytest.mark.long
async def test_the_scrub_finds_what_nobody_reads(tmp_path: Path) -> None:
    places = await made(tmp_path)
    switch = Switch()
    async with places[0].running(switch), places[1].running(switch) as life:
        good = hurt(places[1].directory, 3)
        await mended(life, 3, good)
        before = life.running.mender.status.passes
        with trio.fail_after(40):
            life.running.mender.request()
            await until(lambda: life.running.mender.status.passes >= before + 2)
        assert life.running.mender.status.blocks > 0


class Liar(Port):
    """A peer whose disk is damaged: every block that it gives is altered by `alter`."""

    def __init__(self, switch: Switch, node_key: bytes, alter: Callable[[wire.BlockPart], wire.BlockPart]) -> None:
        super().__init__(switch, node_key)
        self.alter = alter
        self.lies = 0

    def send(self, peer: bytes, priority: Priority, data: bytes) -> bool:
        message = wire.read(data)
        if isinstance(message, wire.BlockPart) and message.count:
            self.lies += 1
            data = encode(self.alter(message))
        return super().send(peer, priority, data)


def lying(
    monkeypatch: pytest.MonkeyPatch, place: Place, alter: Callable[[wire.BlockPart], wire.BlockPart]
) -> list[Liar]:
    """From here on that node is a liar; the list gets it when it starts."""
    liars: list[Liar] = []

    def port(switch: Switch, node_key: bytes) -> Port:
        if node_key != place.node_key:
            return Port(switch, node_key)
        liars.append(Liar(switch, node_key, alter))
        return liars[0]

    monkeypatch.setattr("tests.runtime.nodes.Port", port)
    return liars


def other_batch(part: wire.BlockPart) -> wire.BlockPart:
    return replace(part, batches=tuple(batch[:-1] + bytes([batch[-1] ^ 1]) for batch in part.batches))


def other_header(part: wire.BlockPart) -> wire.BlockPart:
    return replace(part, header=part.header[:-1] + bytes([part.header[-1] ^ 1]))


def nothing(part: wire.BlockPart) -> wire.BlockPart:
    return replace(part, count=0, header=b"", finalization=b"", batches=())


OTHERS = (other_header, nothing)


@pytest.mark.parametrize("alter", [other_batch, *(pytest.param(one, marks=pytest.mark.long) for one in OTHERS)])
async def test_a_peer_with_damaged_blocks_harms_nobody_that_mends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alter: Callable[[wire.BlockPart], wire.BlockPart]
) -> None:
    """Found out, charged unless it only has nothing, and another is asked."""
    genesis = genesis_of(3)
    places = [Place(tmp_path / f"node{index}", genesis, index) for index in range(3)]
    switch = Switch()
    async with places[0].running(switch) as first, places[1].running(switch), places[2].running(switch) as last:
        for number in range(5):
            (result,) = await first.submit(number, 1)
            await first.service.wait_final(result.transaction, 40)
            await last.service.wait_final(result.transaction, 40)
    height = next(h for h in range(1, 5) if has_batches(places[2].directory, h))
    liars = lying(monkeypatch, places[0], alter)
    switch = Switch()
    async with places[0].running(switch), places[2].running(switch) as life:
        good = hurt(places[2].directory, height)
        with trio.fail_after(40):
            life.running.mender.request()
            await until(lambda: liars[0].lies > 0)
            await trio.sleep(0.3)
        assert life.running.mender.status.mended == 0, "a lie was believed"
        with pytest.raises(SegmentDamaged):
            life.service.block(height)
        if alter is nothing:
            assert charges(life) == 0
        else:
            with trio.fail_after(40):
                await until(lambda: charges(life) > 0)
        async with places[1].running(switch):
            await mended(life, height, good)


def has_batches(place: Path, height: int) -> bool:
    from protocol.ledger.records import Block

    segments = Segments.open(place / "segments", OsFiles(), network_of(place), writable=False)
    data = segments.read(height)
    segments.close()
    return data is not None and bool(decode(Block, data).batches)


@pytest.mark.long
async def test_a_new_node_takes_nothing_of_a_damaged_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A joining node is given altered blocks by the first and the true ones by the second."""
    genesis = genesis_of(3)
    places = [Place(tmp_path / f"node{index}", genesis, index) for index in range(2)]
    joining = Place(tmp_path / "joining", genesis, 2)
    switch = Switch()
    # Three validators need all three: so the third runs once, and then loses its disk.
    old = Place(tmp_path / "old", genesis, 2)
    async with places[0].running(switch) as first, places[1].running(switch) as second, old.running(switch):
        for number in range(4):
            (result,) = await first.submit(number, 1)
            await first.service.wait_final(result.transaction, 40)
            await second.service.wait_final(result.transaction, 40)
        height = second.service.status().executed_height
        root = second.service.status().state_root
    liars = lying(monkeypatch, places[0], other_batch)
    switch = Switch()
    async with places[0].running(switch), joining.running(switch) as life:
        with trio.fail_after(40):
            await until(lambda: liars[0].lies > 0 and charges(life) > 0)
        async with places[1].running(switch):
            with trio.fail_after(50):
                await until(lambda: life.service.status().executed_height >= height)
            if life.service.status().executed_height == height:
                assert life.service.status().state_root == root


async def test_damage_in_what_has_to_be_executed_again_is_a_refusal_with_the_command(tmp_path: Path) -> None:
    """The state is gone and a block below is damaged: nothing can be made of it without another node's block."""
    places = await made(tmp_path, 4)
    hurt(places[1].directory, 2)
    (places[1].directory / "state" / "data.mdb").unlink()

    async def run() -> None:
        async with places[1].running():
            raise AssertionError("it runs")

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert caught.group_contains(SegmentDamaged, match="block 2")


async def test_a_truncated_state_is_begun_anew_and_kept(tmp_path: Path) -> None:
    """L-26; LMDB would die of a bus error at the first page past the end."""
    places = await made(tmp_path, 4)
    data = places[1].directory / "state" / "data.mdb"
    with data.open("rb+") as file:
        file.truncate(8192)
    switch = Switch()
    async with places[0].running(switch), places[1].running(switch) as life:
        assert life.service.status().executed_height >= 4
    assert [path.name for path in (places[1].directory / "quarantine").iterdir()] == ["data.mdb.1"]


def leave_a_return(place: Place) -> None:
    """The journal as it stands after a loss of memory and the return from it."""
    journal, records, _ = Journal.open(place.directory / "journal", OsFiles(), network_id(place.genesis), JOURNAL_ID)
    journal.forget("lost before")
    journal.rotate([*records, (JournalKind.RESTORED, encode(VoteFloor(1, 1)))])
    journal.sync()
    journal.close()


@pytest.mark.parametrize("returned", [False, True])
async def test_a_journal_that_was_cut_between_two_records_is_no_memory(tmp_path: Path, returned: bool) -> None:
    """L-24, C-24: the journal looks whole, but the state has executed what it should hold."""
    genesis, switch = genesis_of(1), Switch()
    place = Place(tmp_path / "node", genesis)
    empty = {path.name: path.read_bytes() for path in (place.directory / "journal").iterdir()}
    async with place.running(switch) as life:
        for number in range(3):
            (result,) = await life.submit(number, 1)
            await life.service.wait_final(result.transaction, 40)
    for path in (place.directory / "segments").iterdir():
        path.unlink()  # as if they had never been synced
    for path in (place.directory / "journal").iterdir():
        path.unlink()
    for name, content in empty.items():
        (place.directory / "journal" / name).write_bytes(content)
    if returned:  # what an earlier return from amnesia left speaks of no later loss
        leave_a_return(place)
    for _ in range(2):
        async with place.running(Switch()) as life:
            assert not life.service.status().voting
