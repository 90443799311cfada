"""The audit: a history that holds, and each way in which one does not, named exactly (L-18, L-21, L-22, L-25, L-26)."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.audit.blocks import BlockStream, Damaged, Found
from daemon.audit.findings import Difference, Of, Report
from daemon.store.files import OsFiles
from daemon.store.framing import make_frame
from daemon.store.segment_file import SegmentHeader, segment_path
from daemon.store.segments import Segments
from protocol.apps.evidence.records import Evidence
from protocol.codec import decode, encode
from protocol.errors import OperatorFault
from protocol.ledger.added import PAGES, read_page, unpack_place
from protocol.ledger.batch import open_batch
from protocol.ledger.index import number_key
from protocol.ledger.records import Block, header_hash
from protocol.ledger.tables import Table
from tests.audit import kit
from tests.audit.kit import HEIGHT, blocks_of, flip, judged, made_world, node_directory, only, with_header
from tests.ledger.world import World, key
from tests.proofs.chain import certificate
from tests.runtime.ledgers import batch, many


@pytest.fixture(scope="module")
def world() -> World:
    return made_world()


def first(report: Report) -> Difference:
    """The first difference; there is one."""
    assert report.first is not None, report.as_json()
    return report.first


def named(difference: Difference) -> tuple[Of, int, str, str]:
    return difference.of, difference.height, difference.record, difference.field


# -- What holds ---------------------------------------------------------------------------------------


def test_a_history_that_holds(world: World, tmp_path: Path) -> None:
    path = node_directory(tmp_path / "data", world)
    assert len(list((path / "segments").glob("*.seg"))) > 2, "the history has several files"
    report = judged(world, path)
    assert (report.differences, report.notes) == ([], [])
    assert report.executed == world.executed[HEIGHT]
    assert (report.last_height, report.certified_height, report.certificates) == (HEIGHT, HEIGHT, HEIGHT // 2)
    filled = [block for block in world.blocks if block[1]]
    assert report.signatures == len(filled) * (5 + 2), "each envelope's and each batch's"
    assert dict(report.codes) == {"ok": 5 * len(filled)}
    (compared,) = report.compared
    assert (compared.whole, compared.height) == (True, HEIGHT)
    assert json.loads(json.dumps(report.as_json()))["state_root"] == world.executed[HEIGHT].state_root.hex()


def test_nothing_is_changed_and_no_lock_is_taken(world: World, tmp_path: Path) -> None:
    """It reads beside a running node, and of segments alone."""
    path = node_directory(tmp_path / "data", world, executed=None)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert judged(world, path / "segments").differences == []
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("executed", [0, 5])
def test_a_state_store_that_lags(world: World, tmp_path: Path, executed: int) -> None:
    """L-26: what a crash leaves: compared where it stands, current values too, and passed."""
    report = judged(world, node_directory(tmp_path / "data", world, executed=executed))
    assert report.differences == []
    assert [(one.whole, one.height) for one in report.compared] == [(True, executed)]
    assert report.executed.height == HEIGHT


def test_up_to_a_height(world: World, tmp_path: Path) -> None:
    path = node_directory(tmp_path / "data", world)
    report = judged(world, path, height=5)
    assert report.executed == world.executed[5]
    assert [(one.whole, one.height) for one in report.compared] == [(False, 5)]
    assert "not compared" in report.compared[0].notes[0]
    with pytest.raises(OperatorFault, match=f"blocks up to {HEIGHT}, not 99"):
        judged(world, path, height=99)


def test_indexes_do_not_matter(world: World, tmp_path: Path) -> None:
    path = node_directory(tmp_path / "data", world)
    for index, file in enumerate(sorted((path / "segments").glob("*.idx"))):
        if index % 2:
            file.unlink()
        else:
            file.write_bytes(bytes(200))
    assert judged(world, path).differences == []


def test_memory_is_committed_in_groups(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same comes out whatever fits into a group; nothing of earlier groups is held."""
    monkeypatch.setattr("daemon.audit.replay.GROUP_BLOCKS", 2)
    report = judged(world, node_directory(tmp_path / "data", world))
    assert report.differences == []
    assert report.executed == world.executed[HEIGHT]


def test_a_last_block_that_checks_and_cannot_be_opened_is_damage(tmp_path: Path) -> None:
    """No torn tail: its check is right."""
    header = SegmentHeader(bytes(32), 1, bytes(16))
    content = header.encode()
    for height, body in enumerate((b"one", b"\xc1junk"), 1):
        content += make_frame(header.seal(), len(content), height, len(content), body)
    segment_path(tmp_path, 1).write_bytes(content)
    stream = BlockStream(tmp_path, bytes(32))
    first, second = stream.next(), stream.next()
    assert isinstance(first, Found)
    assert first.data == b"one"
    assert isinstance(second, Damaged)
    assert second.field == "content"
    assert stream.next() is None
    assert stream.torn_bytes == 0


