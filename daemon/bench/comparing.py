"""Two reports side by side: conditions, then each figure of each workload that both have, with the difference.

A figure is compared only where both have it, and says which way is better; nothing is judged. Conditions that differ
are told first and loudly: two figures under different conditions compare the conditions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from protocol.errors import OperatorFault

FORMAT: Final = 2
"""Of the report."""
PASSING: Final = frozenset({"at", "commit", "papilio", "load_average_before", "load_average_after", "fsync_ms"})
"""Conditions that differ from run to run, or are what is compared; they are shown, and are no reason to warn."""
SYNC_TIMES: Final = 1.5
"""A disk that is slower by more is another condition."""
LOWER, HIGHER, NEITHER = "lower", "higher", "neither"
FIGURES: Final[Sequence[tuple[str, str, str]]] = (
    ("measured.offered_a_second", "offered a second", NEITHER),
    ("measured.final_a_second", "final a second", HIGHER),
    ("measured.operations_a_second", "operations a second", HIGHER),
    ("measured.latency_final.p50_ms", "to final, p50 ms", LOWER),
    ("measured.latency_final.p99_ms", "to final, p99 ms", LOWER),
    ("measured.latency_final.max_ms", "to final, max ms", LOWER),
    ("measured.latency_provable.p50_ms", "to provable, p50 ms", LOWER),
    ("measured.cpu.ms_a_transaction", "CPU ms a transaction, all nodes", LOWER),
    ("measured.cpu.parts_seconds.*", "CPU seconds, {}", LOWER),
    ("measured.cpu.generators_late_ms_max", "generators late, ms", LOWER),
    ("measured.memory_peak_bytes.*", "memory peak bytes, {}", LOWER),
    ("measured.wire.bytes_a_transaction", "bytes between nodes a transaction", LOWER),
    ("measured.disk.bytes_a_transaction_and_node", "disk bytes a transaction and node", LOWER),
    ("measured.disk.times_envelopes", "disk, times the envelopes' bytes", LOWER),
    ("measured.blocks.a_second", "blocks a second", NEITHER),
    ("measured.blocks.longest_gap_ms", "longest gap between blocks, ms", LOWER),
    ("killing.caught_up_after_s", "killed node caught up after s", LOWER),
    ("catch_up.final_a_second", "catching up, final a second", HIGHER),
    ("catch_up.executed_a_second", "catching up, executed a second", HIGHER),
    ("catch_up.executed_s", "back after s", LOWER),
    ("restart.history_transactions", "history, transactions", NEITHER),
    ("restart.after_a_stop_s.0", "ready after a stop, s", LOWER),
    ("restart.after_a_kill_s.0", "ready after a kill, s", LOWER),
    ("restart.all_after_a_kill_s.first_final", "first final of all, s", LOWER),
    ("overload.best_a_second", "best a second", HIGHER),
    ("overload.kept_percent", "kept under overload, %", HIGHER),
    ("overload.refused_percent", "refused, %", NEITHER),
    ("growth.times.cpu_ms_a_transaction", "CPU a transaction, times", LOWER),
    ("growth.times.memory_mib", "memory, times", LOWER),
    ("validators.cpu_times", "CPU a node, ten to four, times", LOWER),
    ("core_percent.*", "% of a core, {}", LOWER),
    ("start_seconds.ready", "start to ready, s", LOWER),
    ("start_seconds.first_final", "start to first final, s", LOWER),
)
"""Where a figure is in a workload of the report (`*`: for each), its words, and which way is better."""


def read_report(file: Path) -> Mapping[str, Any]:
    """A report. Raises OperatorFault, in words, if it is none."""
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        version = report["papilio_bench"]
        assert isinstance(report["conditions"], dict)
        assert isinstance(report["workloads"], list)
    except (OSError, ValueError, KeyError, TypeError, AssertionError):
        raise OperatorFault(
            f"{file} is no report of papilio bench; one is written by papilio bench --json FILE"
        ) from None
    if version != FORMAT:
        words = f"{file} is a report of format {version}, and this program compares {FORMAT}: run the bench again"
        raise OperatorFault(words)
    found: Mapping[str, Any] = report
    return found


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Both side by side, for programs: conditions, warnings, and by workload its figures."""
    conditions, warnings = _conditions(before["conditions"], after["conditions"])
    first = {one["name"]: one for one in before["workloads"]}
    second = {one["name"]: one for one in after["workloads"]}
    for name in [*first, *second]:
        if (name in first) != (name in second):
            warnings.append(f"{name} is in one report only")
    workloads = []
    for name in (name for name in first if name in second):
        warnings += _warnings(name, first[name], second[name])
        workloads.append({"name": name, "figures": list(_figures(first[name], second[name]))})
    return {"conditions": conditions, "warnings": warnings, "workloads": workloads}


