"""One stretch of load, summed up: what was offered, what came of it, what it cost. No process, no clock."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from daemon.bench import arithmetic
from daemon.bench.judging import Sent
from daemon.bench.meters import MIB, PARTS, Meters
from daemon.bench.mixes import workload_of
from daemon.bench.plans import NO_ANSWER, Seen
from protocol.errors import OK

FINAL_BUCKET_S: Final = 1.0
"""Finals are counted over so long at least: within less, requests of many envelopes would show as waves."""
SENT: Final = "net_traffic.bytes_out"
RECEIVED: Final = "net_traffic.bytes_in"
"""Counters of bytes between nodes, with framing and encryption."""
ANSWERED: Final = "api_sent_bytes"
ASKED: Final = "api_received_bytes"


@dataclass(frozen=True, slots=True)
class Beside:
    """Clients that are there besides, at each node: idle connections, and event streams that are read too slowly."""

    idle: int = 0
    slow: int = 0


ALONE: Final = Beside()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What is offered. mix: as in `mixes.workload_of`. each: envelopes of a request. ask, burst: see PostPlan.

    fill: so many envelopes as fast as they are taken, whatever the rate and time; nobody follows them.
    beside: who else is there.
    """

    mix: str
    envelopes_a_second: float
    seconds: float
    each: int
    connections: int
    ask: bool
    burst: float = 1.0
    fill: int = 0
    beside: Beside = ALONE

    @property
    def requests(self) -> int:
        """How many, over the whole time."""
        if self.fill:
            return math.ceil(self.fill / self.each)
        return arithmetic.requests_within(self.seconds, self.each, self.envelopes_a_second, self.burst)


