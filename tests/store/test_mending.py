"""Good blocks in the place of damaged ones, while others read (L-25)."""

from __future__ import annotations

from daemon.store.segment_file import SEGMENT_HEADER_BYTES
from tests.store.test_segments import block, filled, flipped, names, open_segments


def test_who_reads_while_a_segment_is_mended_reads_on_in_the_new_file() -> None:
    """The old file is still open there: its blocks would be damage once more, and mended once more."""
    whole = filled(12)
    path = names(whole, ".seg")[0]
    second = SEGMENT_HEADER_BYTES + len(whole.content(path)[SEGMENT_HEADER_BYTES:]) // 2
    disk = flipped(whole, path, second)
    segments = open_segments(disk)
    reading = segments._sealed.blocks(1, 5)
    assert next(reading) == block(1), "the old file is open"
    lost = [height for height in range(1, 13) if not segments._reads(height)]
    assert len(lost) == 1
    segments.mend({lost[0]: block(lost[0])})
    read = [block(1), *reading]
    assert read == [block(height) for height in range(1, len(read) + 1)]
    assert len(read) >= lost[0]
    assert not segments.damaged
