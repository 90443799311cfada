"""The report as one file for a browser: figures, plots, conditions. It loads nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from daemon.bench import plots
from daemon.bench.goals import judged
from daemon.bench.plots import Line
from daemon.bench.report import condition_rows, lines, rows

STYLE: Final = """
:root { color-scheme: light dark; --page: #fcfcfb; --ink: #1f2430; --muted: #6b7280; --grid: #e3e5ea;
  --one: #2f6fb5; --two: #c2571a; --three: #7a8699; --four: #3c8f5a;
  --five: #8a5cb8; --six: #b3a02c; --seven: #c04a78; }
@media (prefers-color-scheme: dark) { :root { --page: #15181e; --ink: #e8eaf0; --muted: #9aa3b2; --grid: #2c323d;
  --one: #6aa9ec; --two: #f0965a; --three: #a3adbd; --four: #6cc48d;
  --five: #b794e0; --six: #d8c75a; --seven: #e887ae; } }
body { font: 16px/1.5 system-ui, sans-serif; background: var(--page); color: var(--ink); max-width: 60rem;
  margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.25rem; margin: 2.6rem 0 .2rem }
.words { color: var(--muted); margin: 0 0 1rem }
.tiles { display: flex; flex-wrap: wrap; gap: .6rem 2.4rem; margin: 1rem 0 }
.tiles div { min-width: 7rem } .tiles b { display: block; font-size: 1.5rem; font-weight: 600; line-height: 1.2 }
.tiles span { color: var(--muted); font-size: .85rem }
figure { margin: 1.4rem 0 } figcaption { font-weight: 600; margin-bottom: .3rem }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif } svg text { fill: var(--muted) }
svg .strong { fill: var(--ink) }
table { border-collapse: collapse; font-size: .88rem; width: 100% }
td { padding: .28rem .8rem .28rem 0; vertical-align: top; border-top: 1px solid var(--grid); overflow-wrap: anywhere }
td:first-child { color: var(--muted); white-space: nowrap }
pre { font-size: .8rem; overflow-x: auto }
"""
COLOURS: Final = {
    "network": "one", "consensus": "two", "signatures": "four", "execution": "five", "storage": "six", "api": "seven",
    "other": "three",
}  # fmt: skip
LINES: Final = ("one", "two", "four", "five", "six", "seven", "three")


def page(report: Mapping[str, Any]) -> str:
    """The whole file."""
    told = report["conditions"]
    where = f"{told['nodes']} nodes on {told['cores']} cores, {told['file_system']}, durable writes"
    what = f"{told['at']}, commit {told['commit'] or 'unknown'}, {where}"
    parts = ["<h1>Papilio, measured</h1>", f'<p class="words">{escape(what)}</p>']
    for workload in report["workloads"]:
        parts.append(f"<h2>{escape(workload['name'])}</h2>")
        parts.append(f'<p class="words">{escape(workload["words"])}</p>')
        parts += _workload(workload) if "measured" in workload else _plain(report, workload)
    goals = [(f"{one.workload}: {one.goal}", one.words) for one in judged(report)]
    parts += ["<h2>Goals</h2>", _table(goals)]
    parts += ["<h2>Conditions</h2>", _table(condition_rows(told))]
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Papilio, measured</title>\n'
        f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</html>\n"
    )


def _workload(workload: Mapping[str, Any]) -> list[str]:
    found = workload["measured"]
    latency, over = found["latency_final"], found["series"]
    marks = {f"p{percent}": latency[f"p{percent}_ms"] for percent in (50, 99) if latency[f"p{percent}_ms"]}
    offered = found["offered_a_second"] * 0.99
    shown = len(over["final_a_second"])
    times = [round(number * over["final_bucket_s"], 3) for number in range(shown)]
    even = found["burst"] == 1
    wanted = [offered if even and at < found["seconds"] else None for at in times]
    cpu = found["cpu"]
    bars = {member: dict(parts) for member, parts in cpu["nodes_parts_seconds"].items()}
    memory = found["memory_series"]
    return [
        _tiles(found),
        plots.over_time(
            "Latency to the final receipt, by when a transaction was due",
            "ms",
            over["at_s"],
            [
                Line("max", over["max_ms"], "three"),
                Line("p99", over["p99_ms"], "two"),
                Line("p50", over["p50_ms"], "one"),
            ],
        ),
        plots.histogram("Latency to the final receipt, all transactions", found["histogram_ms"], marks),
        plots.over_time(
            "Transactions that became final, a second",
            "a second",
            times,
            [Line("final", over["final_a_second"], "one"), Line("offered", wanted, "three", dashed=True)],
        ),
        plots.stacked("CPU seconds by node and part", "s", bars, COLOURS),
        plots.over_time(
            "Anonymous memory of each node",
            "MiB",
            memory["at_s"],
            [
                Line(member, values, LINES[number % len(LINES)])
                for number, (member, values) in enumerate(memory["mib"].items())
            ],
        ),
        _table(rows(workload)),
        *_profile(workload),
    ]


def _tiles(found: Mapping[str, Any]) -> str:
    latency, cpu = found["latency_final"], found["cpu"]
    told = [
        (f"{found['final_a_second']:,}", "final a second"),
        (f"{latency['p50_ms']} ms", "to final, median"),
        (f"{latency['p99_ms']} ms", "to final, 99 of 100"),
        (f"{cpu['ms_a_transaction']} ms", "CPU a transaction, all nodes"),
    ]
    if found["operations_an_envelope"] > 1:
        told.insert(1, (f"{found['operations_a_second']:,}", "operations a second"))
    return (
        '<div class="tiles">'
        + "".join(f"<div><b>{number}</b><span>{words}</span></div>" for number, words in told)
        + "</div>"
    )


def _plain(report: Mapping[str, Any], workload: Mapping[str, Any]) -> list[str]:
    """A workload without plots, as the terminal shows it."""
    alone = {**report, "workloads": [workload]}
    text = "\n".join(lines(alone)).partition("\n\n")[2].partition("\n")[2]
    return [f"<pre>{escape(text)}</pre>"]


def _profile(workload: Mapping[str, Any]) -> list[str]:
    parts = []
    for part, shares in workload.get("profile", {}).items():
        if "failed" not in shares:
            told = [(f"{percent}%", name) for name, percent in shares["self"]]
            parts.append(f"<h3>Profile of {escape(part)}, busy {shares['busy_percent']}%: where time ended</h3>")
            parts.append(_table(told))
    return parts


def _table(told: list[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td>{escape(label)}</td><td>{escape(words)}</td></tr>" for label, words in told)
    return f"<table>{cells}</table>"
