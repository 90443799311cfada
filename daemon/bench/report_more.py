"""What the report says of the workloads that are more than one stretch of load: rows of (what, how much)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daemon.bench.meters import MIB

Rows = list[tuple[str, str]]


def more_rows(workload: Mapping[str, Any]) -> Rows:
    """Of whatever a workload has besides `measured`."""
    rows: Rows = []
    for name, told in (
        ("killing", _killing),
        ("catch_up", _catch_up),
        ("restart", _restart),
        ("overload", _overload),
        ("growth", _growth),
        ("validators", _validators),
    ):
        if name in workload:
            rows += told(workload[name])
    return rows


def _killing(found: Mapping[str, Any]) -> Rows:
    words = f"{found['member']} at {found['at_s']} s, away for {found['away_s']} s"
    back = f"ready {found['ready_after_s']} s after its start, caught up after {found['caught_up_after_s']} s"
    return [("killed", f"{words}; {back}")]


def _catch_up(found: Mapping[str, Any]) -> Rows:
    absent = (
        f"{found['member']}, for {found['absent_transactions']:,} transactions in {found['absent_blocks']:,} blocks"
    )
    rates = [
        (words, f"{_count(found[f'{name}_a_second'])} transactions a second; all after {found[f'{name}_s']} s")
        for name, words in (("final", "made final"), ("executed", "executed"))
    ]
    used = ", ".join(f"{process} {seconds:.2f} s" for process, seconds in found["cpu_seconds"].items())
    return [
        ("away, killed with -9", absent),
        (
            "counted from its start",
            f"answers after {found['first_answer_s']} s, catches up from {found['begins_s']} s on",
        ),
        *rates,
        ("its CPU", used or "not known here"),
        ("history made at", _filled(found["while_absent"])),
    ]


def _restart(found: Mapping[str, Any]) -> Rows:
    disk = ", ".join(f"{part} {size / MIB:.1f} MiB" for part, size in sorted(found["disk_bytes"].items()))
    every = found["all_after_a_kill_s"]
    return [
        ("history", f"{found['history_transactions']:,} transactions, {found['history_blocks']:,} blocks; {disk}"),
        ("history made at", _filled(found["history"])),
        ("ready after a stop", _seconds(found["after_a_stop_s"])),
        ("ready after kill -9", _seconds(found["after_a_kill_s"])),
        (
            "all killed, started",
            f"ready after {every['ready']} s, first final transaction after {every['first_final']} s",
        ),
    ]


def _overload(found: Mapping[str, Any]) -> Rows:
    kept = f"{found['final_in_time_a_second']:,} final a second, {found['kept_percent']}% of its best"
    refused = f"{found['refused_percent']}% of what was sent; {found['posts_with_429_percent']}% of the posts with 429"
    memory = "; ".join(
        f"{member} {one['first']:.0f}, {one['middle']:.0f}, {one['last']:.0f}, at most {one['most']:.0f} MiB"
        for member, one in found["memory_mib"].items()
    )
    return [
        ("best", f"{found['best_a_second']:,} final a second"),
        ("offered twice that", f"{found['offered_a_second']:,} a second: {kept}"),
        ("refused", refused),
        ("memory, first to last", memory),
    ]


def _growth(found: Mapping[str, Any]) -> Rows:
    rows: Rows = []
    for one in found["points"]:
        words = f"{one['cpu_ms_a_transaction']} ms CPU a transaction, p50 {one['p50_ms']} ms, p99 {one['p99_ms']} ms"
        words += f"; a node: {one['memory_mib']} MiB, {one['disk_bytes_a_transaction']} bytes on disk a transaction"
        words += f"; history made at {_filled(one['history'])}" if one["history"] else ""
        rows.append((f"at {one['transactions']:,}", words))
    cpu, memory, disk = found["times"].values()
    return [*rows, ("the last by the first", f"CPU {cpu} times, memory {memory} times, disk {disk} times")]


def _validators(found: Mapping[str, Any]) -> Rows:
    rows: Rows = []
    for one in found["networks"]:
        words = f"{one['cpu_ms_a_transaction_and_node']} ms CPU a transaction and node"
        words += f", {_count(one['wire_bytes_a_transaction'])} bytes between nodes a transaction"
        words += f", {one['final_a_second']:,} final a second, p50 {one['p50_ms']} ms, p99 {one['p99_ms']} ms"
        rows.append((f"{one['nodes']} validators", words))
    return [*rows, ("CPU of a node", f"{found['cpu_times']} times that with the fewer")]


def _filled(found: Mapping[str, Any]) -> str:
    return f"{_count(found['taken_a_second'])} transactions a second, {found['cpu_ms_a_transaction']} ms CPU each"


def _seconds(values: Sequence[float]) -> str:
    return ", ".join(f"{value} s" for value in values)


def _count(number: float | None) -> str:
    return "no" if number is None else f"{number:,}"
