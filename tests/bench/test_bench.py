"""The bench itself, for some seconds on real nodes; nothing is asserted on time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from daemon import cli
from daemon.bench import histories, run


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


def bench(tmp_path: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    """Run it; its workloads by name, judged."""
    file = tmp_path / "r.json"
    options: Sequence[str] = ["--directory", str(tmp_path / "nodes"), "--json", str(file)]
    assert cli.main(["bench", *arguments, *options, "--report", str(tmp_path / "r.html")]) == 0
    found = {workload["name"]: workload for workload in json.loads(file.read_text())["workloads"]}
    assert all(workload["judged"]["wrong"] == [] for workload in found.values() if "judged" in workload)
    return found


def test_one_node_offered_too_much_beside_other_clients(tmp_path: Path) -> None:
    load = ["--mix", "evidence=1,hot=2", "--operations", "3", "--size", "20", "--rate", "30", "--seconds", "1"]
    beside = ["--idle-connections", "20", "--slow-consumers", "2", "--burst", "2"]
    found = bench(tmp_path, "overload", "--nodes", "1", *load, *beside)["overload"]
    measured = found["measured"]
    assert measured["operations_an_envelope"] == 3
    assert measured["beside"]["happened"]["opened"] >= 22
    assert set(measured["beside"]["health_statuses"]) == {"200"}
    assert found["overload"]["offered_a_second"] == 60
    assert measured["cpu"]["parts_seconds"].keys() >= {"network", "consensus", "api"}


@pytest.mark.long
def test_a_node_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "RESTARTS", 1)
    restart = bench(tmp_path, "restart", "--nodes", "1", "--transactions", "60")["restart"]["restart"]
    assert restart["history_transactions"] >= 60
    assert len(restart["after_a_stop_s"]) == len(restart["after_a_kill_s"]) == 1


@pytest.mark.long
def test_a_node_comes_back_to_what_it_missed(tmp_path: Path) -> None:
    found = bench(tmp_path, "catch-up", "--transactions", "120")["catch-up"]["catch_up"]
    assert found["absent_transactions"] >= 120
    assert found["final_s"] <= found["executed_s"]
    assert found["looks"][-1][2] >= 120


@pytest.mark.long
def test_a_longer_history_and_more_validators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "MANY_VALIDATORS", 4)
    options = ["--transactions", "300", "--rate", "40", "--seconds", "2", "--nodes", "2"]
    found = bench(tmp_path, "growth", "validators", "idle", *options)
    first, last = (point["transactions"] for point in found["growth"]["growth"]["points"])
    assert first >= 150
    assert last >= 300
    assert [one["nodes"] for one in found["validators"]["validators"]["networks"]] == [2, 4]
    assert found["validators"]["more"]["judged"]["wrong"] == []
    assert found["idle"]["core_percent"].keys() == {"alder", "birch"}