def test_a_torn_tail_is_no_damage(world: World, tmp_path: Path) -> None:
    """L-25: what was never promised; but a block that the state has executed was there."""
    path = node_directory(tmp_path / "data", world, executed=3)
    last = max((path / "segments").glob("*.seg"))
    last.write_bytes(last.read_bytes() + b"pfr1torn")
    report = judged(world, path)
    assert report.differences == []
    assert report.notes == [f"a torn tail of 8 bytes after block {HEIGHT}: never promised"]


# -- The history does not hold ------------------------------------------------------------------------


def test_a_flipped_byte_in_a_block(world: World, tmp_path: Path) -> None:
    """L-25: the file and byte, both checks; what follows is judged still, and not executed."""
    path = node_directory(tmp_path / "data", world)
    stream = BlockStream(path / "segments", world.network_id)
    items = [stream.next() for _ in range(2)]
    stream.close()
    second = items[1]
    assert isinstance(second, Found)
    flip(second.file, second.offset + 100)
    report = judged(world, path)
    assert named(first(report)) == (Of.HISTORY, 2, "block", "check")
    assert first(report).expected != first(report).found
    assert first(report).where.startswith(f"{second.file} at byte {second.offset}")
    assert report.executed == world.executed[1]
    assert report.last_height == HEIGHT
    assert report.counts[Of.HISTORY] == 1, "what follows is not at fault"


def test_the_state_proves_that_a_lost_last_block_was_there(world: World, tmp_path: Path) -> None:
    """A last record that does not check looks torn (framing.py): the state store, which executed it, knows better."""
    path = node_directory(tmp_path / "data", world, alter=lambda at, block: block if at < HEIGHT else None)
    kit.rewrite_state(path / "state", world, HEIGHT)
    report = judged(world, path)
    assert named(first(report)) == (Of.HISTORY, HEIGHT, "block", "")
    assert f"has executed height {HEIGHT}" in first(report).words


def test_a_dropped_block(world: World, tmp_path: Path) -> None:
    path = node_directory(tmp_path / "data", world, alter=only(4, lambda _: None))
    report = judged(world, path)
    assert named(first(report)) == (Of.HISTORY, 4, "block", "")
    assert (first(report).expected, first(report).found) == ("block 4", "block 5")
    assert report.executed == world.executed[3]


def test_a_missing_beginning(world: World, tmp_path: Path) -> None:
    path = node_directory(tmp_path / "data", world)
    min((path / "segments").glob("*.seg")).unlink()
    report = judged(world, path)
    assert named(first(report))[:3] == (Of.HISTORY, 1, "block")
    assert "archive" in first(report).words


def test_blocks_whose_files_changed_places(world: World, tmp_path: Path) -> None:
    path = node_directory(tmp_path / "data", world)
    one, two = sorted((path / "segments").glob("*.seg"))[:2]
    data = one.read_bytes(), two.read_bytes()
    one.write_bytes(data[1])
    two.write_bytes(data[0])
    assert named(first(judged(world, path))) == (Of.HISTORY, 1, "block", "header.first")


def test_swapped_certificates(world: World, tmp_path: Path) -> None:
    """A certificate counts for exactly one header (L-21)."""
    blocks = blocks_of(world)
    path = node_directory(
        tmp_path / "data", world, alter=only(4, lambda block: replace(block, finalization=blocks[5].finalization))
    )
    report = judged(world, path)
    assert named(first(report)) == (Of.HISTORY, 4, "certificate", "proposal.payload")
    four, six = (header_hash(kit.header_of(blocks[at])).hex() for at in (3, 5))
    assert (first(report).expected, first(report).found) == (four, six)
    assert report.counts[Of.HISTORY] == 1


def test_a_certificate_below_quorum(world: World, tmp_path: Path) -> None:
    def cut(block: Block) -> Block:
        return replace(block, finalization=encode(kit.certified(world, kit.header_of(block), signers=(0, 2))))

    report = judged(world, node_directory(tmp_path / "data", world, alter=only(6, cut)))
    assert named(first(report)) == (Of.HISTORY, 6, "certificate", "signers")
    assert (first(report).expected, first(report).found) == ("power of at least 3", "power 2")
    assert report.certified_height == HEIGHT


