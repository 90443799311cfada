"""Searching: reports in order whatever the number of processes; tallies; the page of a run."""

from __future__ import annotations

import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from daemon.scenarios.page import page
from daemon.scenarios.scale import measure
from daemon.scenarios.search import Tally, reports
from daemon.scenarios.shipped import load
from protocol.sim.run import make_world, report_of, run
from protocol.sim.trace import Tracer


def test_processes_change_nothing() -> None:
    wanted = [load("one"), load("one-power-cuts")]
    alone = [report.text() for _, report in reports(wanted, range(1, 3), 1)]
    together = [report.text() for _, report in reports(wanted, range(1, 3), 2)]
    assert together == alone
    assert [text.split()[1] for text in alone] == ["one", "one", "one-power-cuts", "one-power-cuts"]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal at a parent's death is Linux's")
def test_runs_end_with_the_search_that_wants_them() -> None:
    """Also with one that is killed: its processes have nobody to report to."""
    search = [sys.executable, "-m", "daemon.cli", "sim", "search", "storm", "--seeds", "1..100000", "--jobs", "2"]
    with subprocess.Popen(search, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        children: list[int] = []
        while len(children) < 3:  # both, and multiprocessing's own helper
            assert process.poll() is None, "it goes on"
            children = [
                int(word) for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            ]
            time.sleep(0.05)
        process.kill()
    left = children
    for _ in range(2_000):
        left = [child for child in left if Path(f"/proc/{child}/exe").exists()]
        if not left:
            break
        time.sleep(0.05)
    assert not left, "they end with it"


def test_a_seed_without_a_fault_does_not_count_and_a_missing_fault_is_named() -> None:
    tally = Tally("one")
    tally.add(run(load("one"), 1), lies=False)
    assert (tally.seeds, tally.counted) == (1, 0)
    tally = Tally("crashes")
    report = run(load("crashes"), 7)
    tally.add(report, lies=False)
    assert (tally.seeds, tally.counted) == (1, 1)
    assert tally.missing == ["delay_spike"] == list(report.missing)
    assert "never happened: delay_spike" in "\n".join(tally.lines())
    assert tally.facts()["never_happened"] == ["delay_spike"]


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def test_the_page_loads_nothing_and_shows_every_node_and_fault_and_a_trace_changes_no_run() -> None:
    world = make_world(load("crashes"), 7)
    tracer = Tracer(world)
    world.run()
    report, trace = report_of(world, 7), tracer.trace()
    assert report.text() == run(load("crashes"), 7).text()
    drawn = page(report, trace, "words & more")
    seen = Seen()
    seen.feed(drawn)
    assert "svg" in seen.tags
    assert not {"script", "link", "img", "iframe"} & set(seen.tags)
    assert not [value for name, value in seen.attributes if name in ("src", "href")]
    assert "words &amp; more" in drawn
    for index in range(4):
        assert f">node {index}</text>" in drawn
    assert drawn.count("<td>crash</td>") == report.faults["crash"]
    for lane, host in zip(trace.lanes, world.hosts, strict=True):
        assert lane.heights[-1][1] == host.disk.blocks.last
        assert len(lane.lives) == sum(1 for _ in host.lives)
        assert [at for at, _, _ in lane.views] == sorted(at for at, _, _ in lane.views)


def test_messages_grow_with_the_square_of_validators() -> None:
    """Two votes from each to each, and a little: no certificate that everyone makes from votes is sent."""
    for members in (2, 7):
        assert members**2 < measure(members, 1).a_block()["messages"] < 3 * members**2
