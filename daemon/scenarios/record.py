"""The record of a search: a file with a line of JSON for each run, so that a search of hours may be stopped and go on.

A line says what a tally needs of a run, and of what: a digest of the sources of `protocol` and of the scenario. Lines
of another program or scenario say nothing about these and are passed over, as is a last one that was cut off.

Deliberately absent: what the nodes did. Whoever wants to see a run repeats it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import protocol
from protocol.sim.facts import Violation
from protocol.sim.run import COMMAND, Report
from protocol.sim.scenarios import Scenario

FIELDS = (
    "scenario",
    "seed",
    "simulated_ms",
    "settled_ms",
    "events",
    "blocks",
    "nullified_views",
    "restarts",
    "messages",
    "message_bytes",
    "faults",
    "missing",
    "done",
)
"""Of a report, beside the violation."""


def program() -> bytes:
    """Names the program that runs: a digest of all that decides."""
    root = Path(protocol.__file__).parent
    hashed = sha256()
    for file in sorted(root.rglob("*.py")):
        hashed.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return hashed.digest()


class Record:
    """The file; `known` are its runs of these scenarios, by (how a scenario is named, seed)."""

    def __init__(self, path: Path, scenarios: Sequence[Scenario]) -> None:
        running = program()
        self.of = {s.source: sha256(running + repr(s).encode()).hexdigest()[:16] for s in scenarios}
        """How a scenario is named -> what its lines are marked with."""
        self.known: dict[tuple[str, int], Report] = {}
        self.others = 0
        """Lines of something else."""
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            self._read(line)
        self._path = path
        if text and not text.endswith("\n"):
            self._write("\n")

    def _read(self, line: str) -> None:
        try:
            value = json.loads(line)
            source = value["source"]
            if value["of"] == self.of.get(source):
                self.known[(source, value["seed"])] = _report(source, value)
            else:
                self.others += 1
        except (ValueError, KeyError, TypeError):
            self.others += 1  # cut off, or nothing of ours

    def add(self, scenario: Scenario, report: Report) -> None:
        """One run more, written at once."""
        violation = None if report.violation is None else asdict(report.violation)
        value = {"of": self.of[scenario.source], "source": scenario.source, "violation": violation}
        value |= {name: getattr(report, name) for name in FIELDS}
        self._write(json.dumps(value, sort_keys=True) + "\n")

    def _write(self, text: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)


def _report(source: str, value: dict[str, Any]) -> Report:
    found = {name: value[name] for name in FIELDS}
    found["missing"] = tuple(found["missing"])
    violation = None if value["violation"] is None else Violation(**value["violation"])
    command = COMMAND.format(name=source, seed=value["seed"])
    return Report(**found, violation=violation, command=command, lines=("(run it to see the nodes)",))
