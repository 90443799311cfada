"""A data directory, read whole and judged. Changes nothing, and needs that no node runs on it.

Order: whose directory it is; segments and indexes; the journal; the state. What one part says is compared with the
others: blocks that the state has executed have to be in the segments or in the journal, and the state has to be what
the blocks make of it.

What is found is told as `Finding`s, never raised, except what makes the question meaningless: another network, a newer
format, a node that runs here.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from daemon.runtime.recovery import LOST_END, state_lost_words
from daemon.store.directory import FORMAT_NAME, inherited_directory, read_format
from daemon.store.files import Files, OsFiles
from daemon.store.history import HISTORY_NAME, Beginning, read_beginning
from daemon.store.journal_file import Record
from daemon.store.lock import InUse
from daemon.store.segment_file import SEGMENT_HEADER_BYTES, SegmentHeader
from daemon.store.tables import StateStore
from daemon.upkeep import journal, segments, state
from daemon.upkeep.findings import Finding, Part, Remedy, Report, Tell, untold
from daemon.upkeep.judging import Judge
from daemon.upkeep.segments import Survey
from protocol.errors import Malformed, OperatorFault
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.index import read_roots
from protocol.node.recovery import journal_reaches


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked, and what is believed. journal_id: as it stands with the node's key, None if not known."""

    directory: Path
    genesis: Genesis
    journal_id: bytes | None = None


@dataclass(slots=True)
class Found:
    """A report, and what a repair goes on from. above: blocks that only the journal holds, by height."""

    report: Report
    survey: Survey
    above: dict[int, bytes]
    judge: Judge

    def read(self, files: Files, height: int) -> bytes | None:
        """A good block of the directory, wherever it stands."""
        return self.survey.read(files, height) or self.above.get(height)


def check_directory(
    subject: Subject, *, quick: bool = False, scratch: Path | None = None, tell: Tell = untold
) -> Report:
    """Read everything.

    quick: leave out executing all blocks again. scratch: a directory where that may write, else a temporary one.

    Raises InUse while a node runs here, OperatorFault if there is no such directory, it belongs to another network, or
    a newer program wrote it.
    """
    with nobody_else(subject.directory):
        report = examine(subject, OsFiles(), quick=quick, scratch=scratch, tell=tell).report
    hurt = any(finding.is_damage for finding in report.findings if finding.part is Part.STATE)
    if hurt and (subject.directory / HISTORY_NAME).exists():
        words = f"the blocks that it is made from are not kept: {state_lost_words(subject.directory)}"
        report.findings.append(Finding(Part.STATE, state.FILE, words, Remedy.NOTHING))
    return report


def examine(subject: Subject, files: Files, *, quick: bool, scratch: Path | None = None, tell: Tell = untold) -> Found:
    """As `check_directory`, with what a repair needs; the caller sees to it that nobody else is there."""
    directory, report, of_state = subject.directory, Report(), Report()
    _check_identity(directory, files, network_id(subject.genesis), report)
    beginning = _check_beginning(directory, files, report)
    with ExitStack() as stack:
        store = None
        if (directory / state.FOLDER / state.DATA).exists():  # opened first: it tells the sets of later epochs
            store = state.look_at_state(directory / state.FOLDER, subject.genesis, of_state, blocks=1)
        if store is not None:
            stack.callback(store.close)
        judge = Judge(subject.genesis, state.known_closings(store))
        survey = segments.check_segments(directory / segments.FOLDER, files, judge, report, tell, beginning)
        report.last_height = max(report.last_height, judge.beginning)
        records = journal.check_journal(directory / journal.FOLDER, files, judge.network_id, subject.journal_id, report)
        if store is None and not of_state.findings:
            state.look_at_state(directory / state.FOLDER, subject.genesis, of_state, blocks=report.last_height)
        report.findings += of_state.findings
        report.state_height = of_state.state_height
        if store is None:
            return Found(report, survey, {}, judge)
        found = Found(report, survey, dict(_above(store, survey, records, report)), judge)
        _check_reach(found)
        _check_journal_end(store, records, report)
        state.check_roots(store, lambda height: found.read(files, height), survey.hashes, report)
        damaged = any(finding.part is Part.STATE and finding.is_damage for finding in report.findings)
        if quick or damaged:
            report.state_compared = "roots only" if quick else "no further"
            return found
        with _scratch(scratch) as place:
            inherited = inherited_directory(directory) / state.FOLDER
            made = state.Made(place / "state", subject.genesis, inherited)
            lowest = judge.beginning + 1 if beginning is None else beginning.first_height
            state.compare(store, made, lambda height: found.read(files, height), report, tell, lowest)
    return found


