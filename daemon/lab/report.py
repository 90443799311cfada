"""The report of a run: what held, what happened when, and what the network did meanwhile.

The same figures in the same order as the simulator's (`protocol.sim.run.Report`), and besides them the timeline, which
only a run in real time has: faults that begin and end, nodes that come back, and the final height of each node at that
moment, aligned in columns. A run that failed ends with the last lines of each node's log side by side.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from daemon.lab.nodes import LabNode
from daemon.lab.possible import Refusal
from protocol.sim.facts import Violation
from protocol.sim.faults.driver import Happened
from protocol.sim.lines import columns

Moment = tuple[int, str, list[int | None]]

LOG_LINES: Final = 14
"""Last lines of each node's log, of a run that failed."""
MOMENTS_SHOWN: Final = 200
FACTS_SHOWN: Final = ("height", "words", "code", "peer", "view", "full", "error")
NODE_COLUMN: Final = 7


@dataclass(slots=True)
class LabReport:
    """What a run was. Times in ms of real time since the nodes were ready.

    settled_ms: from the end of the last fault until nothing was owed and all nodes held the same; None: never.
    bound_ms: within which the scenario wants that. factor: by which waiting was divided. left_out: what was not run.
    core_seconds: how long nodes' loops ran, and how long they waited for a core.
    """

    scenario: str
    words: str
    seed: int
    nodes: int
    violations: list[Violation]
    ran_ms: int
    calm_ms: int | None
    settled_ms: int | None
    bound_ms: int
    factor: int
    left_out: list[Refusal]
    blocks: int
    nullified_views: int
    restarts: int
    stall_ms: tuple[int, int]
    faults: dict[str, int]
    missing: tuple[str, ...]
    lines: dict[str, int]
    clients: dict[str, int]
    refusals: dict[str, int]
    codes: dict[str, int]
    checked: dict[str, str]
    tip_height: int
    state_root: str
    core_seconds: tuple[float, float]
    timeline: list[Moment]
    happened: list[Happened] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    directory: str = ""
    command: str = ""
    namespaces: bool = False

    @property
    def ok(self) -> bool:
        """Whether every rule held."""
        return not self.violations

    @property
    def is_late(self) -> bool:
        """Whether the network settled later than the scenario wants; this machine may have been busy besides."""
        return self.settled_ms is not None and self.settled_ms > self.bound_ms

    @property
    def is_busy(self) -> bool:
        """Whether nodes waited for a core longer than they ran: then times say little, and no time-out means much."""
        ran, waited = self.core_seconds
        return waited > max(ran, 1.0)

    def text(self) -> str:
        """For people; ends with a line break."""
        out = [f"lab {self.scenario} seed {self.seed}: {'ok' if self.ok else 'VIOLATED ' + _rule(self.violations[0])}"]
        out += [f"  also violated {_rule(violation)}" for violation in self.violations[1:]]
        out += [f"  left out: {refusal}" for refusal in self.left_out]
        where = ", each in a network of its own" if self.namespaces else ""
        shorter = f", waiting divided by {self.factor}" if self.factor > 1 else ""
        begin_ms, end_ms = self.stall_ms
        out += [
            f"  {self.nodes} nodes{where}, {_seconds(self.ran_ms)} in real time{shorter}",
            f"  {self.blocks} blocks final, {self.nullified_views} views nullified, {self.restarts} restarts",
            f"  longest without a final block: {_seconds(end_ms - begin_ms)}, from {_seconds(begin_ms)} on",
            f"  {self._settled()}",
            f"  cores: {self._cores()}",
            f"  faults: {_counts(self.faults)}",
            *([f"  never happened: {', '.join(self.missing)}"] if self.missing else []),
            f"  lines: {_counts(self.lines)}",
            f"  clients: {_counts(self.clients)}",
            f"  refusals: {_counts(self.refusals)}",
            f"  receipts: {_counts(self.codes)}",
            f"  height {self.tip_height} state {self.state_root or '-'}",
            "",
            "checked",
            *(f"  {rule:<11} {words}" for rule, words in sorted(self.checked.items())),
            "",
            *timeline(self.timeline, self.nodes),
        ]
        if not self.ok:
            out += ["", *self.logs, "", f"repeat with: {self.command}"]
        return "\n".join(out) + "\n"

    def _settled(self) -> str:
        if self.settled_ms is None:
            return f"settled never after the last fault; the scenario wants it within {_seconds(self.bound_ms)}"
        late = "LATE: " if self.is_late else ""
        return (
            f"{late}settled {_seconds(self.settled_ms)} after the last fault; the scenario wants it within "
            f"{_seconds(self.bound_ms)}"
        )

    def _cores(self) -> str:
        ran, waited = self.core_seconds
        words = f"nodes ran {ran:.1f} s and waited {waited:.1f} s for one"
        return f"{words}: TOO BUSY a machine to say anything of time" if self.is_busy else words

    def facts(self) -> dict[str, Any]:
        """For programs."""
        value = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("logs", "happened")}
        value["violations"] = [asdict(violation) for violation in self.violations]
        value["left_out"] = [asdict(refusal) for refusal in self.left_out]
        value["timeline"] = [{"at_ms": at, "words": words, "heights": h} for at, words, h in self.timeline]
        return {"ok": self.ok, "late": self.is_late, "busy": self.is_busy, **value}


def _rule(violation: Violation) -> str:
    where = "" if violation.host is None else f" at node {violation.host}"
    return f"{violation.rule}{where} after {_seconds(violation.at_us // 1000)}: {violation.words}"


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.1f} s"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {counts[name]}" for name in sorted(counts) if counts[name]) or "none"


def timeline(moments: Iterable[Moment], nodes: int) -> list[str]:
    """A row a moment: when, the final height of each node (. while it does not answer), and what happened."""
    heads = "".join(f"{f'node {index}':>{NODE_COLUMN}}" for index in range(nodes))
    told = list(moments)
    rows = [f"{'time':>9} {heads}  what happened"]
    for at_ms, words, heights in told[:MOMENTS_SHOWN]:
        cells = "".join(f"{'.' if height is None else height:>{NODE_COLUMN}}" for height in heights)
        rows.append(f"{_seconds(at_ms):>9} {cells}  {words}".rstrip())
    if len(told) > MOMENTS_SHOWN:
        rows.append(f"{'':>9} and {len(told) - MOMENTS_SHOWN} moments more")
    return rows


# -- Logs -------------------------------------------------------------------------------------------


def last_lines(nodes: list[LabNode], began_wall_ms: int) -> list[str]:
    """The last lines of each node's log, a column a node."""
    heads = [f"{node.name}{'' if not node.ended else ' (ended)'}" for node in nodes]
    return columns(heads, [[_line(text, began_wall_ms) for text in node.tail(LOG_LINES)] for node in nodes])


def _line(text: str, began_wall_ms: int) -> tuple[int, str]:
    """(ms since the run began, words) of a line of a log."""
    try:
        line = json.loads(text)
        at_ms = int(datetime.fromisoformat(line["time"]).timestamp() * 1000) - began_wall_ms
    except (ValueError, KeyError, TypeError):
        return 0, text[:200]
    facts = " ".join(f"{name}={str(line[name])[:60]}" for name in FACTS_SHOWN if line.get(name) is not None)
    return at_ms, f"{line.get('event', '')} {facts}".strip()