@dataclass(slots=True)
class Trial:
    """What came of an offer. start: monotonic seconds. posted: of each generator that did; followed: of the follower.

    counted, disk_bytes: by how much the nodes' counters have grown, and what they occupy on disk by part, by member.
    cpu_parts: CPU seconds of each node's own process by part, as it says. final: transaction to when it was seen final,
    and with which code. beside: what bystanders saw.
    """

    offer: Offer
    start: float
    posted: list[Seen]
    followed: Seen
    meters: Meters
    counted: Mapping[str, Mapping[str, int]]
    disk_bytes: Mapping[str, Mapping[str, int]]
    cpu_parts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    final: dict[bytes, tuple[float, str]] = field(default_factory=dict)
    beside: Seen | None = None

    def sent(self, into: Sent) -> None:
        """Add what clients know to `into`, for judging."""
        for one in self.envelopes():
            if not one.good:
                into.bad.add(one.transaction)
            elif one.code == NO_ANSWER:
                into.doubtful.add(one.transaction)
            elif one.code:
                into.refused.add(one.transaction)
            else:
                into.good[one.transaction] = self.final.get(one.transaction, (0.0, ""))[1]

    def envelopes(self) -> Any:
        """Everything posted, by all generators."""
        return (one for seen in self.posted for one in seen.posted)

    def latencies(self) -> list[tuple[float, float]]:
        """(due, latency) of each good transaction that was seen final with code ok; due from the start."""
        found = []
        for one in self.envelopes():
            at, code = self.final.get(one.transaction, (0.0, ""))
            if one.good and code == OK:
                found.append((one.due - self.start, at - one.due))
        return found

    def provable(self) -> list[float]:
        """Latencies of the sampled proofs."""
        due = {one.transaction: one.due for one in self.envelopes()}
        at = {
            transaction: when for seen in (*self.posted, self.followed) for transaction, when in seen.provable.items()
        }
        return [when - due[transaction] for transaction, when in at.items() if transaction in due]

    # -- Sums ---------------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """The figures, for programs."""
        offer, latencies = self.offer, self.latencies()
        operations = workload_of(offer.mix).operations
        last = max((due + latency for due, latency in latencies), default=0.0)
        wall = max(offer.seconds, last)
        codes = Counter(one.code or "taken" for one in self.envelopes() if one.good)
        bad = Counter(one.code or "taken" for one in self.envelopes() if not one.good)
        ok = len(latencies)
        return {
            "offered_a_second": offer.envelopes_a_second,
            "seconds": offer.seconds,
            "wall_seconds": round(wall, 3),
            "burst": offer.burst,
            "envelopes_a_request": offer.each,
            "connections": offer.connections,
            "operations_an_envelope": operations,
            "receipts_by": "asked one by one, at another node than the one posted to"
            if offer.ask
            else "event streams of two nodes, each for what was posted elsewhere",
            "sent": {"good": codes.total(), "bad": bad.total()},
            "envelope_bytes": round(sum(seen.posted_bytes for seen in self.posted) / max(1, codes.total())),
            "statuses": {str(status): count for status, count in sorted(self.statuses().items())},
            "answered": {"good": dict(sorted(codes.items())), "bad": dict(sorted(bad.items()))},
            "final_ok": ok,
            "final_other": dict(Counter(code for _, code in self.final.values() if code != OK)),
            "final_a_second": round(ok / wall, 1),
            "operations_a_second": round(ok * operations / wall, 1),
            "latency_final": arithmetic.distribution(latency for _, latency in latencies).as_json(),
            "latency_provable": arithmetic.distribution(self.provable()).as_json(),
            "latency_answer": arithmetic.distribution(
                one.answered - one.due for one in self.envelopes() if one.good
            ).as_json(),
            "blocks": self._blocks(wall),
            "cpu": self._cpu(ok, operations),
            "memory_series": self._memory_series(),
            "memory_peak_bytes": dict(self.meters.peak_bytes),
            "memory_end_bytes": dict(self.meters.end_bytes),
            "disk": self._disk(ok, codes.total()),
            "wire": self._wire(ok),
            "counted": dict(sorted(self._all_counted().items())),
            "beside": self._beside(),
            "series": self._series(latencies),
            "histogram_ms": arithmetic.histogram(latency for _, latency in latencies),
        }

    def _blocks(self, wall: float) -> dict[str, Any]:
        at = [when - self.start for _, _, when in self.followed.blocks]
        inside = [when for when in at if 0 <= when <= wall]
        return {
            "count": len(inside),
            "a_second": round(len(inside) / wall, 1),
            "longest_gap_ms": round(arithmetic.longest_gap(inside, 0.0, wall) * 1000, 1),
        }

    def statuses(self) -> Counter[int]:
        """Answers to posts, by HTTP status."""
        total: Counter[int] = Counter()
        for seen in self.posted:
            total.update(seen.statuses)
        return total

    def _all_counted(self) -> Counter[str]:
        """Of all nodes together."""
        total: Counter[str] = Counter()
        for counted in self.counted.values():
            total.update(counted)
        return total

    def _cpu(self, ok: int, operations: int) -> dict[str, Any]:
        by_node = self.meters.cpu_seconds()
        total = sum(sum(processes.values()) for processes in by_node.values())
        parts = {member: by_part(used, self.cpu_parts.get(member, {})) for member, used in by_node.items()}
        return {
            "nodes_seconds": {member: dict(used) for member, used in by_node.items()},
            "processes_seconds": _summed(by_node),
            "nodes_parts_seconds": parts,
            "parts_seconds": _summed(parts),
            "total_seconds": round(total, 2),
            "ms_a_transaction": round(total * 1000 / ok, 3) if ok else None,
            "us_an_operation": round(total * 1e6 / ok / operations, 1) if ok else None,
            "generators_seconds": [round(seen.cpu_seconds, 2) for seen in self.posted],
            "follower_seconds": round(self.followed.cpu_seconds, 2),
            "generators_late_ms_max": round(max(seen.late_s for seen in self.posted) * 1000, 1),
            "resent_requests": sum(seen.resent for seen in self.posted),
        }

    def _disk(self, ok: int, good: int) -> dict[str, Any]:
        by_node = {member: sum(parts.values()) for member, parts in self.disk_bytes.items()}
        mean = sum(by_node.values()) / max(1, len(by_node))
        envelope = sum(seen.posted_bytes for seen in self.posted) / max(1, good)
        names = sorted({part for parts in self.disk_bytes.values() for part in parts})
        by_part = {name: round(_mean(parts.get(name, 0) for parts in self.disk_bytes.values())) for name in names}
        return {
            "nodes_bytes": {member: dict(parts) for member, parts in self.disk_bytes.items()},
            "grown_bytes_a_node": by_part,
            "bytes_a_transaction_and_node": round(mean / ok) if ok else None,
            "times_envelopes": round(mean / ok / envelope, 2) if ok and envelope else None,
        }

    def _wire(self, ok: int) -> dict[str, Any]:
        """Bytes between nodes, with framing and encryption, and between a node and its clients."""
        names = {"to_nodes": SENT, "from_nodes": RECEIVED, "to_clients": ANSWERED, "from_clients": ASKED}
        by_node = {
            member: {words: counted.get(name, 0) for words, name in names.items()}
            for member, counted in self.counted.items()
        }
        sent = sum(one["to_nodes"] for one in by_node.values())
        return {"nodes_bytes": by_node, "bytes_a_transaction": round(sent / ok) if ok else None}

    def _memory_series(self) -> dict[str, Any]:
        """Anonymous memory of each node over time, in MiB."""
        inside = [(at - self.start, sizes) for at, sizes in self.meters.memory if at >= self.start]
        members = sorted({member for _, sizes in inside for member in sizes})
        return {
            "at_s": [round(at, 1) for at, _ in inside],
            "mib": {
                member: [round(sizes[member] / MIB, 1) if member in sizes else None for _, sizes in inside]
                for member in members
            },
        }

    def _beside(self) -> dict[str, Any] | None:
        """What the other clients met, and how health was answered meanwhile."""
        if self.beside is None:
            return None
        took = [seconds for _, seconds, _ in self.beside.health]
        statuses = Counter(str(status or NO_ANSWER) for _, _, status in self.beside.health)
        return {
            "idle_connections_a_node": self.offer.beside.idle,
            "slow_streams_a_node": self.offer.beside.slow,
            "happened": dict(self.beside.bystanders),
            "health_statuses": dict(statuses),
            "health_latency": arithmetic.distribution(took).as_json(),
            "cpu_seconds": round(self.beside.cpu_seconds, 2),
        }

    def _series(self, latencies: list[tuple[float, float]]) -> dict[str, Any]:
        width = arithmetic.bucket_width(self.offer.seconds)
        beat = max(FINAL_BUCKET_S, width)
        finals = arithmetic.series([(due + latency, 0.0) for due, latency in latencies], self.offer.seconds + 1, beat)
        by_due = arithmetic.series(latencies, self.offer.seconds, width)
        return {
            "bucket_s": width,
            "at_s": [bucket.at_s for bucket in by_due],
            "p50_ms": [bucket.p50_ms for bucket in by_due],
            "p99_ms": [bucket.p99_ms for bucket in by_due],
            "max_ms": [bucket.max_ms for bucket in by_due],
            "final_bucket_s": beat,
            "final_a_second": [round(bucket.count / beat, 1) for bucket in finals],
        }


def by_part(processes: Mapping[str, float], parts: Mapping[str, float]) -> dict[str, float]:
    """A node's CPU seconds by part, of its processes' as the system tells them, and of its own process as it does.

    Without the latter (it was killed meanwhile, or does not count) what its own process used is `other`.
    """
    found = {name: round(parts.get(name, 0.0), 2) for name in PARTS}
    own = processes.get("loop", 0.0) + processes.get("threads", 0.0)
    found["signatures"] = round(found["signatures"] + processes.get("verify", 0.0), 2)
    found["execution"] = round(found["execution"] + processes.get("execute", 0.0), 2)
    counted = sum(seconds for name, seconds in parts.items() if name != "other")
    found["other"] = round(max(0.0, own - counted), 2)
    return found


def _summed(nodes: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for parts in nodes.values():
        total.update(parts)  # seconds are added like counts
    return {part: round(seconds, 2) for part, seconds in total.items()}


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / max(1, len(found))
