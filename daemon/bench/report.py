"""The report for a terminal: conditions first, then one block of lines a workload. Plain text, 110 wide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from daemon.bench.conditions import python_words
from daemon.bench.goals import idle_disk_mib, judged
from daemon.bench.meters import MIB
from daemon.bench.report_more import more_rows

LABEL: Final = 26
PROFILE_SHOWN: Final = 12
COUNTED: Final = {
    "node_steps": "steps",
    "store_journal_commits": "journal syncs",
    "net_traffic.frames_out": "frames sent",
    "net_traffic.frames_in": "received",
    "node_checks_done": "jobs of verify workers",
    "ledger_transactions": "transactions",
}
"""Counters that the report shows for each node and block, and their words."""


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The whole report."""
    yield from condition_lines(report["conditions"])
    for workload in report["workloads"]:
        yield ""
        yield f"{workload['name']}: {workload['words']}"
        yield from (_idle(workload) if workload["name"] == "idle" else _loaded(workload))
    yield ""
    yield "Goals (two cores, shared by nodes and load)"
    for one in judged(report):
        yield from _wrapped(one.workload, f"{one.goal}: {one.words}")


def condition_rows(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Under which conditions, as (what, which)."""
    loads = [" ".join(map(str, told[key])) for key in ("load_average_before", "load_average_after") if key in told]
    sync = told["fsync_ms"]
    libraries = ", ".join(f"{name} {version}" for name, version in told["libraries"].items())
    parameters = ", ".join(f"{name} {value}" for name, value in told["parameters"].items())
    workers = f"{told['verify_workers_a_node']} verify and {told['execute_workers_a_node']} execute worker each"
    return [
        ("at", told["at"]),
        ("papilio", f"{told['papilio']}, commit {told['commit'] or 'none: an installed package'}"),
        ("python", python_words(told)),
        ("libraries", libraries),
        ("machine", f"{told['cores']} cores of {told['cpu']}, {told['memory_bytes'] / 1024**3:.0f} GiB memory"),
        ("kernel", told["kernel"]),
        ("load average", f"{loads[0]} before, {loads[-1]} after (nodes and generators share the machine)"),
        ("disk", f"{told['file_system']}; making 4 KiB durable: p50 {sync['p50_ms']} ms, p99 {sync['p99_ms']} ms"),
        ("network", f"{told['nodes']} nodes on {told['network']}, durable writes on, {workers}"),
        ("parameters", parameters),
    ]


def condition_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Under which conditions."""
    yield "Conditions"
    for label, words in condition_rows(told):
        yield from _wrapped(label, words)


def rows(workload: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was found out of a workload, as (what, how much)."""
    if "measured" not in workload:
        return [("mix", workload["mix"]), *more_rows(workload), *_judged(workload)]
    found = workload["measured"]
    cpu, blocks, disk = found["cpu"], found["blocks"], found["disk"]
    operations = found["operations_an_envelope"]
    more = f", {found['operations_a_second']:,} operations a second" if operations > 1 else ""
    offered = f"{found['offered_a_second']:,} envelopes a second for {found['seconds']:g} s"
    if found["burst"] > 1:
        offered += f", {found['burst']:g} times as many in every fifth second"
    told = [
        ("mix", workload["mix"]),
        ("offered", f"{offered}, {found['envelopes_a_request']} a request, {found['connections']} connections"),
        ("final with code ok", f"{found['final_ok']:,}, {found['final_a_second']:,} a second{more}"),
        ("answered", f"good: {_counts(found['answered']['good'])}; bad signature: {_counts(found['answered']['bad'])}"),
        ("latency to final", _latency(found["latency_final"])),
        ("latency to provable", _latency(found["latency_provable"]) + f", of {found['latency_provable']['count']}"),
        ("latency to the answer", _latency(found["latency_answer"])),
        ("receipts", found["receipts_by"]),
        ("blocks", f"{blocks['count']}, {blocks['a_second']} a second, longest gap {blocks['longest_gap_ms']} ms"),
        ("CPU, all nodes", f"{cpu['total_seconds']} s in {found['wall_seconds']} s; {_each(cpu, operations)}"),
        ("CPU by part", _parts(cpu["parts_seconds"])),
        ("CPU by process", _parts(cpu["processes_seconds"])),
        *((f"CPU of {member}", _parts(parts)) for member, parts in cpu["nodes_parts_seconds"].items()),
        ("CPU of the generators", _generators(cpu)),
        ("memory (anonymous, peak)", _memory(found["memory_peak_bytes"])),
        ("memory by process, at end", _memory_parts(found["memory_end_bytes"])),
        ("disk a node", f"{_disk(disk)} of {found['envelope_bytes']} bytes ({_sizes(disk['grown_bytes_a_node'])})"),
        *((f"disk of {member}", _sizes(parts)) for member, parts in disk["nodes_bytes"].items()),
        ("between nodes", f"{found['wire']['bytes_a_transaction']} bytes a transaction, all channels together"),
        *((f"wire of {member}", _wire(one)) for member, one in found["wire"]["nodes_bytes"].items()),
        ("a node and block", _per_block(found)),
    ]
    if found["beside"] is not None:
        told.append(("clients besides", _beside(found["beside"])))
    return more_rows(workload) + told + _judged(workload)


def _judged(workload: Mapping[str, Any]) -> list[tuple[str, str]]:
    judged, start = workload["judged"], workload["start_seconds"]
    disks = "; ".join(f"{member} {_counts(codes)}" for member, codes in judged["receipts_by_disk"].items())
    again = "" if judged["recomputed"] is None else ", and each disk's history executes to it again"
    return [
        (
            "start of all nodes",
            f"ready after {start['ready']} s, first final transaction after {start['first_final']} s",
        ),
        ("receipts on disks", f"{disks} (of all that was sent to this network, warming up included)"),
        ("state root", f"{judged['state_root'][:32]}... at height {judged['height']} on all nodes{again}"),
        ("bad signatures", f"{judged['bad_signatures_sent']} sent, none on any disk"),
    ]


def _loaded(workload: Mapping[str, Any]) -> Iterator[str]:
    tries = workload.get("tries")
    if tries and "measured" in workload:
        told = [
            f"{one['offered_a_second']:,.0f}/s for {one['seconds']:g} s {'held' if one['held'] else 'NOT held'} "
            f"(p99 {one['p99_ms']} ms)"
            for one in tries
        ]
        yield from _wrapped("tries", "; ".join(told))
        if "overload" not in workload:  # which asks what nodes can do, not what clients bear
            last = tries[-1]
            held = f"{last['offered_a_second']:,g} envelopes a second" if last["held"] else "no rate"
            words = "with p99 below a second and all of it final, on a network of its own"
            yield from _wrapped("highest rate held", f"{held}, {words}")
    for label, words in rows(workload):
        yield from _wrapped(label, words)
    if "more" in workload:
        yield f"{workload['name']}, the second network"
        for label, words in rows(workload["more"]):
            yield from _wrapped(label, words)
    for part, shares in workload.get("profile", {}).items():
        yield from _profile(part, shares)


def _profile(part: str, shares: Mapping[str, Any]) -> Iterator[str]:
    if "failed" in shares:
        yield from _wrapped(f"profile of {part}", f"failed: {shares['failed']}")
        return
    yield from _wrapped(f"profile of {part}", f"busy {shares['busy_percent']}% of the time; most time ended in")
    for name, percent in shares["self"][:PROFILE_SHOWN]:
        yield f"{'':{LABEL}}  {percent:5.1f}%  {name[-72:]}"


def _idle(workload: Mapping[str, Any]) -> Iterator[str]:
    yield from _wrapped("time", f"{workload['seconds']} s, {workload['blocks']} blocks")
    yield from _wrapped("CPU", _counts({m: f"{p}% of a core" for m, p in workload["core_percent"].items()}))
    yield from _wrapped("memory (anonymous)", _memory_parts(workload["anonymous_bytes"]))
    yield from _wrapped("disk", f"{idle_disk_mib(workload):.1f} MiB a day and node at this pace")


def _wrapped(label: str, words: str) -> Iterator[str]:
    from textwrap import wrap

    first = f"  {label:<{LABEL - 2}}  "
    yield from wrap(words, 110, initial_indent=first, subsequent_indent=" " * (LABEL + 2), break_on_hyphens=False)


def _latency(told: Mapping[str, Any]) -> str:
    if not told["count"]:
        return "not seen"
    return f"p50 {told['p50_ms']} ms, p90 {told['p90_ms']} ms, p99 {told['p99_ms']} ms, max {told['max_ms']} ms"


def _each(cpu: Mapping[str, Any], operations: int) -> str:
    each = f"{cpu['ms_a_transaction']} ms a transaction"
    return each + (f", {cpu['us_an_operation']} us an operation" if operations > 1 else "")


def _generators(cpu: Mapping[str, Any]) -> str:
    posting = ", ".join(f"{seconds} s" for seconds in cpu["generators_seconds"])
    late = f"at most {cpu['generators_late_ms_max']} ms late"
    return f"posting {posting}; following {cpu['follower_seconds']} s; requests left {late}"


def _parts(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{part} {used:.2f} s" for part, used in seconds.items())


def _memory(by_member: Mapping[str, int]) -> str:
    return ", ".join(f"{member} {size / MIB:.0f} MiB" for member, size in by_member.items())


def _memory_parts(by_member: Mapping[str, Mapping[str, int]]) -> str:
    return "; ".join(
        f"{member} " + ", ".join(f"{part} {size / MIB:.0f}" for part, size in parts.items()) + " MiB"
        for member, parts in by_member.items()
    )


def _per_block(found: Mapping[str, Any]) -> str:
    """How often each node did what costs, for each block: means over all nodes."""
    counted = found["counted"]
    blocks = counted.get("ledger_blocks", 0)
    if not blocks:
        return "not counted"
    told = [f"{counted.get(name, 0) / blocks:.1f} {words}" for name, words in COUNTED.items()]
    return ", ".join(told)


def _sizes(grown: Mapping[str, int]) -> str:
    return ", ".join(f"{part} {size / MIB:+.2f} MiB" for part, size in grown.items() if size) or "nothing"


def _disk(disk: Mapping[str, Any]) -> str:
    return f"{disk['bytes_a_transaction_and_node']} bytes a transaction, {disk['times_envelopes']} times its envelope"


def _wire(found: Mapping[str, int]) -> str:
    return ", ".join(f"{words.replace('_', ' ')} {size / MIB:.2f} MiB" for words, size in found.items())


def _beside(found: Mapping[str, Any]) -> str:
    who = f"{found['idle_connections_a_node']} idle connections and {found['slow_streams_a_node']} slow streams a node"
    health = f"asked for health {_counts(found['health_statuses'])}, {_latency(found['health_latency'])}"
    return f"{who}; {_counts(found['happened']) or 'nothing happened to them'}; {health}"


def _counts(told: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {count:,}" if isinstance(count, int) else f"{name} {count}" for name, count in told.items()
    )
