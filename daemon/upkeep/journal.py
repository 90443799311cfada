"""The journal, read again (L-24), and the final blocks that it holds above the segments. Changes nothing.

A state may be ahead of the segments: a block is executed before its segment is synced, and the journal holds its
header and batches until then. `final_blocks_above` puts such blocks together again, so that what a crash left is told
from blocks that are lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from daemon.store.files import Files
from daemon.store.journal import JournalHealth, JournalState, look_at
from daemon.store.journal_file import Record
from daemon.upkeep.findings import Finding, Part, Remedy, Report
from protocol.codec import decode, encode
from protocol.errors import Malformed
from protocol.ledger.records import Batch, Block, Header, batch_digest, header_hash
from protocol.node.interface import JournalKind

FOLDER = "journal"


def check_journal(
    directory: Path, files: Files, network_id: bytes, journal_id: bytes | None, report: Report
) -> tuple[Record, ...]:
    """Read the journal into `report`; gives the records that check.

    journal_id: as it stands with the node's key; None takes whichever journal is there.
    """
    name, records, health = look_at(directory, files, network_id, journal_id)
    report.journal_records = len(records)
    file = f"{FOLDER}/{name}" if name else FOLDER
    finding = _finding(file, health)
    if finding is not None:
        report.findings.append(finding)
    return records


def _finding(file: str, health: JournalHealth) -> Finding | None:
    if health.state is JournalState.WHOLE and not health.forgotten and not health.torn_bytes:
        return None
    if health.state is not JournalState.WHOLE:
        return Finding(Part.JOURNAL, file, health.words, Remedy.AMNESIA, health.offset)
    return Finding(Part.JOURNAL, file, health.words, Remedy.NOTHING, health.offset)


def final_blocks_above(
    records: Iterable[Record], tip: bytes, first: int, hashes: dict[int, bytes]
) -> list[tuple[int, bytes]]:
    """Blocks from height `first` on that the journal's headers and batches give, as long as they stand on `tip`.

    hashes: which header is the final one at a height, as the state says; where it says nothing the blocks end.
    """
    headers: dict[bytes, Header] = {}
    batches: dict[bytes, bytes] = {}
    for kind, data in records:
        try:
            if kind == JournalKind.HEADER:
                header = decode(Header, data)
                headers[header_hash(header)] = header
            elif kind == JournalKind.BATCH:
                batches[batch_digest(decode(Batch, data).body)] = data
        except Malformed:
            continue  # the frame checked, so the program wrote it so: the start says more
    found: list[tuple[int, bytes]] = []
    height = first
    while (name := hashes.get(height)) in headers:
        assert name is not None, "None is no header's hash"
        header = headers[name]
        held = [batches.get(reference.digest) for reference in header.references]
        if header.parent != tip or header.height != height or None in held:
            break
        block = Block(encode(header), tuple(data for data in held if data is not None), None)
        found.append((height, encode(block)))
        tip, height = name, height + 1
    return found