def _check_beginning(directory: Path, files: Files, report: Report) -> Beginning | None:
    """Where the history of the directory begins; a mark that cannot be read is damage."""
    try:
        beginning = read_beginning(directory, files)
    except OperatorFault as fault:
        report.findings.append(Finding(Part.IDENTITY, HISTORY_NAME, fault.words, Remedy.NOTHING, 0))
        return None
    if beginning is not None:
        words = f"blocks are kept from {beginning.first_height} on: {beginning.why}"
        report.findings.append(Finding(Part.IDENTITY, HISTORY_NAME, words, Remedy.NOTHING))
    return beginning


def _above(store: StateStore, survey: Survey, records: tuple[Record, ...], report: Report) -> list[tuple[int, bytes]]:
    """Blocks between the segments' end and the state's height, from the journal."""
    last, height = report.last_height, report.state_height or 0
    if height <= last:
        return []
    with store.reader() as reader:
        tip = read_roots(reader, last)
        hashes = {at: roots.header_hash for at in range(last + 1, height + 1) if (roots := read_roots(reader, at))}
    below = survey.hashes.get(last) or (tip.header_hash if tip is not None else b"")
    return journal.final_blocks_above(records, below, last + 1, hashes)


def _check_reach(found: Found) -> None:
    """What the state has executed is in the segments or in the journal."""
    report = found.report
    first, last = report.last_height + 1 + len(found.above), report.state_height or 0
    if found.above:
        words = "the next start appends blocks that only the journal holds yet"
        heights = (report.last_height + 1, report.last_height + len(found.above))
        finding = Finding(Part.SEGMENT, segments.FOLDER, words, Remedy.NOTHING, None, *heights)
        report.findings.append(finding)
    if first <= last:
        words = "executed once, and neither in the segments nor in the journal"
        report.findings.append(Finding(Part.SEGMENT, segments.FOLDER, words, Remedy.FETCH, None, first, last))


def _check_journal_end(store: StateStore, records: tuple[Record, ...], report: Report) -> None:
    """A journal that was cut between two records looks whole; the state may know better."""
    last, height = report.last_height, report.state_height or 0
    if height <= last or report.needs(Remedy.AMNESIA):
        return
    with store.reader() as reader:
        hashes = {roots.header_hash for at in range(max(1, last), height + 1) if (roots := read_roots(reader, at))}
        newest = read_roots(reader, height)
    try:
        whole = newest is None or journal_reaches(records, hashes, newest.header_hash)
    except Malformed:
        whole = False
    if not whole:
        report.findings.append(Finding(Part.JOURNAL, journal.FOLDER, LOST_END, Remedy.AMNESIA))


def _check_identity(directory: Path, files: Files, network_id: bytes, report: Report) -> None:
    if not directory.is_dir():
        raise OperatorFault(f"there is no directory {directory}")
    try:
        found_id = read_format(directory, files)
    except FileNotFoundError:
        if not any((directory / segments.FOLDER).glob("*")):
            words = f"{directory} is no data directory of papilio, or its creation was interrupted"
            raise OperatorFault(f"{words}: create the node anew") from None
        report.findings.append(Finding(Part.IDENTITY, FORMAT_NAME, "the file is missing", Remedy.REMAKE))
    except ValueError as fault:
        report.findings.append(Finding(Part.IDENTITY, FORMAT_NAME, f"it cannot be read: {fault}", Remedy.REMAKE, 0))
    else:
        if found_id != network_id and _segments_are_of(directory, files, network_id):
            words = f"it names network {found_id.hex()}, and the segments are of {network_id.hex()}"
            report.findings.append(Finding(Part.IDENTITY, FORMAT_NAME, words, Remedy.REMAKE, 0))
        elif found_id != network_id:
            raise OperatorFault(f"{directory} belongs to network {found_id.hex()}, not {network_id.hex()}")


def _segments_are_of(directory: Path, files: Files, network_id: bytes) -> bool:
    """Whether a segment's header, which has a check of its own, names this network."""
    for path in sorted((directory / segments.FOLDER).glob("*.seg")):
        file = files.open(path, writable=False)
        try:
            header = SegmentHeader.decode(file.read_at(0, SEGMENT_HEADER_BYTES))
        finally:
            file.close()
        if header is not None:
            return header.network_id == network_id
    return False


@contextmanager
def nobody_else(directory: Path) -> Iterator[None]:
    """Hold the directory's lock without writing to it. Raises InUse if a node has it."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield  # no node ever ran here
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            words = f"a node runs on {directory}: stop it first, or let it look itself with papilio store scrub --node"
            raise InUse(words) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _scratch(place: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="papilio-check-", dir=place) as made:
        yield Path(made)