def test_a_certificate_by_strangers(world: World, tmp_path: Path) -> None:
    def forge(block: Block) -> Block:
        header = kit.header_of(block)
        strangers = sorted((key(900 + at) for at in range(4)), key=lambda one: one.public)
        forged = certificate(world.network_id, header_hash(header), keys=strangers, view=kit.view_of(world, header))
        return replace(block, finalization=encode(forged))

    report = judged(world, node_directory(tmp_path / "data", world, alter=only(2, forge)))
    assert named(first(report)) == (Of.HISTORY, 2, "certificate", "signatures")


def test_a_block_by_one_who_did_not_lead(world: World, tmp_path: Path) -> None:
    """C-2, L-18: the certificate names the view, the view its leader."""

    def other_view(block: Block) -> Block:
        header = kit.header_of(block)
        view = kit.view_of(world, header) + 1
        return replace(block, finalization=encode(certificate(world.network_id, header_hash(header), view=view)))

    report = judged(world, node_directory(tmp_path / "data", world, alter=only(8, other_view)))
    assert named(first(report)) == (Of.HISTORY, 8, "header", "")
    assert first(report).found == "proposer is not the leader of the view"


def test_a_bad_signature_in_a_final_batch(world: World, tmp_path: Path) -> None:
    """The batch's own is over its body: an altered signature needs no other change, and no header sees it."""

    def alter(block: Block) -> Block:
        _, body, signature = open_batch(block.batches[0])
        del body
        data = block.batches[0]
        assert data.endswith(signature)
        forged = data[:-1] + bytes([data[-1] ^ 1])
        return replace(block, batches=(forged, *block.batches[1:]))

    report = judged(world, node_directory(tmp_path / "data", world, alter=only(5, alter)))
    assert named(first(report)) == (Of.HISTORY, 5, "batch 0", "signature")


def test_an_exchanged_batch(world: World, tmp_path: Path) -> None:
    batches = world.blocks[0][1]
    path = node_directory(tmp_path / "data", world, alter=only(7, lambda block: replace(block, batches=batches)))
    report = judged(world, path)
    assert named(first(report)) == (Of.HISTORY, 7, "batch 0", "digest")
    assert report.executed == world.executed[6]


@pytest.mark.parametrize(
    ("field", "value"),
    [("parent", bytes(32)), ("epoch", 2), ("validators_hash", bytes(32)), ("next_validators_hash", bytes(32))],
)
def test_a_header_with_another_value(world: World, tmp_path: Path, field: str, value: object) -> None:
    path = node_directory(tmp_path / "data", world, alter=only(3, lambda block: with_header(block, **{field: value})))
    report = judged(world, path)
    assert (first(report).of, first(report).height) == (Of.HISTORY, 3)
    assert ("header", field) in {(one.record, one.field) for one in report.differences if one.height == 3}


def test_other_results_than_a_header_states(world: World, tmp_path: Path) -> None:
    """L-22."""

    def alter(block: Block) -> Block:
        return with_header(block, executed=replace(kit.header_of(block).executed, state_root=bytes(32)))

    report = judged(world, node_directory(tmp_path / "data", world, alter=only(5, alter)))
    assert named(first(report)) == (Of.HISTORY, 5, "header", "executed.state_root")
    assert (first(report).expected, first(report).found) == (world.executed[4].state_root.hex(), bytes(32).hex())


def test_a_batch_that_is_referenced_twice(tmp_path: Path) -> None:
    """L-18: a quorum that voted for it would have broken the rules; no bytes are wrong."""
    world = made_world(2)
    again = batch(world, many(world, 500, 1))
    world.block(again)
    world.block(again)
    report = judged(world, node_directory(tmp_path / "data", world, executed=None))
    assert named(first(report)) == (Of.HISTORY, 4, "header", "")
    assert first(report).found == "a batch that an ancestor references"


def test_a_block_that_is_none(world: World, tmp_path: Path) -> None:
    path = node_directory(tmp_path / "data", world, executed=None)
    segments = kit.begin(path / "segments", world, HEIGHT + 1)
    segments.append(HEIGHT + 1, b"\x93not a block")
    segments.close()
    report = judged(world, path)
    assert named(first(report))[:3] == (Of.HISTORY, HEIGHT + 1, "block")


