"""Every record of every segment and index, read again and judged (L-25). Changes nothing.

Unlike a start, which believes an index until it is used, this reads each segment from its first byte, and takes nothing
from its name: a file says in its header which network and heights it holds, so two files that were swapped are told as
such, and their blocks are known to be here (`Survey.found`).

**Torn or damaged.** Only the last segment may end in a torn tail. A sealed one was synced whole, so whatever does not
check in it is damage, up to the length that its index names; and heights are contiguous, so a height between two
others that no record has is damage too, wherever its bytes went.

**Who stands on whom.** Records that check are judged (judging.py) and linked by hash, each to the one below it, over
files and from genesis. Where the one below is lost, the link is not judged; the certificates above still cover it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from daemon.store.errors import StoreFailed
from daemon.store.files import File, Files
from daemon.store.framing import Frame, body_of, scan
from daemon.store.history import Beginning
from daemon.store.segment_file import (
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    block_of,
    first_heights,
    index_path,
    is_mark,
    out_of_order,
    segment_path,
)
from daemon.store.segment_index import IndexHeader, index_is_right, read_entries, read_index_header
from daemon.upkeep.findings import Finding, Part, Progress, Remedy, Report, Tell
from daemon.upkeep.judging import Judge, NotFinal
from protocol.errors import OperatorFault

FOLDER = "segments"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a good block stands: a file of the directory, the salt of its segment and its frame."""

    path: Path
    header: SegmentHeader
    frame: Frame


@dataclass(slots=True)
class Survey:
    """What the segments hold. hashes: of good blocks, by height. parents: what each names as its parent.

    found: every good block, wherever it stands. layout: first height -> following height of each segment that there
    should be; the last one's follows from its content.
    """

    found: dict[int, Place] = field(default_factory=dict)
    hashes: dict[int, bytes] = field(default_factory=dict)
    parents: dict[int, bytes] = field(default_factory=dict)
    misplaced: set[int] = field(default_factory=set)
    layout: dict[int, int] = field(default_factory=dict)

    def below(self, height: int, judge: Judge) -> bytes | None:
        """What the block of this height has to stand on: genesis, or the good block below; None if that is not here."""
        return judge.network_id if height == judge.beginning + 1 else self.hashes.get(height - 1)

    def read(self, files: Files, height: int) -> bytes | None:
        """A good block's bytes, wherever it stands; None if there is none any more."""
        place = self.found.get(height)
        if place is None:
            return None
        file = files.open(place.path, writable=False)
        try:
            return block_of(body_of(file, place.header.seal(), place.frame))
        finally:
            file.close()


@dataclass(slots=True)
class _Look:
    """One pass over the segments."""

    directory: Path
    files: Files
    judge: Judge
    report: Report
    tell: Tell
    beginning: Beginning | None = None
    survey: Survey = field(default_factory=Survey)
    bytes_total: int = 0

    @property
    def lowest(self) -> int:
        """The lowest height that has to be here."""
        return self.judge.beginning + 1 if self.beginning is None else self.beginning.first_height

    def note(
        self,
        part: Part,
        name: str,
        words: str,
        remedy: Remedy,
        *,
        offset: int | None = None,
        heights: tuple[int, int] | None = None,
    ) -> None:
        first, last = heights or (None, None)
        self.report.findings.append(Finding(part, f"{FOLDER}/{name}", words, remedy, offset, first, last))


def check_segments(
    directory: Path,
    files: Files,
    judge: Judge,
    report: Report,
    tell: Tell,
    beginning: Beginning | None = None,
) -> Survey:
    """Read all segments and indexes in `directory` into `report`. Raises OperatorFault for a newer format.

    beginning: where the history begins, if not with the first block.
    """
    look = _Look(directory, files, judge, report, tell, beginning)
    try:
        names = files.list(directory)
    except FileNotFoundError:
        look.note(Part.SEGMENT, "", "the directory is missing", Remedy.FETCH)
        return look.survey
    firsts = _firsts(look, names)
    if not firsts:
        return look.survey
    report.segments, report.first_height = len(firsts), firsts[0]
    look.bytes_total = sum(_size(files, segment_path(directory, first)) for first in firsts)
    for at, first in enumerate(firsts):
        following = firsts[at + 1] if at + 1 < len(firsts) else None
        _check_segment(look, first, following)
    layout, found = look.survey.layout, look.survey.found
    while layout.get(firsts[-1]) in found:
        layout[firsts[-1]] += 1  # blocks of the last segment that stand in another file
    for first, following in layout.items():
        _say_lost(look, first, following, sealed=first != firsts[-1])
    _check_links(look)
    held = [height for height in look.survey.found if height not in look.survey.misplaced]
    report.last_height = max([*held, *(end - 1 for end in look.survey.layout.values())])
    return look.survey


