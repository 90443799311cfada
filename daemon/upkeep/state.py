"""The state, compared with what the blocks make of it, byte for byte (L-26); and made anew from them.

First its pages are walked without LMDB (pages.py), so that LMDB never meets a tree that would crash it. Then each
height's roots are compared with the blocks: the hash of its header, and whatever results later headers state. Last, all
blocks are executed again into a scratch store, by the very code of the execute worker, and every key and value of every
table is compared. Nothing less finds a flipped bit in a value that no root covers, such as a place in an index. It
takes as long as executing the history; `quick` leaves it out and says so.

Blocks that are lost end the comparison below them: there is nothing to execute from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import lmdb

from daemon.runtime.workers.execute import Ledger
from daemon.runtime.workers.kinds import ExecuteNeeds
from daemon.snapshots.heap_file import heap_of
from daemon.store.pages import PageDamaged, walk
from daemon.store.rows import StateReader
from daemon.store.tables import StateStore
from daemon.upkeep.findings import Finding, Part, Progress, Remedy, Report, Tell
from protocol.apps.registry import rules_at
from protocol.codec import decode, encode
from protocol.crypto import log, trie
from protocol.errors import OperatorFault, PapilioError
from protocol.ledger.added import place_rows
from protocol.ledger.closings import Closing, closings
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.index import log_getter, read_base, read_roots, trie_getter
from protocol.ledger.records import Block, Header
from protocol.ledger.succession import beginning_height
from protocol.ledger.tables import Table
from protocol.snapshot.pieces import cut

FOLDER = "state"
DATA = "data.mdb"
FILE = f"{FOLDER}/{DATA}"
BLOCKS_AT_ONCE = 64
"""Executed and committed together."""
ROWS_AT_ONCE = 1_000

ReadBlock = Callable[[int], bytes | None]


def look_at_state(directory: Path, genesis: Genesis, report: Report, *, blocks: int) -> StateStore | None:
    """Open the state that nobody writes, if it can be; what is wrong with it as a whole goes into `report`.

    blocks: how many final blocks there are: without any, a state may be missing.
    """
    try:
        walk(directory / DATA)
    except FileNotFoundError:
        remedy = Remedy.REMAKE if blocks else Remedy.NOTHING
        words = "the state is missing" if blocks else "there is no state yet; the first start makes it"
        report.findings.append(Finding(Part.STATE, FILE, words, remedy))
        return None
    except PageDamaged as damage:
        report.findings.append(Finding(Part.STATE, FILE, damage.words, Remedy.REMAKE, damage.offset))
        return None
    try:
        store = StateStore.open(directory, network_id(genesis), writer=False, alone=True)
    except (OperatorFault, lmdb.Error) as fault:
        report.findings.append(Finding(Part.STATE, FILE, f"it cannot be used: {fault}", Remedy.REMAKE))
        return None
    report.state_height = store.height
    if store.height is None:
        report.findings.append(Finding(Part.STATE, FILE, "it holds nothing, not even genesis", Remedy.REMAKE))
        store.close()
        return None
    return store


def known_closings(store: StateStore | None) -> list[Closing]:
    """Ended epochs as the state tells them (judging.py says how far that is believed)."""
    if store is None:
        return []
    with store.reader() as reader:
        try:
            return closings(reader)
        except (PapilioError, ValueError):
            return []  # what is wrong with the state is found when it is compared


def check_roots(store: StateStore, read: ReadBlock, hashes: dict[int, bytes], report: Report) -> None:
    """Each height's roots against the blocks that are there: the header's hash, and results that headers state."""
    height = report.state_height or 0
    with store.reader() as reader:
        if read_roots(reader, height) is None:
            report.findings.append(_wrong(height, "it has no roots at the height that it says it is at"))
            return
        base = read_base(reader)
        lowest = 0 if base is None else base.height  # a snapshot brings roots of some heights below it only
        for at in sorted(hashes):
            roots = read_roots(reader, at) if at <= height else None
            if at < lowest and roots is None:
                continue
            if at <= height and (roots is None or roots.header_hash != hashes[at]):
                report.findings.append(_wrong(at, "its roots are of another block than the one in the segments"))
                return
            data = read(at)
            if data is None:
                continue
            stated = decode(Header, decode(Block, data).header).executed
            own = read_roots(reader, stated.height) if stated.height <= height else None
            if own is None and stated.height < lowest:
                continue
            if stated.height <= height and (own is None or own.executed != stated):
                words = f"its results are others than the header of block {at} states"
                report.findings.append(_wrong(stated.height, words))
                return


@dataclass(frozen=True, slots=True)
class Made:
    """A state to be made: where (a directory that is not there), of which network, and what that began with.

    inherited: the state that the network before left, if there was one.
    """

    directory: Path
    genesis: Genesis
    inherited: Path


def compare(
    store: StateStore, made: Made, read: ReadBlock, report: Report, tell: Tell, lowest: int | None = None
) -> None:
    """Execute all blocks up to the state's height into a scratch store, and compare.

    lowest: from where blocks are kept. Where not from the first on, values, trie and log are compared with the roots.
    """
    height, first = report.state_height or 0, beginning_height(made.genesis) + 1
    with store.reader() as reader:
        by_snapshot = read_base(reader) is not None  # it holds fewer old roots than one that executed all blocks
    if by_snapshot or (lowest is not None and lowest > first and read(first) is None):
        _compare_with_roots(store, made, lowest or first, report)
        return
    reached = rebuild(made, read, height, tell)
    if reached < height:
        report.state_compared = f"not by executing again: block {reached + 1} is lost"
        return
    with closing(StateStore.open(made.directory, network_id(made.genesis), writer=False, alone=True)) as again:
        tell(Progress("comparing the state", 0, len(Table)))
        with store.reader() as ours, again.reader() as right:
            for at, table in enumerate(Table, 1):
                words = _difference(ours, right, table)
                if words is not None:
                    report.findings.append(_wrong(height, words))
                tell(Progress("comparing the state", at, len(Table)))
    report.state_compared = f"byte for byte with {height} blocks executed again"


def _compare_with_roots(store: StateStore, made: Made, lowest: int, report: Report) -> None:
    """What can be said without the blocks: that values, trie and log have the roots that the newest height has.

    And that the places of added records, which follow from the values, are there and no others.
    """
    scratch = made.directory
    scratch.mkdir(mode=0o700)
    height = report.state_height or 0
    with store.reader() as reader:
        roots = read_roots(reader, height)
        assert roots is not None, "it was checked"
        executed = roots.executed
        pairs = (pair for row in _pages(reader, Table.STATE) for pair in row)
        try:
            if cut(heap_of(pairs, scratch / "heap"), lambda _prefix, _data: None) != executed.state_root:
                report.findings.append(_wrong(height, "its values have another root than the network's"))
            if trie.root(trie_getter(reader)) != executed.state_root:
                report.findings.append(_wrong(height, "its trie has another root than the network's"))
            if not _places_lead_there(reader, made.genesis, height):
                report.findings.append(_wrong(height, "records that are only ever added are not found by their names"))
            if log.root(log_getter(reader), executed.log_size) != executed.log_root:
                report.findings.append(_wrong(height, "its log of receipts has another root than the network's"))
        except PapilioError as fault:
            report.findings.append(_wrong(height, fault.words))
    report.state_compared = (
        f"values, trie and log with the roots of height {height}: blocks below {lowest} are not kept"
    )


def _places_lead_there(reader: StateReader, genesis: Genesis, height: int) -> bool:
    """Whether their tables have exactly the rows that follow from the pages of added records. Raises Malformed."""
    spaces, count = rules_at(genesis, height).spaces, 0
    for rows in _pages(reader, Table.STATE):
        for key, value in rows:
            for place in place_rows(spaces, key, value):
                if reader.get(*place) is None:
                    return False
                count += 1
    return count == reader.count(Table.PLACE) + reader.count(Table.ALSO)


def _pages(reader: StateReader, table: Table) -> Iterator[list[tuple[bytes, bytes]]]:
    start = b""
    while rows := reader.scan(table, b"", start, ROWS_AT_ONCE):
        yield rows
        start = rows[-1][0] + b"\0"


def rebuild(made: Made, read: ReadBlock, height: int, tell: Tell) -> int:
    """Make a state from the blocks up to `height`; the height that it reached.

    It ends below a block that is not there. Raises PapilioError if a block cannot be executed.
    """
    made.directory.mkdir(mode=0o700)
    ledger = Ledger(ExecuteNeeds(encode(made.genesis), str(made.directory), str(made.inherited)))
    reached = ledger.height
    try:
        blocks = _executes(read, reached + 1, height)
        while part := list(islice(blocks, BLOCKS_AT_ONCE)):
            ledger.run(part)
            reached = part[-1][0]
            tell(Progress("executing blocks", reached, height))
    finally:
        ledger.close()
    return reached


def _executes(read: ReadBlock, first: int, height: int) -> Iterator[tuple[int, bytes, tuple[bytes, ...]]]:
    for at in range(first, height + 1):
        data = read(at)
        if data is None:
            return
        block = decode(Block, data)
        yield at, block.header, block.batches


def _difference(ours: StateReader, right: StateReader, table: Table) -> str | None:
    """The first key of a table at which two states differ, in words; None if they are the same."""
    try:
        for mine, good in _pairs(ours, right, table):
            if mine == good:
                continue
            if mine is None or (good is not None and good[0] < mine[0]):
                assert good is not None, "one of the two is there"
                return f"{table.value} lacks the key {good[0].hex()}"
            if good is None or mine[0] < good[0]:
                return f"{table.value} has a key {mine[0].hex()} that it should not have"
            return f"{table.value} has another value at the key {mine[0].hex()}"
    except PapilioError as fault:
        return f"{table.value} cannot be read: {fault.words}"
    return None


Row = tuple[bytes, bytes] | None


def _pairs(ours: StateReader, right: StateReader, table: Table) -> Iterator[tuple[Row, Row]]:
    first, second = _rows(ours, table), _rows(right, table)
    while True:
        pair = next(first, None), next(second, None)
        if pair == (None, None):
            return
        yield pair


def _rows(reader: StateReader, table: Table) -> Iterator[tuple[bytes, bytes]]:
    for rows in _pages(reader, table):
        yield from rows


def _wrong(height: int, words: str) -> Finding:
    return Finding(Part.STATE, FILE, words, Remedy.REMAKE, None, height, height)
