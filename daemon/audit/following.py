"""From a network that goes on from another to that other: is what it began with what the old one had come to? (0014)

The restart document in `inherited/` has to be the one that genesis names, and to make exactly this genesis. The old
blocks there are audited from the old genesis on, like any history, up to the last kept one; they have to end with the
block and the results that genesis says were kept. What the old network's own audit finds wrong is wrong here.

Of the last kept blocks some may have no certificate: the restart made them final, and its document says why.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from daemon.audit.findings import Difference, Of, Report
from daemon.restart.files import DOCUMENT, read_restart
from daemon.store.files import OsFiles
from daemon.store.segments import Segments
from protocol.codec import decode
from protocol.errors import PapilioError
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.records import Block, Header, header_hash
from protocol.ledger.succession import Succession
from protocol.restart.document import Opened, open_document


def follow(genesis: Succession, left: Path, report: Report, audit: Callable[[Genesis], Report]) -> None:
    """Compare what `left` (a directory `inherited`) holds with `genesis`, into `report`. audit: of the old history."""
    ancestor = genesis.ancestors[-1]
    height = ancestor.executed.height

    def differs(record: str, expected: str, found: str, words: str) -> None:
        report.differs(Difference(Of.HISTORY, height, str(left), record, "", expected, found, words))

    opened = _document(left)
    if not isinstance(opened, Opened):
        differs("restart document", ancestor.document.hex(), opened, "the one that genesis names is not here, or bad")
        return
    if opened.digest != ancestor.document or opened.succession != genesis:
        words = "the restart document here makes another network than this one"
        differs("restart document", ancestor.document.hex(), opened.digest.hex(), words)
        return
    if not (left / "segments").is_dir():
        report.notes.append(
            f"the blocks of network {ancestor.network_id.hex()} are not here: its history was not audited"
        )
        return
    older = audit(opened.genesis)
    for difference in older.differences:
        if not _made_final(difference, opened):
            report.differs(difference)
    if older.executed != ancestor.executed:
        differs("results", str(ancestor.executed), str(older.executed), "the old history comes to other results")
    found = _last_hash(left, network_id(opened.genesis), height)
    if found != ancestor.header.hex():
        differs("header", ancestor.header.hex(), found, "the old history ends with another block")
    certified = f"{older.certified_height:,} of them under a certificate"
    report.notes.append(
        f"followed to network {ancestor.network_id.hex()}: {height:,} blocks, {certified}; "
        f"restart document {ancestor.document.hex()}: papilio restart verify {left / DOCUMENT}"
    )


def _made_final(difference: Difference, opened: Opened) -> bool:
    """Whether it is the missing certificate of a closing block that the restart made final."""
    last = opened.weighed.tip.height if opened.weighed.kept else 0
    return (difference.height, difference.record, difference.found) == (last, "certificate", "none")


def _document(left: Path) -> Opened | str:
    try:
        return open_document(read_restart(left / DOCUMENT).document)
    except PapilioError as fault:
        return fault.words


def _last_hash(left: Path, network: bytes, height: int) -> str:
    segments = Segments.open(left / "segments", OsFiles(), network, writable=False)
    try:
        data = segments.read(height)
    finally:
        segments.close()
    return "nothing" if data is None else header_hash(decode(Header, decode(Block, data).header)).hex()
