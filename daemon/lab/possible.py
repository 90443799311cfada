"""What of a scenario real processes can do, and what only a simulator can: told before anything is started.

A scenario is a claim about a network under certain faults. A run that silently left some of them out would support
another claim, so whatever the lab cannot make is a `Refusal` with its place in the file and the reason, and the run
does not begin. `without` gives the scenario that is left, for who asks for it (`--lenient`); the report then says what
was left out.

`MADE` says how each fault is made, `NOT_MADE` why one is not. A test sees to it that every fault of the simulator is in
one of them.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Any, Final

from daemon.scenarios.tables import AtTable, ScenarioFile, StorageTable

NODES_MAX: Final = 32
"""Processes, three a node, on one machine."""

MADE: Final = {
    "crash": "kill -9 of the node and its workers; started again after its time",
    "stop": "SIGTERM, in order; started again after its time",
    "power_cut": "kill -9 of all at once; started again one after the other",
    "pause": "SIGSTOP and SIGCONT of the node and its workers",
    "slow_work": "the node's workers get one part in `factor` of their time, by SIGSTOP and SIGCONT",
    "isolate": "the proxy holds back all bytes of these lines, both ways",
    "cut": "the proxy holds back all bytes of these lines, both ways",
    "one_way": "the proxy holds back what these nodes say, and passes on what they hear",
    "partition": "the proxy holds back all bytes between the groups",
    "halves": "the proxy holds back all bytes between the halves",
    "bridge": "the proxy holds back all bytes between the groups",
    "shifting": "the proxy holds back all bytes between halves that change",
    "delay_spike": "the proxy passes everything on later",
    "slow_link": "the proxy passes everything on these lines on later",
    "long_tail": "the proxy passes chunks on later, most a little, some much (Pareto, to `extra` at most)",
    "loss": "on a stream nothing is lost: a chunk waits 200 ms, as for TCP's second try, and all behind it too",
    "corrupt": "the proxy turns one bit of a chunk over, which ends the connection",
    "damaged_segment": "one bit of the block's record is turned over in the segment file, while the node runs",
    "lost_disk": "kill -9, the data directory is removed, and the node joins again without a memory",
    "old_image": "the data directory is copied while the node is frozen, and put back at the end",
    "disk_full": "the data directory is a memory disk of its own, whose size is taken away (root only)",
}
_ONE_CLOCK: Final = "a node reads its machine's clock, of which there is one here"
_NO_SUCH_DISK: Final = "no file system here is slow or fails on demand"
NOT_MADE: Final = {
    "clock_skew": _ONE_CLOCK,
    "quorum_ahead": _ONE_CLOCK,
    "slow_disk": _NO_SUCH_DISK,
    "failing_sync": _NO_SUCH_DISK,
    "read_error": _NO_SUCH_DISK,
}
_STORAGE: Final = "disks whose blocks begin above the first are not judged here yet"
_JOINING: Final = "when a node is in the middle of a snapshot is not seen from outside"
_UNORDERED: Final = "lines are TCP here: within a connection nothing is lost, doubled or overtaken"

FORGETS: Final = frozenset({"lost_disk", "old_image"})
_OWN_DISK: Final = "a data directory that is a disk of its own cannot be removed, as lost_disk and old_image do"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is not done: where it stands in the scenario (`at 2: clock_skew`), and why not."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine lets the lab do. disks: file systems of their own for nodes."""

    disks: bool

    @classmethod
    def here(cls) -> Machine:
        """This one, now."""
        tools = all(map(shutil.which, ("unshare", "nsenter", "setpriv", "mount")))
        return cls(disks=os.geteuid() == 0 and tools)


def refusals(value: ScenarioFile, machine: Machine) -> list[Refusal]:
    """All that the lab cannot do of a scenario; empty if it can run it."""
    found = [Refusal(what, why) for what, why in _members(value)]
    named = [(f"faults.weights: {fault}", fault) for fault in value.faults.weights]
    named += [(f"at {place}: {entry.fault}", entry.fault) for place, entry in enumerate(value.at)]
    forgets = not FORGETS.isdisjoint(fault for _, fault in named)
    for what, fault in named:
        why = why_not(fault, machine) or (_OWN_DISK if fault == "disk_full" and forgets else "")
        found += [Refusal(what, why)] if why else []
    told = {refusal.what for refusal in found}
    at = [(f"at {place}: {entry.fault}", entry) for place, entry in enumerate(value.at)]
    return found + [Refusal(what, _JOINING) for what, e in at if e.joining is not None and what not in told]


def in_words(refused: list[Refusal]) -> list[str]:
    """Grouped by reason, for a line in a list."""
    by_reason: dict[str, list[str]] = {}
    for refusal in refused:
        what = refusal.what.rpartition(": ")[2] if refusal.what.startswith(("at ", "faults.")) else refusal.what
        by_reason.setdefault(refusal.why, []).append(what)
    return [f"{', '.join(dict.fromkeys(what))}: {why}" for why, what in by_reason.items()]


def why_not(fault: str, machine: Machine) -> str:
    """Why a fault is not made on this machine; empty if it is."""
    if fault == "disk_full" and not machine.disks:
        return "a disk of its own for a node needs root, unshare, nsenter, setpriv and mount"
    return NOT_MADE.get(fault, "")


def _members(value: ScenarioFile) -> list[tuple[str, str]]:
    nodes = value.members + value.observers
    rows = [
        (nodes > NODES_MAX, f"{nodes} nodes", f"at most {NODES_MAX} on one machine"),
        (bool(value.byzantine), f"byzantine: {', '.join(value.byzantine)}", "liars are nodes that were altered"),
        (bool(value.twin), f"twin: {value.twin}", "a second machine with the same keys is not made here yet"),
        (value.changes is not None, "changes", "members that govern while faults last are not made here yet"),
        (value.storage != StorageTable(), "storage", _STORAGE),
        (not value.link.ordered, "link.ordered = false", _UNORDERED),
    ]
    return [(what, why) for refused, what, why in rows if refused]


def without(value: ScenarioFile, refused: list[Refusal]) -> ScenarioFile:
    """The scenario without what is refused, but for a number of nodes; its words stay."""
    if not refused:
        return value
    gone = {refusal.what for refusal in refused}
    weights = {f: w for f, w in value.faults.weights.items() if f"faults.weights: {f}" not in gone}
    kept: list[AtTable] = [entry for place, entry in enumerate(value.at) if f"at {place}: {entry.fault}" not in gone]
    changed: dict[str, Any] = {
        "faults": value.faults.model_copy(update={"weights": weights}),
        "at": tuple(kept),
        "byzantine": (),
        "twin": "",
        "changes": None,
        "storage": StorageTable(),
        "link": value.link.model_copy(update={"ordered": True, "double_per_mille": 0}),
    }
    return value.model_copy(update=changed)


def names_faults(value: ScenarioFile) -> bool:
    """Whether any fault is named: a scenario without any is a quiet one, not an empty one."""
    return bool(value.faults.weights or value.at)
