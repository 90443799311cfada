"""A report made up by hand, of everything a report can hold."""

from __future__ import annotations

from typing import Any

from daemon.bench.meters import Meters, Usage
from daemon.bench.plans import Posted, Seen
from daemon.bench.trial import Offer, Trial

CONDITIONS: dict[str, Any] = {
    "at": "2026-01-01T00:00:00Z",
    "papilio": "0.1.0",
    "commit": None,
    "python": "CPython 3.11.7",
    "libraries": {"trio": "0.31"},
    "kernel": "Linux",
    "cpu": "<fast & small>",
    "cores": 2,
    "memory_bytes": 2**34,
    "file_system": "ext4",
    "fsync_ms": {"p50_ms": 0.2, "p99_ms": 0.5},
    "load_average_before": [0.1, 0.1, 0.1],
    "load_average_after": [2.0, 1.0, 0.5],
    "nodes": 2,
    "verify_workers_a_node": 1,
    "execute_workers_a_node": 1,
    "durable_writes": True,
    "network": "loopback",
    "parameters": {"batch_wait_ms": 5},
}


def transaction(number: int) -> bytes:
    return number.to_bytes(32, "big")


def make_trial() -> Trial:
    """Ten envelopes at 10 a second from 1,000 s on, to two nodes in turn; the last is bad, the ninth never final."""
    posted = [
        Posted(transaction(n), n != 9, n % 2, 1000.0 + n / 10, 1000.01 + n / 10, "" if n != 9 else "bad_signature")
        for n in range(10)
    ]
    final = {transaction(n): (1000.05 + n / 10, "ok") for n in range(8)}
    blocks = [(height, height, 1000.0 + height / 10) for height in range(1, 9)]
    meters = Meters(dict)
    meters.begin()
    used = {("loop", 1): 0.5, ("threads", 1): 0.0, ("verify", 2): 0.2, ("execute", 3): 0.1}
    for member in ("alder", "birch"):
        meters.take(member, Usage(used, {"main": 1 << 21, "verify": 1 << 20}))
    offer = Offer(mix="single", envelopes_a_second=10, seconds=1.0, each=1, connections=2, ask=False)
    counted = {
        "alder": {"ledger_blocks": 8, "node_steps": 100, "net_traffic.bytes_out": 5_000},
        "birch": {"ledger_blocks": 8, "node_steps": 60, "net_traffic.bytes_out": 3_000, "api_sent_bytes": 9},
    }
    followed = Seen([], [final, final], {transaction(0): 1000.1}, blocks, cpu_seconds=0.01)
    seen = Seen(posted, [{}], {}, [], 0.02, 0.003, statuses={200: 9, 429: 1}, posted_bytes=9 * 256)
    disks = {"alder": {"state": 4096, "journal": 0}, "birch": {"state": 4096}}
    own = {"alder": {"network": 0.125, "consensus": 0.25, "storage": 0.0625}}
    trial = Trial(offer, 1000.0, [seen], followed, meters, counted, disks, own)
    trial.final = final
    return trial


def make_report() -> dict[str, Any]:
    """One workload under load, searched and profiled, and one idle."""
    loaded = {
        "name": "single",
        "words": "made up",
        "mix": "half <this>, half that",
        "start_seconds": {"ready": 1.5, "first_final": 1.7},
        "tries": [
            {"offered_a_second": 10.0, "seconds": 1, "held": True, "final_a_second": 8.0, "p50_ms": 50, "p99_ms": 50}
        ],
        "held": True,
        "measured": make_trial().summary(),
        "profile": {
            "main": {"busy_percent": 50.0, "self": [("step (node.py)", 20.0)], "total": [("run (trio)", 50.0)]},
            "verify": {"failed": "no permission"},
        },
        "judged": {
            "height": 8,
            "state_root": "ab" * 32,
            "log_root": "cd" * 32,
            "receipts_by_disk": {"alder": {"ok": 8}, "birch": {"ok": 8}},
            "bad_signatures_sent": 1,
            "recomputed": None,
            "wrong": [],
        },
    }
    idle = {
        "name": "idle",
        "words": "nobody uses it",
        "start_seconds": {"ready": 1.5, "first_final": 1.7},
        "seconds": 20.0,
        "core_percent": {"alder": 0.5, "birch": 0.6},
        "anonymous_bytes": {"alder": {"main": 1 << 26}, "birch": {"main": 1 << 26}},
        "disk_grown_bytes": {"alder": 4096, "birch": 0},
        "blocks": 2,
    }
    return {"papilio_bench": 2, "conditions": CONDITIONS, "workloads": [loaded, idle]}
