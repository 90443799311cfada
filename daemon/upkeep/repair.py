"""Putting a damaged directory right, while no node runs on it (L-25, L-26).

Order: a check; what is derived from nothing else first (`format.json`); then each segment that is not whole is written
anew from its own good blocks, from blocks that stand under a wrong name, and from blocks that other nodes give; then
indexes; then the state, which is made anew beside the damaged one if it is not what the blocks make of it. Whatever is
replaced is kept in `quarantine/`. A second check says what came out. It may be interrupted at any point and run again:
each step replaces whole files.

What nobody gives stays as it is, with the good blocks around it: the node starts with it, serves the rest, and asks its
peers by itself. Only a last segment that tells nothing at all is moved away, since with it no node starts.

A damaged journal is not repaired. What this validator has signed stands nowhere else; a guess would be a danger to the
network (C-24).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.runtime.recovery import LOST_END, without_earlier_returns, would_vote
from daemon.store.directory import FORMAT_NAME, inherited_directory, write_format
from daemon.store.files import Files, OsFiles
from daemon.store.journal import Journal
from daemon.store.lock import ProcessLock
from daemon.store.mending import QUARANTINE, remake_index, replace_segment, set_aside
from daemon.store.segment_file import index_path, segment_path
from daemon.upkeep import journal, segments, state
from daemon.upkeep.check import Found, Subject, examine
from daemon.upkeep.findings import Part, Progress, Remedy, Report, Tell, heights_text, untold
from daemon.upkeep.judging import Judge
from daemon.upkeep.segments import Place
from daemon.upkeep.sources import Fetcher, Source

UNFINISHED_STATE = "state.tmp"


@dataclass(slots=True)
class Repaired:
    """What a repair did. kept: files in quarantine, relative to the directory. done: in words, in order.

    charged: sources that gave blocks which do not hold, and what was wrong. missed: what sources did not have.
    """

    before: Report
    after: Report
    done: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    charged: dict[str, str] = field(default_factory=dict)
    missed: dict[str, str] = field(default_factory=dict)
    fetched: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether all that can be repaired is: a journal cannot."""
        return all(finding.remedy is Remedy.AMNESIA for finding in self.after.damage)

    @property
    def is_amnesiac(self) -> bool:
        """Whether the journal is damaged, which nothing repairs."""
        return bool(self.before.needs(Remedy.AMNESIA) or self.after.needs(Remedy.AMNESIA))

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "repaired": self.is_whole,
            "amnesiac": self.is_amnesiac,
            "done": self.done,
            "quarantined": self.kept,
            "fetched_blocks": self.fetched,
            "charged": self.charged,
            "missed": self.missed,
            "before": self.before.as_json(),
            "after": self.after.as_json(),
        }


def repair_directory(
    subject: Subject,
    sources: Sequence[Source] = (),
    *,
    quick: bool = False,
    tell: Tell = untold,
    files: Files | None = None,
) -> Repaired:
    """Put right what can be. quick: believe a state whose roots fit, without executing all blocks again.

    Raises InUse while a node runs here, OperatorFault as `check_directory`, DiskFull, StoreFailed.
    """
    if not subject.directory.is_dir():
        examine(subject, files or OsFiles(), quick=True)  # says what is wrong with it
    lock = ProcessLock(subject.directory / "lock", f"a node runs on {subject.directory}: stop it first")
    try:
        return _Repair(subject, files or OsFiles(), sources, tell).run(quick=quick)
    finally:
        lock.release()


