"""What the system says of the nodes' processes: CPU, memory, disk; and what their own counters say of the wire.

CPU is read from /proc: of each node its main process, divided into its event loop (the first thread: network,
consensus, API) and its other threads (journal, segments, reads), and its worker processes (verify, execute). Memory is
anonymous memory (RssAnon): mapped pages of the state store belong to the page cache. Where there is no /proc there is
no such figure, and the report says so.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from daemon.observe.cpu import Part
from daemon.runtime.workers.child import NAMED

PROC: Final = Path("/proc")
TICKS: Final = os.sysconf("SC_CLK_TCK")
PROCESSES: Final = ("loop", "threads", "verify", "execute")
"""Of one node's CPU: its own process (event loop, other threads) and its workers."""
PARTS: Final = tuple(part.value for part in Part)
"""The same by what it was for; what the node's own process used as it says itself (daemon.observe.cpu)."""
MIB: Final = 1024 * 1024
SAMPLE_SECONDS: Final = 0.5
_COUNTER: Final = re.compile(r'^papilio_([a-z_]+)_total(?:\{[a-z]+="([a-z_0-9]+)"\})? ([0-9.e+]+)$', re.MULTILINE)
_CPU: Final = re.compile(r'^papilio_node_cpu_seconds_total\{part="([a-z]+)"\} ([0-9.e+-]+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one node: CPU seconds by part and process, and anonymous memory by kind of process, in bytes."""

    cpu_seconds: Mapping[tuple[str, int], float]
    anonymous_bytes: Mapping[str, int]


@dataclass(slots=True)
class Meters:
    """Reads the nodes' processes: at the beginning, now and then, at the end.

    pids: asked for the main processes by member, since a node that is started anew has another one; what it used before
    is kept, but for its last half second.
    peak_bytes: the most anonymous memory seen of each node, over all its processes; end_bytes: at the end, by process.
    memory: anonymous memory of each node at every look, with the time (monotonic seconds).
    """

    pids: Callable[[], Mapping[str, int]]
    memory: list[tuple[float, dict[str, int]]] = field(default_factory=list)
    peak_bytes: dict[str, int] = field(default_factory=dict)
    end_bytes: dict[str, dict[str, int]] = field(default_factory=dict)
    _begun: dict[tuple[str, str, int], float] = field(default_factory=dict)
    _newest: dict[tuple[str, str, int], float] = field(default_factory=dict)

    def begin(self) -> None:
        """The clock starts."""
        self.sample()
        self._begun = dict(self._newest)

    def sample(self) -> None:
        """Read everything once more; the last time, it is the end."""
        pids = self.pids()
        children = _children_of(pids.values())
        sizes = {}
        for member, pid in pids.items():
            usage = _usage(pid, children.get(pid, ()))
            if usage is not None:
                self.take(member, usage)
                sizes[member] = sum(usage.anonymous_bytes.values())
        self.memory.append((time.monotonic(), sizes))

    def take(self, member: str, usage: Usage) -> None:
        """What was read of one node."""
        self._newest |= {(member, part, process): used for (part, process), used in usage.cpu_seconds.items()}
        self.end_bytes[member] = dict(usage.anonymous_bytes)
        self.peak_bytes[member] = max(self.peak_bytes.get(member, 0), sum(usage.anonymous_bytes.values()))

    async def watch(self) -> None:
        """Sample until cancelled."""
        while True:
            self.sample()
            await trio.sleep(SAMPLE_SECONDS)

    def cpu_seconds(self) -> dict[str, dict[str, float]]:
        """Since the beginning, by member and process; of processes that began later, all."""
        found: dict[str, dict[str, float]] = {}
        for (member, part, process), used in self._newest.items():
            parts = found.setdefault(member, dict.fromkeys(PROCESSES, 0.0))
            more = used - self._begun.get((member, part, process), 0.0)
            parts[part] = round(parts.get(part, 0.0) + more, 2)
        return found


def processes_of(pid: int) -> dict[str, list[int]]:
    """The main process and its workers, by part: `main`, `verify`, `execute`."""
    found: dict[str, list[int]] = {"main": [pid]}
    for child in _children_of([pid]).get(pid, ()):
        found.setdefault(_kind(child), []).append(child)
    return found


def _usage(pid: int, children: Iterable[int]) -> Usage | None:
    try:
        total, loop = _cpu(PROC / str(pid) / "stat"), _cpu(PROC / str(pid) / "task" / str(pid) / "stat")
        cpu = {("loop", pid): loop, ("threads", pid): max(0.0, total - loop)}
        memory = {"main": _anonymous_bytes(pid)}
        for child in children:
            kind = _kind(child)
            cpu[kind, child] = _cpu(PROC / str(child) / "stat")
            memory[kind] = memory.get(kind, 0) + _anonymous_bytes(child)
    except OSError:  # it has ended, or there is no /proc
        return None
    return Usage(cpu, memory)


def _children_of(pids: Iterable[int]) -> dict[int, list[int]]:
    """Children by parent, of these parents."""
    wanted, found = set(pids), dict[int, list[int]]()
    for entry in PROC.glob("[0-9]*/stat"):
        try:
            parent = int(_fields(entry)[1])
        except OSError:
            continue
        if parent in wanted:
            found.setdefault(parent, []).append(int(entry.parent.name))
    return found


def _fields(stat: Path) -> list[str]:
    """What follows the name in a stat file (proc(5)); the first is the state, the second the parent."""
    return stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _cpu(stat: Path) -> float:
    """User and system time (fields 14 and 15 of proc(5)), in seconds."""
    fields = _fields(stat)
    return (int(fields[11]) + int(fields[12])) / TICKS


def _kind(pid: int) -> str:
    name = (PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").rstrip("\n")
    return name.removeprefix(NAMED) if name.startswith(NAMED) else "other"


def _anonymous_bytes(pid: int) -> int:
    for line in (PROC / str(pid) / "status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


# -- Disk and wire ------------------------------------------------------------------------------------


def disk_bytes(directory: Path) -> dict[str, int]:
    """Bytes that the files of a data directory occupy on disk, by its parts: journal, segments, state."""
    found: dict[str, int] = {}
    for path in directory.rglob("*"):
        try:
            size = path.stat().st_blocks * 512 if path.is_file() else 0
        except FileNotFoundError:  # a generation of the journal that was replaced meanwhile
            continue
        if size:
            part = path.relative_to(directory).parts[0]
            found[part] = found.get(part, 0) + size
    return found


def counters(metrics: str) -> dict[str, int]:
    """What a node counts, of its /metrics: counters by name, and label if they have one, as `net_traffic.bytes_out`.

    What has more labels than one, such as requests by route and status, is left out; CPU seconds are `cpu_parts`.
    """
    return {
        f"{name}.{label}" if label else name: int(float(number))
        for name, label, number in _COUNTER.findall(metrics)
        if name != "node_cpu_seconds"
    }


def cpu_parts(metrics: str) -> dict[str, float]:
    """CPU seconds of a node's own process by part, of its /metrics; nothing where it does not count them."""
    return {part: float(seconds) for part, seconds in _CPU.findall(metrics)}