def test_lengths_and_heights_that_lie_cost_nothing(world: World, tmp_path: Path) -> None:
    """Whoever wrote the file can make its checks right: a height of 2^60 is a gap, and no table of heights."""
    path = node_directory(tmp_path / "data", world, executed=None)
    segments = kit.begin(path / "segments", world, 1 << 60)
    segments.append(1 << 60, encode(blocks_of(world)[0]))
    segments.close()
    report = judged(world, path)
    assert (first(report).expected, first(report).found) == (f"block {HEIGHT + 1}", f"block {1 << 60}")


def test_another_network_is_refused_in_words(world: World, tmp_path: Path) -> None:
    path = node_directory(tmp_path / "data", world, executed=None)
    other = World(replace(world.genesis, name="other"))
    with pytest.raises(OperatorFault, match="is of network"):
        judged(other, path)
    with pytest.raises(OperatorFault, match="no directory"):
        judged(world, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OperatorFault, match="holds no history"):
        judged(world, tmp_path / "empty")


# -- The state store differs --------------------------------------------------------------------------


def test_an_altered_receipt(world: World, tmp_path: Path) -> None:
    path = node_directory(tmp_path / "data", world)
    kit.alter_receipt(path / "state", 7, code="already_recorded")
    report = judged(world, path)
    assert report.holds
    assert (first(report).of, first(report).height, first(report).field) == (Of.STATE, 2, "code")
    assert first(report).record.startswith("receipt 7 of transaction ")
    assert (first(report).expected, first(report).found) == ("ok", "already_recorded")
    assert report.counts[Of.STATE] == 1


def test_a_receipt_that_is_gone_and_one_too_many(world: World, tmp_path: Path) -> None:
    path = node_directory(tmp_path / "data", world)
    kit.alter_stored(path / "state", Table.RECEIPT, number_key(3), lambda _: None)
    report = judged(world, path)
    assert (first(report).height, first(report).record[:9], first(report).found) == (1, "receipt 3", "nothing")
    assert report.counts[Of.STATE] == 1 + 1, "found as it was executed, and in the whole at the end"


