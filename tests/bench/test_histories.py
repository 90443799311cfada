"""What is worked out of a node that comes back, of a network that is offered too much, and of costs that may grow."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.bench.digest import digest
from daemon.bench.histories import Look, departure, point
from daemon.bench.loads import overload
from daemon.bench.report import lines
from daemon.bench.run import scaling
from tests.bench.made import make_report, make_trial, transaction


def test_catching_up_counts_from_the_last_look_before_it_moved() -> None:
    looks = [Look(1.0, 5, 5, 100), Look(1.1, 5, 5, 100), Look(1.2, 9, 5, 100), Look(1.3, 9, 9, 300)]
    assert departure(looks, 100) is looks[1]
    assert departure(looks[:2], 100) is looks[1], "it never moved"
    assert departure(looks, 50) is looks[0], "it had begun before it was seen"
    assert departure([Look(1.0, 9, 9, 300)], 100).at == 1.0


def test_overload_counts_what_became_final_in_time_and_what_was_refused() -> None:
    trial = make_trial()
    trial.final[transaction(7)] = (1001.5, "ok")  # after the time
    trial.posted[0].posted[8].code = "pool_full"
    trial.meters.memory = [(1000.0 + at, {"alder": size << 20}) for at, size in ((0.1, 50), (0.5, 70), (0.9, 60))]
    found = overload(8.0, trial, trial.summary())
    assert (found["final_in_time_a_second"], found["kept_percent"]) == (7.0, 87.5)
    assert (found["refused_percent"], found["posts_with_429_percent"]) == (11.1, 10.0)
    assert found["memory_mib"] == {"alder": {"first": 50.0, "middle": 70.0, "last": 60.0, "most": 70.0}}


def test_a_point_of_growth_is_of_the_mean_node() -> None:
    found = point(10_000, make_trial().summary(), {"alder": {"state": 4096}, "birch": {"state": 0, "journal": 2048}})
    assert (found["transactions"], found["cpu_ms_a_transaction"]) == (10_000, 200.0)
    assert (found["memory_mib"], found["disk_bytes_a_transaction"]) == (3.0, 384)


def test_scaling_is_cpu_of_one_node() -> None:
    few = make_trial().summary()
    many = {**few, "cpu": {"nodes_seconds": {key: {} for key in "abcde"}, "ms_a_transaction": 800.0}}
    found = scaling(few, many)
    assert [one["nodes"] for one in found["networks"]] == [2, 5]
    assert [one["cpu_ms_a_transaction_and_node"] for one in found["networks"]] == [100.0, 160.0]
    assert found["cpu_times"] == 1.6


@pytest.fixture
def full() -> dict[str, Any]:
    """A report of which the first workload has everything that any has."""
    report = make_report()
    loaded = report["workloads"][0]
    filled = {"transactions": 9, "seconds": 1.0, "taken_a_second": 1_234, "cpu_ms_a_transaction": 2.5}
    summary = loaded["measured"]
    one = point(10_000, summary, {})
    more: dict[str, Any] = {
        "killing": {"member": "birch", "at_s": 1.0, "away_s": 8.0, "ready_after_s": 1.5, "caught_up_after_s": 1.75},
        "catch_up": {
            "member": "elm", "absent_transactions": 10_000, "absent_blocks": 50,
            "first_answer_s": 1.0, "begins_s": 1.25,
            "final_s": 1.5, "executed_s": 2.25, "final_a_second": 40_000, "executed_a_second": 10_001,
            "cpu_seconds": {"loop": 1.0}, "while_absent": filled, "looks": [],
        },
        "restart": {
            "history_transactions": 20_000, "history_blocks": 99, "disk_bytes": {"state": 1 << 21}, "history": filled,
            "after_a_stop_s": [1.5, 1.25], "after_a_kill_s": [1.75],
            "all_after_a_kill_s": {"ready": 2.0, "first_final": 2.5},
        },
        "overload": {
            "best_a_second": 3_000.0, "offered_a_second": 6_000.0, "final_in_time_a_second": 2_850.0,
            "kept_percent": 95.0,
            "refused_percent": 52.5, "posts_with_429_percent": 50.5,
            "memory_mib": {"alder": {"first": 50.0, "middle": 70.0, "last": 60.0, "most": 71.0}},
        },
        "growth": {
            "points": [one | {"history": None}, one | {"history": filled}], "times": {"a": 1.1, "b": 1.0, "c": 0.9},
        },
        "validators": scaling(summary, summary),
    }  # fmt: skip
    beside = {
        "idle_connections_a_node": 1_000, "slow_streams_a_node": 4, "happened": {"opened": 1_004},
        "health_statuses": {"200": 8}, "health_latency": summary["latency_final"], "cpu_seconds": 0.1,
    }  # fmt: skip
    loaded |= more
    loaded["measured"] = {**summary, "beside": beside, "burst": 3.0}
    return report


def test_the_report_tells_each_of_them(full: dict[str, Any]) -> None:
    told = list(lines(full))
    assert max(map(len, told)) <= 110
    text = " ".join(" ".join(told).split())
    for words in (
        "birch at 1.0 s, away for 8.0 s; ready 1.5 s after its start, caught up after 1.75 s",
        "for 10,000 transactions in 50 blocks",
        "made final 40,000 transactions a second; all after 1.5 s",
        "executed 10,001 transactions a second; all after 2.25 s",
        "20,000 transactions, 99 blocks; state 2.0 MiB",
        "ready after a stop 1.5 s, 1.25 s",
        "ready after 2.0 s, first final transaction after 2.5 s",
        "6,000.0 a second: 2,850.0 final a second, 95.0% of its best",
        "52.5% of what was sent; 50.5% of the posts with 429",
        "alder 50, 70, 60, at most 71 MiB",
        "at 10,000 200.0 ms CPU a transaction",
        "history made at 1,234 transactions a second, 2.5 ms CPU each",
        "CPU 1.1 times, memory 1.0 times, disk 0.9 times",
        "2 validators 100.0 ms CPU a transaction and node",
        "1.0 times that with the fewer",
        "3 times as many in every fifth second",
        "1000 idle connections and 4 slow streams a node; opened 1,004; asked for health 200 8",
    ):
        assert words in text, words
    del full["workloads"][0]["measured"]
    assert "ready after a stop" in " ".join(lines(full)), "a workload may have no stretch of load"


def test_the_table_has_a_figure_of_each_of_them(full: dict[str, Any]) -> None:
    made = list(digest(full))
    assert made[6:8] == ["| workload | figures |", "|---|---|"]
    table = " ".join(made)
    for words in (
        "Measured 2026-01-01, commit of a package, CPython 3.11.7: 2 nodes",
        "| `single` | the killed node had caught up 1.75 s after its start; away for 10,000 transactions: 40,000 made",
        "with 20,000 transactions ready 1.5 s after a stop, 1.75 s after kill -9 (longest)",
        "95.0% kept of 3,000.0 a second, 52.5% refused, memory +10 MiB",
        "CPU a transaction and node 100.0 ms with 2, 100.0 ms with 2: 1.0 times",
        "| `idle` | 0.6% of a core, 64 MiB, 16.9 MiB of disk a day",
        "| start of all | ready after 1.5 s, first final transaction after 1.7 s |",
    ):
        assert words in table, words
    assert "held 10 a second; to final p50 50.0 ms" in " ".join(digest(make_report()))