def _conditions(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    rows, warnings = [], []
    for name in dict.fromkeys((*before, *after)):
        one, two = before.get(name), after.get(name)
        rows.append({"name": name, "before": one, "after": two, "same": one == two})
        if one != two and name not in PASSING:
            warnings.append(f"the conditions differ: {name}: {_differing(one, two)}")
    one, two = (told.get("fsync_ms", {}).get("p50_ms") for told in (before, after))
    if one and two and max(one, two) > SYNC_TIMES * min(one, two):
        warnings.append(f"the conditions differ: making 4 KiB durable takes {one} and {two} ms (p50)")
    for told, which in ((before, "before"), (after, "after")):
        busy = (told.get("load_average_before") or [0])[0]
        if busy > told.get("cores", 1) / 2:
            warnings.append(f"{which}: the machine was busy when the bench began (load average {busy})")
    return rows, warnings


def _differing(one: Any, two: Any) -> str:
    """What differs; of tables only those rows."""
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        names = [name for name in dict.fromkeys((*one, *two)) if one.get(name) != two.get(name)]
        return ", ".join(f"{name} {one.get(name)} and {two.get(name)}" for name in names)
    return f"{one} and {two}"


def _warnings(name: str, one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[str]:
    """What makes a workload's figures of two runs another thing."""
    if one.get("mix") != two.get("mix"):
        yield f"{name}: the mix differs"
    for path in ("envelopes_a_request", "connections", "seconds", "burst"):
        first, second = at(one, f"measured.{path}"), at(two, f"measured.{path}")
        if first != second:
            yield f"{name}: {path} differs, {first} and {second}"
    beside = [
        [at(each, f"measured.beside.{what}") or 0 for what in ("idle_connections_a_node", "slow_streams_a_node")]
        for each in (one, two)
    ]
    if beside[0] != beside[1]:
        yield f"{name}: other clients beside the load differ, {beside[0]} and {beside[1]} (idle, slow)"


def _figures(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path, words, better in FIGURES:
        for found, label in _spread(path, words, one, two):
            first, second = at(one, found), at(two, found)
            if isinstance(first, int | float) and isinstance(second, int | float):
                change = round((second - first) * 100 / first, 1) if first else None
                yield {
                    "path": found, "words": label, "before": first, "after": second, "change_percent": change,
                    "better": better, "verdict": verdict(first, second, better),
                }  # fmt: skip


def verdict(before: float, after: float, better: str) -> str:
    """Which way it went: better, worse, same, or changed where neither way is better."""
    if before == after:
        return "same"
    if better == NEITHER:
        return "changed"
    return "better" if (after > before) == (better == HIGHER) else "worse"


def _spread(path: str, words: str, *reports: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A path, or what its `*` stands for in both reports."""
    if not path.endswith(".*"):
        yield path, words
        return
    tables = [at(report, path.removesuffix(".*")) for report in reports]
    if all(isinstance(table, Mapping) for table in tables):
        for name in (name for name in tables[0] if name in tables[1]):
            yield path[:-1] + name, words.format(name)


def at(value: Any, path: str) -> Any:
    """What stands there, or None. Items of a list go by number, and by `last`."""
    for name in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, list) and name == "last" and value:
            value = value[-1]
        else:
            return None
    return value


def comparison_lines(found: Mapping[str, Any], before: str, after: str) -> Iterator[str]:
    """For people, 110 wide."""
    yield from (f"WARNING  {words}" for words in found["warnings"])
    yield f"{'':34}{before[:20]:>22}{after[:20]:>22}"
    yield "Conditions"
    for row in found["conditions"]:
        yield from _condition(row)
    for workload in found["workloads"]:
        yield ""
        yield workload["name"]
        for row in workload["figures"]:
            change = "" if row["change_percent"] is None else f"{row['change_percent']:+.1f}%"
            yield f"  {row['words'][:32]:<34}{row['before']:>20,}{row['after']:>22,}{change:>10}  {row['verdict']}"
    if not found["workloads"]:
        yield "The reports have no workload in common."


def _condition(row: Mapping[str, Any]) -> Iterator[str]:
    """One line where it is short; where it differs and is long, only what differs."""
    one, two = row["before"], row["after"]
    if row["same"]:
        if not isinstance(one, Mapping):
            yield f"  {row['name']:<32}  {str(one)[:74]}"
        return
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        for name in (name for name in dict.fromkeys((*one, *two)) if one.get(name) != two.get(name)):
            yield f"  {(row['name'] + '.' + name)[:32]:<34}{str(one.get(name))[:20]:>20}{str(two.get(name))[:20]:>22}"
        return
    yield f"  {row['name']:<34}{_short(one):>20}{_short(two):>22}"


def _short(value: Any) -> str:
    return (" ".join(map(str, value)) if isinstance(value, list) else str(value))[:20]
