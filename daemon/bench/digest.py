"""A report as one table of Markdown: the figures that documents quote, under the conditions that make them figures.

`papilio bench table` prints it, for between the two marks of daemon/docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from daemon.bench.comparing import at
from daemon.bench.conditions import python_words
from daemon.bench.goals import idle_disk_mib, idle_memory_mib, judged
from daemon.bench.meters import MIB


def digest(report: Mapping[str, Any]) -> Iterator[str]:
    """Lines of Markdown."""
    told = report["conditions"]
    sync, busy = told["fsync_ms"], told["load_average_before"][0]
    commit = told["commit"] or "of a package"
    memory = told["memory_bytes"] / 1024**3
    yield f"Measured {told['at'][:10]}, commit {commit}, {python_words(told)}: {told['nodes']} nodes"
    yield f"and the generators on {told['cores']} cores of {told['cpu']}, {memory:.0f} GiB;"
    yield f"{told['file_system']}, 4 KiB durable in"
    yield f"{sync['p50_ms']} ms (p50), {sync['p99_ms']} ms (p99); load average before: {busy}. Durable writes on; every"
    yield "transaction signed, verified, executed, indexed, provable."
    yield ""
    yield "| workload | figures |"
    yield "|---|---|"
    for workload in report["workloads"]:
        yield f"| `{workload['name']}` | {'; '.join(_figures(workload))} |"
    first = report["workloads"][0]["start_seconds"]
    yield f"| start of all | ready after {first['ready']} s, first final transaction after {first['first_final']} s |"
    yield ""
    yield "| workload | goal | measured | met |"
    yield "|---|---|---|---|"
    for one in judged(report):
        yield f"| {one.workload} | {one.goal} | {one.figure} | {'yes' if one.met else 'no'} |"


def _figures(workload: Mapping[str, Any]) -> Iterator[str]:
    if "tries" in workload and "overload" not in workload:
        last = workload["tries"][-1]
        yield f"held {last['offered_a_second']:,.0f} a second" if workload["held"] else "no rate was held"
    for name, told in (
        ("killing", _killing), ("catch_up", _catch_up), ("restart", _restart), ("overload", _overload),
        ("growth", _growth), ("validators", _validators),
    ):  # fmt: skip
        if name in workload:
            yield told(workload[name])
    if "core_percent" in workload:
        yield _idle(workload)
    if "measured" in workload and not {"growth", "overload", "validators"} & workload.keys():
        yield from _load(workload["measured"])


def _load(found: Mapping[str, Any]) -> Iterator[str]:
    if found["operations_an_envelope"] > 1:
        yield f"{found['operations_a_second']:,.0f} operations a second"
    yield f"to final p50 {at(found, 'latency_final.p50_ms')} ms, p99 {at(found, 'latency_final.p99_ms')} ms"
    yield f"to provable p50 {at(found, 'latency_provable.p50_ms')} ms"
    yield f"CPU {at(found, 'cpu.ms_a_transaction')} ms a transaction, all nodes"
    yield f"memory a node {max(found['memory_peak_bytes'].values(), default=0) / MIB:.0f} MiB"
    times, size = at(found, "disk.times_envelopes"), at(found, "disk.bytes_a_transaction_and_node")
    yield f"disk {size} bytes a transaction and node, {times} times its envelope"


def _killing(found: Mapping[str, Any]) -> str:
    return f"the killed node had caught up {found['caught_up_after_s']} s after its start"


def _catch_up(found: Mapping[str, Any]) -> str:
    rates = f"{found['final_a_second'] or 0:,} made final, {found['executed_a_second'] or 0:,} executed a second"
    return (
        f"away for {found['absent_transactions']:,} transactions: {rates}; back {found['executed_s']} s after its start"
    )


def _restart(found: Mapping[str, Any]) -> str:
    ready = (
        f"ready {max(found['after_a_stop_s'])} s after a stop, {max(found['after_a_kill_s'])} s after kill -9 (longest)"
    )
    return f"with {found['history_transactions']:,} transactions {ready}"


def _overload(found: Mapping[str, Any]) -> str:
    memory = max((one["last"] - one["first"] for one in found["memory_mib"].values()), default=0)
    kept = f"{found['kept_percent']}% kept of {found['best_a_second']:,} a second"
    return f"{kept}, {found['refused_percent']}% refused, memory {memory:+.0f} MiB from first to last (worst node)"


def _growth(found: Mapping[str, Any]) -> str:
    first, last = found["points"][0]["transactions"], found["points"][-1]["transactions"]
    cpu, memory, _ = found["times"].values()
    return f"at {last:,} by at {first:,} transactions: CPU {cpu} times, memory {memory} times"


def _validators(found: Mapping[str, Any]) -> str:
    each = ", ".join(f"{one['cpu_ms_a_transaction_and_node']} ms with {one['nodes']}" for one in found["networks"])
    return f"CPU a transaction and node {each}: {found['cpu_times']} times"


def _idle(found: Mapping[str, Any]) -> str:
    core, memory, day = max(found["core_percent"].values()), idle_memory_mib(found), idle_disk_mib(found)
    return f"{core}% of a core, {memory:.0f} MiB, {day:.1f} MiB of disk a day (each the worst node's)"