class _Repair:
    def __init__(self, subject: Subject, files: Files, sources: Sequence[Source], tell: Tell) -> None:
        self._subject = subject
        self._directory = subject.directory
        self._segments = subject.directory / segments.FOLDER
        self._files = files
        self._tell = tell
        self._judge = Judge(subject.genesis)
        self._fetcher = Fetcher(self._judge, sources)
        self._done: list[str] = []
        self._kept: list[Path] = []
        self._written: set[int] = set()

    def run(self, *, quick: bool) -> Repaired:
        before = found = examine(self._subject, self._files, quick=quick, tell=self._tell)
        self._judge = self._fetcher.judge = found.judge
        if found.report.damage:
            self._identity(found.report)
            self._remember_loss(found.report)
            self._mend_segments(found)
            self._indexes(found.report)
            found = examine(self._subject, self._files, quick=quick, tell=self._tell)
            if self._state(found):
                found = examine(self._subject, self._files, quick=True, tell=self._tell)
                found.report.state_compared = "made anew from the blocks"
        fetcher = self._fetcher
        kept = [str(path.relative_to(self._directory)) for path in self._kept]
        return Repaired(before.report, found.report, self._done, kept, fetcher.charged, fetcher.missed, fetcher.fetched)

    def _identity(self, report: Report) -> None:
        if not any(finding.part is Part.IDENTITY for finding in report.damage):
            return
        if FORMAT_NAME in self._files.list(self._directory):
            self._keep(self._directory / FORMAT_NAME)
        write_format(self._directory, self._files, self._judge.network_id)
        self._done.append(f"{FORMAT_NAME} was written anew")

    def _remember_loss(self, report: Report) -> None:
        """A journal that lost its end is marked, since the blocks that show it are about to be put back (C-24)."""
        if not any(finding.words == LOST_END for finding in report.needs(Remedy.AMNESIA)):
            return
        place = self._directory / journal.FOLDER
        opened, records, health = Journal.open(place, self._files, self._judge.network_id, self._subject.journal_id)
        try:
            if would_vote(health, records):
                opened.forget(LOST_END)
                opened.rotate(without_earlier_returns(records))
                opened.sync()
                self._done.append("the journal was marked: it lacks what was durable, and the validator will not vote")
        finally:
            opened.close()

    def _keep(self, path: Path) -> None:
        self._kept.append(set_aside(self._files, path, self._directory / QUARANTINE))

    # -- Segments -----------------------------------------------------------------------------------

    def _mend_segments(self, found: Found) -> None:
        self._files.make_directory(self._segments)
        hurt = {finding.file for finding in found.report.damage if finding.part is Part.SEGMENT}
        lost = set(found.report.lost_heights)
        layout = sorted(found.survey.layout.items())
        for at, (first, following) in enumerate(layout):
            name = segment_path(self._segments, first).name
            if f"{segments.FOLDER}/{name}" in hurt or any(h in lost for h in range(first, following)):
                self._mend_segment(found, first, following, last=at == len(layout) - 1)
        self._append_lost(found)

    def _mend_segment(self, found: Found, first: int, following: int, *, last: bool) -> None:
        """One segment, written anew if all of its blocks are here or can be fetched."""
        path = segment_path(self._segments, first)
        survey = found.survey
        fetched: dict[int, bytes] = {}
        for low, high in segments.runs([h for h in range(first, following) if h not in survey.found]):
            fetched |= self._fetch(low, high, survey.below(low, self._judge), survey.parents.get(high + 1))
        missing = [h for h in range(first, following) if h not in survey.found and h not in fetched]
        if last and missing == list(range(following - len(missing), following)):
            # Nothing good stands above them: the node fetches them anew when it runs, so the segment may end below.
            following -= len(missing)
        elif missing:
            return
        if following == first:
            self._move_away(found, path)
            return
        blocks = self._blocks(found, fetched, range(first, following))
        self._tell(Progress(f"writing {path.name}", first, following))
        _, _, kept = replace_segment(
            self._segments, self._files, self._judge.network_id, first, blocks, sealed=not last
        )
        self._written.add(first)
        self._done.append(f"{path.name} was written anew with blocks {first} to {following - 1}")
        self._replaced(found, path, kept)
        for height, data in fetched.items():
            judged = self._judge.judge(height, data)
            survey.hashes[height], survey.parents[height] = judged.hash, judged.parent

    def _fetch(self, low: int, high: int, below: bytes | None, above: bytes | None) -> dict[int, bytes]:
        if not self._fetcher.sources:
            return {}
        self._tell(Progress(f"fetching{heights_text(low, high)[1:]}", low, high))
        return self._fetcher.fetch(low, high, below, above)

    def _blocks(self, found: Found, fetched: dict[int, bytes], heights: range) -> Iterator[bytes]:
        for height in heights:
            data = fetched.get(height) or found.survey.read(self._files, height)
            assert data is not None, "it was there when it was read before"
            yield data

    def _replaced(self, found: Found, path: Path, kept: Path | None) -> None:
        """Blocks of other heights that stood in the replaced file stand in quarantine now."""
        if kept is None:
            return
        self._kept.append(kept)
        for height, place in list(found.survey.found.items()):
            if place.path == path:
                found.survey.found[height] = Place(kept, place.header, place.frame)

    def _move_away(self, found: Found, path: Path) -> None:
        """A last segment of which nothing can be told, or its lone index: the node fetches these blocks anew."""
        for one in (path, index_path(self._segments, int(path.stem))):
            if one.name in self._files.list(self._segments):
                kept = set_aside(self._files, one, self._directory / QUARANTINE)
                self._files.unlink(one)
                self._replaced(found, one, kept)
        self._files.sync_directory(self._segments)
        self._done.append(f"{path.name} was moved away: it holds no block of its heights; the node fetches them anew")

    def _append_lost(self, found: Found) -> None:
        """Blocks above the last segment that were executed once; what nobody gives the node fetches when it runs."""
        if not found.report.lost_heights or not self._fetcher.sources:
            return
        now = Report()
        found.survey = segments.check_segments(self._segments, self._files, self._judge, now, untold)
        lost = [height for height in found.report.lost_heights if height > now.last_height]
        if not lost:
            return
        first, low = lost[0], max(now.last_height, self._judge.beginning) + 1
        below = found.survey.below(low, self._judge)
        fetched = self._fetch(low, lost[-1], below, None)
        if low not in fetched or below is None:
            return
        last = max(fetched)
        # They go into the last segment, written anew with them: a torn tail of it is left behind.
        layout = found.survey.layout
        begin = max((first for first, following in layout.items() if following > first), default=low)
        if any(height not in found.survey.found for height in range(begin, low)):
            return
        blocks = self._blocks(found, fetched, range(begin, last + 1))
        _, _, kept = replace_segment(self._segments, self._files, self._judge.network_id, begin, blocks, sealed=False)
        self._replaced(found, segment_path(self._segments, begin), kept)
        for empty in (first for first, following in layout.items() if following == first and first > begin):
            if segment_path(self._segments, empty).name in self._files.list(self._segments):
                self._move_away(found, segment_path(self._segments, empty))
        self._done.append(f"blocks {low} to {last} were appended, lost from {first} on")

    # -- What is derived ----------------------------------------------------------------------------

    def _indexes(self, report: Report) -> None:
        names = {finding.file for finding in report.needs(Remedy.REMAKE) if finding.part is Part.INDEX}
        firsts = {int(Path(name).stem) for name in names} - self._written
        if not firsts:
            return
        again = segments.check_segments(self._segments, self._files, self._judge, Report(), untold)
        for first in sorted(firsts):
            following = again.layout.get(first, first)
            if following > first and all(height in again.found for height in range(first, following)):
                kept = remake_index(self._segments, self._files, first)
                self._kept += [] if kept is None else [kept]
                self._done.append(f"{index_path(self._segments, first).name} was made anew from its segment")

    def _state(self, found: Found) -> bool:
        """Make the state anew if it is damaged and all blocks are here; whether it was."""
        report, files = found.report, self._files
        if not any(finding.part is Part.STATE for finding in report.damage):
            return False
        if any(
            found.read(files, height) is None for height in range(found.judge.beginning + 1, report.last_height + 1)
        ):
            return False
        unfinished, place = self._directory / UNFINISHED_STATE, self._directory / state.FOLDER
        if unfinished.exists():
            shutil.rmtree(unfinished)
        height = report.last_height
        inherited = inherited_directory(self._directory) / state.FOLDER
        made = state.Made(unfinished, self._subject.genesis, inherited)
        reached = state.rebuild(made, lambda at: found.read(files, at), height, self._tell)
        assert reached == height, "all blocks are here"
        files.sync_directory(unfinished)
        if place.exists():
            self._kept.append(self._state_away(place))
        unfinished.rename(place)
        files.sync_directory(self._directory)
        self._done.append(f"the state was made anew from {height} blocks")
        return True

    def _state_away(self, place: Path) -> Path:
        quarantine = self._directory / QUARANTINE
        self._files.make_directory(quarantine)
        taken = set(self._files.list(quarantine))
        number = next(n for n in range(1, len(taken) + 2) if f"state.{n}" not in taken)
        kept = quarantine / f"state.{number}"
        place.rename(kept)
        self._files.sync_directory(quarantine)
        self._files.sync_directory(self._directory)
        return kept
