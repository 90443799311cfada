"""What a node leaves behind when it stopped itself: enough to find out why, and nothing secret."""

from __future__ import annotations

import json
from pathlib import Path

from daemon.runtime.driver import NodeStopped
from daemon.runtime.main import _first
from daemon.runtime.pump import SyncFailed
from daemon.runtime.reports import EVENTS_REMEMBERED, REPORTS_KEPT, Recent, write_report
from protocol.crypto.signing import SigningKey
from protocol.errors import BrokenInvariant
from protocol.node.setup import NodeStatus

SEED = bytes(range(7, 39))


def write(directory: Path, recent: Recent) -> Path:
    try:
        raise BrokenInvariant("two finalizes in view 7")
    except BrokenInvariant as fault:
        path = write_report(
            directory,
            code=fault.code,
            words=fault.words,
            fault=fault,
            doing={"input": "Received", "key": SigningKey(SEED), "seed": SEED},
            status=NodeStatus(view=7, final_hash=b"\x01" * 32),
            version="0.1.0",
            recent=recent,
        )
    assert path is not None
    return path


def test_a_report_says_what_happened_where_and_when(tmp_path: Path) -> None:
    recent = Recent()
    for number in range(EVENTS_REMEMBERED + 5):
        recent(None, "info", {"event": "block", "height": number})
    path = write(tmp_path, recent)
    text = path.read_text()
    report = json.loads(text)
    assert (report["code"], report["words"]) == ("broken_invariant", "two finalizes in view 7")
    assert "test_reports.py" in report["trace"]
    assert report["status"]["view"] == 7
    assert report["status"]["final_hash"] == "01" * 32
    assert report["events"][-1]["height"] == EVENTS_REMEMBERED + 4
    assert SEED.hex() not in text


def test_reports_do_not_fill_the_disk(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    for number in range(REPORTS_KEPT + 5):
        (folder / f"crash-2000010{number // 10}T00000{number % 10}-1.json").write_text("{}")
    path = write(tmp_path, Recent())
    left = sorted(folder.iterdir())
    assert len(left) == REPORTS_KEPT
    assert path in left


def test_a_report_that_cannot_be_written_is_no_second_fault(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("in the way")
    fault = BrokenInvariant("x")
    found = write_report(
        tmp_path, code="x", words="x", fault=fault, doing={}, status=None, version="0", recent=Recent()
    )
    assert found is None


def test_of_several_faults_the_first_cause_is_told() -> None:
    cause = NodeStopped("diverged", "roots differ", {})
    followed = SyncFailed("later")
    group = BaseExceptionGroup("", [BaseExceptionGroup("", [followed, ValueError()]), BaseExceptionGroup("", [cause])])
    assert _first(group) is cause
