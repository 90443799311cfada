"""The report's form: every condition and figure in words, plots that are well formed, nothing loaded from anywhere."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree as ET

import pytest

from daemon.bench.loads import overload
from daemon.bench.page import page
from daemon.bench.plots import nice_step, nice_top
from daemon.bench.profiles import shares
from daemon.bench.report import lines
from tests.bench.made import make_report, make_trial


def test_the_report_is_json_and_says_under_which_conditions() -> None:
    report = make_report()
    assert json.loads(json.dumps(report)) == json.loads(json.dumps(report))
    text = "\n".join(lines(report))
    for words in ("2 cores", "CPython 3.11.7", "trio 0.31", "ext4", "batch_wait_ms 5", "durable writes on", "Linux"):
        assert words in text
    assert "0.1 0.1 0.1 before, 2.0 1.0 0.5 after" in text


def test_the_text_has_every_figure_and_is_not_too_wide() -> None:
    told = list(lines(make_report()))
    assert max(map(len, told)) <= 110
    text = re.sub(r"\s+", " ", " ".join(told))
    for words in (
        "10 envelopes a second for 1 s, 1 a request, 2 connections",
        "highest rate held 10 envelopes a second",
        "p50 50.0 ms, p90 50.0 ms, p99 50.0 ms, max 50.0 ms",
        "1.6 s in 1.0 s; 200.0 ms a transaction",
        "loop 1.00 s, threads 0.00 s, verify 0.40 s, execute 0.20 s",
        "network 0.12 s, consensus 0.25 s, signatures 0.20 s, execution 0.10 s, storage 0.06 s, api 0.00 s",
        "to nodes 0.00 MiB, from nodes 0.00 MiB",
        "512 bytes a transaction, 2.0 times its envelope of 256 bytes",
        "posting 0.02 s; following 0.01 s; requests left at most 3.0 ms late",
        "512 bytes a transaction",
        "10.0 steps",
        "alder ok 8; birch ok 8",
        "1 sent, none on any disk",
        "20.0% step (node.py)",
        "failed: no permission",
        "alder 0.5% of a core",
    ):
        assert words in text


def test_what_was_only_probed_is_not_said_to_be_held() -> None:
    """`overload` asks what nodes can do: its tries are short, and none is for the full time."""
    report = make_report()
    workload = report["workloads"][0]
    workload["overload"] = overload(8.0, make_trial(), workload["measured"])
    text = "\n".join(lines(report))
    assert "tries " in text
    assert "highest rate held" not in text


def test_the_page_loads_nothing_and_its_plots_are_well_formed() -> None:
    made = page(make_report())
    assert not re.search(r"<(script|link|img|iframe)|https?://(?!www\.w3\.org/2000/svg)|@import|url\(", made)
    drawings = re.findall(r"<svg.*?</svg>", made, re.DOTALL)
    assert len(drawings) == 5
    for drawing in drawings:
        ET.fromstring(drawing)
    assert "half &lt;this&gt;, half that" in made
    assert "&lt;fast &amp; small&gt;" in made
    for words in ("p50 50 ms", "to final, median", "nobody uses it", "alder, consensus: 0.25 s"):
        assert words in made


@pytest.mark.parametrize(("value", "top"), [(0.9, 1.0), (4.0, 4.0), (4.1, 6.0), (99.0, 100.0), (101.0, 150.0)])
def test_an_axis_ends_at_a_whole_step_not_below_the_value(value: float, top: float) -> None:
    assert nice_top(value) == pytest.approx(top)
    assert nice_top(value) >= value


def test_steps_are_one_two_or_five() -> None:
    assert [nice_step(least) for least in (0.3, 1, 1.2, 3, 7)] == [pytest.approx(x) for x in (0.5, 1, 2, 5, 10)]


def test_shares_of_a_profile() -> None:
    raw = "run (a.py:1);step (b.py:2) 30\nrun (a.py:9);step (b.py:3);hash (c.py:4) 10\nrun (a.py:1) 10\n"
    found = shares(raw, 100)
    assert found["busy_percent"] == 50.0
    assert found["self"] == [("step (b.py)", 30.0), ("hash (c.py)", 10.0), ("run (a.py)", 10.0)]
    assert found["total"] == [("run (a.py)", 50.0), ("step (b.py)", 40.0), ("hash (c.py)", 10.0)]