def test_an_altered_current_value(world: World, tmp_path: Path) -> None:
    path = node_directory(tmp_path / "data", world)
    pair = next(iter(world.tables.scan(Table.STATE, kit.usage_prefix(), limit=1)))
    kit.alter_stored(path / "state", Table.STATE, pair[0], lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    report = judged(world, path)
    assert (first(report).of, first(report).height, first(report).field) == (Of.STATE, HEIGHT, "state_bytes")
    assert first(report).record.startswith("state value ledger.usage/")


def test_an_altered_record_of_a_page_is_named(world: World, tmp_path: Path) -> None:
    path = node_directory(tmp_path / "data", world)
    pages = world.tables.scan(Table.STATE, PAGES.key((1, 0))[:-2])
    key, page = next((key, page) for key, page in pages if len(read_page(page)) > 1)
    digest = decode(Evidence, read_page(page)[1].value).digest
    kit.alter_stored(path / "state", Table.STATE, key, lambda data: data.replace(digest, bytes(32)))
    report = judged(world, path)
    assert first(report).record.startswith("state value ledger.added/")
    assert first(report).field.startswith("evidence.record/")
    assert first(report).field.endswith(" digest")
    assert (first(report).expected, first(report).found) == (digest.hex(), bytes(32).hex())
    assert report.counts[Of.STATE] == 1


def test_an_altered_place_is_named(world: World, tmp_path: Path) -> None:
    path = node_directory(tmp_path / "data", world)
    row, _ = world.tables.scan(Table.PLACE, b"", limit=1)[0]
    kit.alter_name(path / "state", Table.PLACE, row, row[:-1] + bytes([row[-1] ^ 1]))
    report = judged(world, path)
    height, page, at = unpack_place(row[-8:])
    words = f"place of the record named {row[:-8].hex()}: height {height}, page {page}, record {at}"
    assert (first(report).record, first(report).expected, first(report).found) == (words, "present", "nothing")


def test_altered_results_of_a_height(world: World, tmp_path: Path) -> None:
    path = node_directory(tmp_path / "data", world)
    kit.alter_stored(path / "state", Table.ROOTS, number_key(6), lambda data: bytes(32) + data[32:])
    report = judged(world, path)
    assert named(first(report)) == (Of.STATE, 6, "results of height 6", "state_root")
    assert first(report).expected == world.executed[6].state_root.hex()


def test_a_store_that_differs_everywhere_is_left_after_some(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.audit.comparing.ENOUGH", 3)
    monkeypatch.setattr("daemon.audit.stored.GET_KEYS", 1)
    path = node_directory(tmp_path / "data", world)
    for index in range(10):
        kit.alter_receipt(path / "state", index, words="altered")
    report = judged(world, path)
    assert report.counts[Of.STATE] == 3
    assert [one.record.split()[1] for one in report.differences] == ["0", "1", "2"]
    assert report.compared[0].notes == ["not compared any further after 3 differences"]
    assert report.executed == world.executed[HEIGHT], "execution goes on"


@pytest.mark.parametrize("damage", ["cut", "zeros", "noise"])
def test_a_state_store_that_cannot_be_read(world: World, tmp_path: Path, damage: str) -> None:
    """LMDB may end the process that follows it (SIGBUS of a file cut short): the audit says so and goes on."""
    path = node_directory(tmp_path / "data", world)
    file = path / "state" / "data.mdb"
    data = file.read_bytes()
    half = len(data) // 2 // 4096 * 4096
    noise = bytes(range(7, 263 - 7)) * (1 + (len(data) - 8192) // 249)
    changed = {"cut": data[:half], "zeros": bytes(len(data)), "noise": data[:8192] + noise[: len(data) - 8192]}
    file.write_bytes(changed[damage])
    report = judged(world, path)
    assert report.holds
    assert report.executed == world.executed[HEIGHT]
    assert report.counts[Of.STATE] >= 1
    assert judged(world, path, state=False).differences == []


# -- Compared with another directory ------------------------------------------------------------------


def test_two_directories_that_agree(world: World, tmp_path: Path) -> None:
    """Certificates of one block may differ; one that is shorter says how far it was compared."""

    def others(block: Block) -> Block:
        if block.finalization is None:
            return block
        header = kit.header_of(block)
        return replace(block, finalization=encode(kit.certified(world, header, signers=(1, 2, 3))))

    one = node_directory(tmp_path / "one", world)
    two = node_directory(tmp_path / "two", world, alter=lambda at, block: others(block) if at < 7 else None, executed=6)
    report = judged(world, one, against=(str(two),))
    assert report.differences == []
    assert [(c.of, c.height) for c in report.compared] == [(Of.STATE, HEIGHT), (Of.AGAINST, 6), (Of.AGAINST, 6)]


def test_another_block_in_the_other_directory(world: World, tmp_path: Path) -> None:
    """Both made final by a quorum: the worst that a network can come to, and said so."""

    def fork(block: Block) -> Block:
        forked = with_header(block, time_ms=kit.header_of(block).time_ms + 1)
        return replace(forked, finalization=encode(kit.certified(world, kit.header_of(forked))))

    one = node_directory(tmp_path / "one", world)
    two = node_directory(tmp_path / "two", world, alter=only(4, fork))
    report = judged(world, one, against=(str(two),))
    assert report.holds
    assert named(first(report)) == (Of.AGAINST, 4, "header", "time_ms")
    assert int(first(report).found) == int(first(report).expected) + 1
    assert "BOTH are made final by a quorum" in first(report).words
    assert report.counts[Of.AGAINST] == 1


def test_another_state_in_the_other_directory(world: World, tmp_path: Path) -> None:
    one = node_directory(tmp_path / "one", world)
    two = tmp_path / "two"
    shutil.copytree(one, two)
    kit.alter_receipt(two / "state", 0, words="altered")
    report = judged(world, one, against=(str(two),))
    assert (first(report).of, first(report).field, first(report).where) == (Of.AGAINST, "words", str(two / "state"))


def test_damage_in_the_other_directory(world: World, tmp_path: Path) -> None:
    one = node_directory(tmp_path / "one", world)
    two = node_directory(tmp_path / "two", world, executed=None)
    flip(min((two / "segments").glob("*.seg")), 200)
    report = judged(world, one, against=(str(two),))
    assert report.holds
    assert (first(report).of, first(report).height) == (Of.AGAINST, 1)


def test_items_of_a_stream(world: World, tmp_path: Path) -> None:
    """Reading goes on behind damage, and takes in what is appended later."""
    path = node_directory(tmp_path / "data", world, executed=None)
    stream = BlockStream(path / "segments", world.network_id)
    items = list(iter(stream.next, None))
    assert [item.height for item in items if isinstance(item, Found)] == list(range(1, HEIGHT + 1))
    assert not any(isinstance(item, Damaged) for item in items)
    assert stream.read_bytes == stream.total_bytes
    segments = Segments.open(path / "segments", OsFiles(), world.network_id)
    segments.append(HEIGHT + 1, b"a block")
    segments.close()
    assert stream.next() is None, "it read what was there when it was opened"
    stream.extend()
    item = stream.next()
    assert isinstance(item, Found)
    assert item.height == HEIGHT + 1
    stream.close()
