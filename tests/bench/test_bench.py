"""The bench itself, for two seconds on real nodes; nothing is asserted on time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daemon import cli


@pytest.mark.long
def test_two_seconds_of_load_on_real_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--seconds", "2", "--directory", str(tmp_path / "nodes"), "--recompute"]
    files = ["--json", str(tmp_path / "r.json"), "--report", str(tmp_path / "r.html")]
    assert cli.main(["bench", "light", "bundled", "--rate", "20", *options, *files]) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    for workload in report["workloads"]:
        found, judged = workload["measured"], workload["judged"]
        assert judged["wrong"] == []
        assert set(judged["recomputed"].values()) == {judged["state_root"]}
        assert found["final_ok"] == found["sent"]["good"] == 40
        assert all(codes["ok"] >= 40 for codes in judged["receipts_by_disk"].values())
        assert found["latency_provable"]["count"] > 0
        assert found["cpu"]["total_seconds"] > 0
    assert report["conditions"]["nodes"] == 4
    assert "<svg" in (tmp_path / "r.html").read_text()
    assert "latency to final" in capsys.readouterr().out
