"""All blocks that a node can show: its own, and below its network's beginning those of the networks before (decision
0014).

`Segments` hold one network's blocks. A network that goes on from another has that one's blocks in
`inherited/segments` of its data directory, those of an older one in `inherited/inherited`, and so on. They are read,
never written.

Deliberately absent: synchronisation with other nodes. Who begins a node of such a network brings the old blocks along.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from daemon.store.directory import inherited_directory
from daemon.store.files import Files, OsFiles
from daemon.store.segments import Segments


class Chronicle:
    """Reads a block of any height. `close` lets go of the older segments, not of `own`."""

    def __init__(self, own: Segments, older: Sequence[tuple[int, Segments]] = ()) -> None:
        """older: (last height, segments) of each network before, the youngest first."""
        self._own = own
        self._older = tuple(older)

    def read(self, height: int) -> bytes | None:
        """The encoded block, or None. Raises SegmentDamaged."""
        at = next((segments for last, segments in reversed(self._older) if height <= last), self._own)
        return at.read(height)

    def first_height(self, own: int) -> int:
        """From where on all blocks are held without a gap, where the own ones are from `own` on."""
        lowest = own
        for last, segments in self._older:
            if last + 1 < lowest:
                break
            lowest = min(lowest, segments.first_height)
        return lowest

    def close(self) -> None:
        """Let go."""
        for _, segments in self._older:
            segments.close()


def open_chronicle(
    directory: Path, own: Segments, ancestors: Sequence[tuple[bytes, int]], files: Files | None = None
) -> Chronicle:
    """Of the data directory `directory`. ancestors: (network id, last height), the youngest first.

    What is not there is left out: then its blocks are not held. Raises OperatorFault, SegmentDamaged, StoreFailed.
    """
    older: list[tuple[int, Segments]] = []
    for network_id, last_height in ancestors:
        directory = inherited_directory(directory)
        if not (directory / "segments").is_dir():
            break
        segments = Segments.open(directory / "segments", files or OsFiles(), network_id, writable=False)
        older.append((last_height, segments))
    return Chronicle(own, older)