def _firsts(look: _Look, names: list[str]) -> list[int]:
    """First heights of the segments that there are, or should be: an index without a segment names one."""
    firsts = set(first_heights(look.files, look.directory))
    for name in names:
        stem, dot, ending = name.partition(".")
        if dot and ending == "idx" and stem.isdecimal() and len(stem) == 20 and int(stem) not in firsts:
            index = read_index_header(look.files, look.directory / name)
            count = index.count if index is not None else 0
            first = int(stem)
            heights = (first, first + count - 1) if count else None
            look.note(Part.SEGMENT, f"{stem}.seg", "the file is missing", Remedy.FETCH, heights=heights)
            firsts.add(first)
        elif ending not in ("seg", "idx"):
            look.note(Part.SEGMENT, name, "a half-made file; it is removed when it is made again", Remedy.NOTHING)
    ordered = sorted(firsts)
    if ordered and ordered[0] > look.lowest:
        words = "the file that begins at the first block is missing"
        first, last = look.lowest, ordered[0] - 1
        look.note(Part.SEGMENT, f"{first:020d}.seg", words, Remedy.FETCH, heights=(first, last))
        look.survey.layout[first] = ordered[0]
    return ordered


def _check_segment(look: _Look, first: int, following: int | None) -> None:
    """One segment and its index. `following`: where the next one begins; None for the last."""
    path = segment_path(look.directory, first)
    index = read_index_header(look.files, index_path(look.directory, first))
    if following is not None:
        look.survey.layout[first] = following
    elif index is not None and index.first == first:
        look.survey.layout[first] = first + index.count  # at least: it may have been written when there was no room
    try:
        file = look.files.open(path, writable=False)
    except FileNotFoundError:
        return  # said already
    try:
        _read_segment(look, path, file, first, following, index)
    except StoreFailed as fault:
        look.note(Part.SEGMENT, path.name, f"the system cannot read it: {fault.words}", Remedy.FETCH)
    finally:
        file.close()
    look.report.bytes += _size(look.files, path)
    look.tell(Progress(f"reading {path.name}", look.report.bytes, look.bytes_total))


def _read_segment(
    look: _Look, path: Path, file: File, first: int, following: int | None, index: IndexHeader | None
) -> None:
    size = file.size()
    header = SegmentHeader.decode(file.read_at(0, SEGMENT_HEADER_BYTES))
    if header is None:
        if following is None and index is None and size <= SEGMENT_HEADER_BYTES:
            look.note(Part.SEGMENT, path.name, "begun, and never held anything", Remedy.NOTHING)
            return
        look.note(Part.SEGMENT, path.name, "its header does not check", Remedy.FETCH, offset=0)
        if index is None or index.first != first:
            look.survey.layout.setdefault(first, first)
            return
        header = SegmentHeader(look.judge.network_id, first, index.salt)
    if header.network_id != look.judge.network_id:
        raise OperatorFault(f"{path} belongs to network {header.network_id.hex()}, not {look.judge.network_id.hex()}")
    misplaced = header.first != first
    if misplaced:
        words = f"this is the file of the blocks from {header.first} on: it was renamed, or swapped with another"
        look.note(Part.SEGMENT, path.name, words, Remedy.SALVAGE)
    frames = _read_frames(look, path, file, header, following, misplaced=misplaced)
    if misplaced:
        look.survey.layout.setdefault(first, first)
        return
    if following is not None:
        _check_index(look, first, size, header, index, frames)
    else:
        # The last segment's index is not used by a start, and written anew when it is sealed.
        layout = look.survey.layout
        layout[first] = max([layout.get(first, first), *(frame.tag + 1 for frame in frames)])


def _read_frames(
    look: _Look, path: Path, file: File, header: SegmentHeader, following: int | None, *, misplaced: bool
) -> list[Frame]:
    """Judge every record; holes in it are said. Gives the frames that check."""
    scanned = scan(file, header.seal(), SEGMENT_HEADER_BYTES, keep_bodies=True)
    frames, wrong = scanned.frames, out_of_order(scanned, header.first)
    if wrong is not None:
        frames = frames[: frames.index(wrong)]
        words = f"a record of height {wrong.tag} stands where that cannot be, and what follows it is not believed"
        look.note(Part.SEGMENT, path.name, words, Remedy.FETCH, offset=wrong.offset)
    blocks = [frame for frame in frames if not is_mark(frame)]
    for frame, body in zip(frames, scanned.bodies, strict=wrong is None):
        if is_mark(frame):
            continue
        _judge_frame(look, path, header, frame, body, misplaced=misplaced)
    holes = [(hole.start, hole.end) for hole in scanned.damage]
    if scanned.torn_bytes and following is None:
        words = f"a torn tail of {scanned.torn_bytes} bytes, which was never promised; the next start cuts it"
        look.note(Part.SEGMENT, path.name, words, Remedy.NOTHING, offset=scanned.end)
    elif scanned.torn_bytes:
        holes.append((scanned.end, scanned.end + scanned.torn_bytes))
    for start, end in holes:
        below = [frame.tag for frame in blocks if frame.offset < start]
        above = [frame.tag for frame in blocks if frame.offset >= end]
        lowest = below[-1] + 1 if below else header.first
        highest = above[0] - 1 if above else None
        if highest is None:
            highest = lowest if following is None else following - 1
        words = f"{end - start} bytes do not check"
        if highest < lowest:
            look.note(Part.SEGMENT, path.name, f"{words}, and hold no block", Remedy.REMAKE, offset=start)
        else:
            look.note(Part.SEGMENT, path.name, words, Remedy.FETCH, offset=start, heights=(lowest, highest))
    return list(frames)


