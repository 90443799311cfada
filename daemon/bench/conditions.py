"""Under which conditions the figures hold: no figure is reported without them."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from daemon import VERSION
from daemon.bench.arithmetic import distribution
from daemon.cli.version import LIBRARIES, library_version, trie_in_c
from daemon.demo.commands import PACKAGES
from protocol.codec.json import to_json
from protocol.ledger.genesis import Parameters

SYNCS: Final = 100
SYNC_BYTES: Final = 4_096


def conditions(directory: Path, parameters: Parameters, nodes: int, verify_workers: int) -> dict[str, Any]:
    """What the machine, the programs and the network are. directory: on the file system that the nodes write to."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "papilio": VERSION,
        "commit": commit(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "trie_in_c": trie_in_c(),
        "libraries": {name: library_version(name) for name in LIBRARIES},
        "kernel": platform.platform(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "file_system": file_system(directory),
        "fsync_ms": sync_ms(directory),
        "load_average_before": [round(load, 2) for load in os.getloadavg()],
        "nodes": nodes,
        "verify_workers_a_node": verify_workers,
        "execute_workers_a_node": 1,
        "durable_writes": True,
        "network": "loopback",
        "parameters": to_json(parameters),
    }


def python_words(told: Mapping[str, Any]) -> str:
    """The Python of these conditions, and in what the state trie ran."""
    return f"{told['python']}, state trie in C" if told.get("trie_in_c") else str(told["python"])


def commit() -> str | None:
    """The checkout's commit, with `+` if files differ from it; None of an installed wheel."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--", "daemon", "protocol") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*words: str) -> str:
    command = ["git", "-C", str(PACKAGES), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 - git, of this checkout


def sync_ms(directory: Path) -> dict[str, Any]:
    """How long it takes to make 4 KiB durable here, so often in a row, by fdatasync as the journal does."""
    file = directory / "sync-probe"
    took = []
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        for number in range(SYNCS):
            began = time.perf_counter()
            os.pwrite(descriptor, bytes(SYNC_BYTES), number * SYNC_BYTES)
            getattr(os, "fdatasync", os.fsync)(descriptor)
            took.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
        file.unlink()
    return distribution(took).as_json() | {"note": f"{SYNCS} times {SYNC_BYTES} bytes"}


def file_system(directory: Path) -> str:
    """Type of the file system: on one in memory a sync costs nothing, and the figures are worth as much."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    place = str(directory.resolve())
    mounts = [(line.split()[1], line.split()[2]) for line in lines]
    holding = [(len(where), kind) for where, kind in mounts if (place + "/").startswith(where.rstrip("/") + "/")]
    return max(holding, default=(0, "unknown"))[1]


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
