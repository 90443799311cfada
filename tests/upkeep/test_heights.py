"""Records that check and name heights that cannot be: told, not believed, and nothing is allotted for them (L-25)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from daemon.store.framing import make_frame
from daemon.store.segment_file import SegmentHeader, segment_path
from daemon.upkeep.findings import Remedy, Report, untold
from daemon.upkeep.judging import Judge
from daemon.upkeep.segments import check_segments
from protocol.codec import encode
from protocol.ledger.records import Block
from tests.restart.made import Old
from tests.restart.test_beginning import Begun
from tests.store.disk import Disk
from tests.upkeep.made import chain

PLACE = Path("/node/segments")


@pytest.mark.parametrize("height", [1, 3, 2**62])
def test_a_record_out_of_order_is_told_and_what_follows_is_fetched(height: int) -> None:
    blocks, header = chain().blocks, SegmentHeader(chain().network_id, 1, bytes(16))
    content = header.encode()
    for tag, block in ((1, blocks[1]), (height, blocks[2]), (2, blocks[2])):
        content += make_frame(header.seal(), len(content), tag, len(content), block)
    disk = Disk(directories={PLACE})
    disk.put(segment_path(PLACE, 1), content)
    report = Report()
    survey = check_segments(PLACE, disk, Judge(chain().genesis), report, untold)
    assert [(finding.remedy, f"height {height} stands" in finding.words) for finding in report.findings] == [
        (Remedy.FETCH, True)
    ]
    assert (sorted(survey.found), report.last_height) == ([1], 1)


@pytest.mark.parametrize("forged", [False, True])
def test_the_first_block_of_a_network_that_goes_on_stands_on_its_genesis(*, forged: bool) -> None:
    """L-4: its parent is the network's id, at whatever height the network begins."""
    begun = Begun(Old())
    begun.run(begun.put(90))
    judge, (header, batches) = Judge(begun.genesis), begun.blocks[0]
    first = replace(header, parent=bytes(32)) if forged else header
    segment = SegmentHeader(begun.network_id, header.height, bytes(16))
    content, block = segment.encode(), encode(Block(encode(first), batches, None))
    content += make_frame(segment.seal(), len(content), header.height, len(content), block)
    disk = Disk(directories={PLACE})
    disk.put(segment_path(PLACE, header.height), content)
    report = Report()
    survey = check_segments(PLACE, disk, judge, report, untold)
    assert sorted(survey.found) == ([] if forged else [7])
    said = [finding.heights for finding in report.findings if "does not stand on" in finding.words]
    assert said == ([range(7, 8)] if forged else [])
