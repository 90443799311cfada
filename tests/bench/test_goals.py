"""Goals are judged by the figure alone, and those that were not measured say nothing."""

from __future__ import annotations

from typing import Any

from daemon.bench.digest import digest
from daemon.bench.goals import GOALS, START, judged
from daemon.bench.kinds import KINDS
from daemon.bench.page import page
from daemon.bench.report import lines
from tests.bench.made import make_report


def report_of(**workloads: dict[str, Any]) -> dict[str, Any]:
    """A report of nothing but these, by name with _ for -."""
    found = [{"name": name.replace("_", "-"), "start_seconds": {}} | one for name, one in workloads.items()]
    return {"workloads": found}


def test_each_goal_is_of_a_workload_and_a_report_has_its_figure() -> None:
    assert {goal.workload for goal in GOALS} - {START} <= set(KINDS)
    rows = list(judged(make_report()))
    assert ("single", "held with p99 below 1 s, a second: at least 3,000", "10", False) in rows
    assert ("single", "disk, times the envelopes: at most 2.5", "2", True) in rows
    assert ("idle", "% of a core: at most 1", "0.6", True) in rows
    assert ("idle", "anonymous memory, MiB: at most 80", "64", True) in rows
    assert ("idle", "disk a day, MiB: at most 10", "16.875", False) in rows
    assert (START, "to first final, s: at most 3", "1.7", True) in rows
    assert {name for name, *_ in rows} == {"single", "idle", START}, "what was not measured is not judged"


def test_the_worst_counts_and_the_history_is_told() -> None:
    report = report_of(
        restart={"restart": {"after_a_stop_s": [1.0, 5.5], "history_transactions": 20_000}},
        catch_up={"catch_up": {"executed_a_second": 10_000, "absent_transactions": 10_000}},
        growth={"growth": {"times": {"cpu_ms_a_transaction": 1.25}, "points": [{}, {}, {"transactions": 50_000}]}},
    )
    assert list(judged(report)) == [
        ("catch-up", "executed a second, 10,000 transactions: at least 10,000", "10,000", True),
        ("restart", "ready after a stop, s, 20,000 transactions: at most 5", "5.5", False),
        ("growth", "CPU a transaction, times, 50,000 transactions: at most 1.2", "1.25", False),
    ]


def test_a_rate_that_was_not_held_is_none_and_hot_is_measured_by_single() -> None:
    held = {"tries": [{}], "held": True, "measured": {"offered_a_second": 1_000}}
    hot = held | {"measured": {"offered_a_second": 790}}
    rows = list(judged(report_of(single=held, hot=hot)))
    assert rows[-1] == ("hot", "held, % of single: at least 80", "79", False)
    rows = list(judged(report_of(single=held | {"held": False}, hot=hot)))
    assert rows == [("single", "held with p99 below 1 s, a second: at least 3,000", "0", False)]


def test_every_form_of_a_report_tells_them() -> None:
    report = make_report()
    assert "| idle | % of a core: at most 1 | 0.6 | yes |" in list(digest(report))
    assert "idle % of a core: at most 1: 0.6, met" in " ".join(" ".join(lines(report)).split())
    assert "disk a day, MiB: at most 10" in page(report)