def _judge_frame(look: _Look, path: Path, header: SegmentHeader, frame: Frame, body: bytes, *, misplaced: bool) -> None:
    survey, height = look.survey, frame.tag
    block = block_of(body)
    try:
        if block is None:
            raise NotFinal("it cannot be opened")
        judged = look.judge.judge(height, block)
    except NotFinal as fault:
        words = f"the record checks and is not a final block: {fault.words}"
        look.note(Part.SEGMENT, path.name, words, Remedy.FETCH, offset=frame.offset, heights=(height, height))
        return
    look.report.blocks += 1
    if judged.certified:
        look.report.certificates += 1
        look.report.certified_height = max(look.report.certified_height, height)
    if height in survey.found and misplaced:
        return
    survey.found[height] = Place(path, header, frame)
    survey.hashes[height], survey.parents[height] = judged.hash, judged.parent
    (survey.misplaced.add if misplaced else survey.misplaced.discard)(height)


def _say_lost(look: _Look, first: int, following: int, *, sealed: bool) -> None:
    """Heights of a segment that no record holds, and that no finding names yet."""
    survey, name = look.survey, segment_path(look.directory, first).name
    said = {height for finding in look.report.findings for height in finding.heights}
    lost = [h for h in range(first, following) if (h not in survey.found or h in survey.misplaced) and h not in said]
    for low, high in runs(lost):
        here = all(height in survey.misplaced for height in range(low, high + 1))
        remedy = Remedy.SALVAGE if here else Remedy.FETCH
        words = "stand in another file" if here else "no record holds them" if sealed else "are not there"
        look.note(Part.SEGMENT, name, words, remedy, heights=(low, high))


def runs(heights: list[int]) -> list[tuple[int, int]]:
    """Ascending heights as ranges, both ends included."""
    runs: list[tuple[int, int]] = []
    for height in heights:
        if runs and runs[-1][1] == height - 1:
            runs[-1] = (runs[-1][0], height)
        else:
            runs.append((height, height))
    return runs


def _check_links(look: _Look) -> None:
    """Each good block stands on the good one below it, the first on genesis."""
    survey, beginning = look.survey, look.beginning
    for height in sorted(survey.found):
        below = survey.below(height, look.judge)
        if below is None and beginning is not None and height == beginning.first_height:
            below = beginning.below
        if below is not None and survey.parents[height] != below:
            place = survey.found[height]
            # One of the two is wrong, and neither says which: both are asked for again.
            words = "it does not stand on the block below it"
            heights = (max(look.judge.beginning + 1, height - 1), height)
            look.note(Part.SEGMENT, place.path.name, words, Remedy.FETCH, offset=place.frame.offset, heights=heights)
    for height in {h for finding in look.report.findings for h in finding.heights if finding.remedy is Remedy.FETCH}:
        for known in (survey.found, survey.hashes, survey.parents):
            known.pop(height, None)


def _check_index(
    look: _Look, first: int, size: int, header: SegmentHeader, index: IndexHeader | None, frames: list[Frame]
) -> None:
    """The index against the segment; where the segment is damaged, only what still stands there is compared."""
    path = index_path(look.directory, first)
    if index is None:
        missing = path.name not in look.files.list(look.directory)
        words = "the index is missing" if missing else "the index does not check"
        look.note(Part.INDEX, path.name, words, Remedy.REMAKE, offset=None if missing else 0)
        return
    if not index_is_right(look.files, path, index):
        look.note(Part.INDEX, path.name, "its entries do not check", Remedy.REMAKE)
        return
    if (index.first, index.salt, index.count) != (first, header.salt, look.survey.layout[first] - first):
        words = "it is the index of another segment, or of another state of this one"
        look.note(Part.INDEX, path.name, words, Remedy.REMAKE)
        return
    hurt = any(finding.file.endswith(path.with_suffix(".seg").name) for finding in look.report.damage)
    if index.segment_bytes != size and not hurt:
        words = f"the segment has {size} bytes where its index says {index.segment_bytes}"
        look.note(
            Part.SEGMENT, path.with_suffix(".seg").name, words, Remedy.REMAKE, offset=min(size, index.segment_bytes)
        )
    entries = read_entries(look.files, path, 0, index.count)
    for frame in frames:
        if is_mark(frame):
            continue
        at = frame.tag - first
        if not 0 <= at < len(entries) or entries[at] != frame.offset:
            words = f"its entry for block {frame.tag} leads elsewhere"
            look.note(Part.INDEX, path.name, words, Remedy.REMAKE)
            return


def _size(files: Files, path: Path) -> int:
    try:
        file = files.open(path, writable=False)
    except FileNotFoundError:
        return 0
    try:
        return file.size()
    finally:
        file.close()
