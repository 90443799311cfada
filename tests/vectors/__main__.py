"""Run published vector files as they are; see README.md here for formats and exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click import echo

from tests.vectors import ed25519, noise, rfc6962
from tests.vectors.outcome import Disagreement, NotOurs, Tally


@dataclass(frozen=True, slots=True)
class Format:
    """A published format: how to know it, take it apart, and judge one case."""

    name: str
    recognises: Callable[[Any], bool]
    cases: Callable[[Any], Iterator[tuple[str, Any]]]
    check: Callable[[Any], None]


FORMATS = (
    Format("Noise", noise.recognises, noise.cases, noise.check),
    Format("Ed25519, Wycheproof", ed25519.recognises_wycheproof, ed25519.wycheproof_cases, ed25519.check_wycheproof),
    Format("Ed25519, CCTV", ed25519.recognises_cctv, ed25519.cctv_cases, ed25519.check_cctv),
    Format("RFC 6962 inclusion", rfc6962.recognises_inclusion, rfc6962.cases, rfc6962.check_inclusion),
    Format("RFC 6962 consistency", rfc6962.recognises_consistency, rfc6962.cases, rfc6962.check_consistency),
)


class Unreadable(Exception):
    """A file that is not JSON, or of no known format."""


def run_file(path: Path) -> tuple[str, Tally]:
    """Name of the file's format, and how its cases came out. Raises Unreadable."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as fault:
        raise Unreadable(f"{path}: {fault}") from fault
    form = next((form for form in FORMATS if form.recognises(content)), None)
    if form is None:
        raise Unreadable(f"{path}: none of the known formats ({'; '.join(form.name for form in FORMATS)})")
    tally = Tally()
    for name, case in form.cases(content):
        try:
            form.check(case)
        except NotOurs:
            tally.not_ours += 1
        except Disagreement as fault:
            tally.disagreements.append(f"{path}: {name}: {fault}")
        except Exception as fault:  # noqa: BLE001 - whatever a case does to us is its outcome, and the rest still runs
            tally.disagreements.append(f"{path}: {name}: {type(fault).__name__}: {fault}")
        else:
            tally.agree += 1
    return form.name, tally


def files_of(argument: str) -> list[Path]:
    """The files that an argument means: itself, or a folder's *.json and *.txt at any depth."""
    path = Path(argument)
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.suffix in (".json", ".txt") and p.is_file())
    if not found:
        raise Unreadable(f"{path}: a folder without *.json or *.txt")
    return found


def main(arguments: Sequence[str]) -> int:
    """Run the files, print a table; 0, 1 after a disagreement, 2 if something could not be read."""
    if not arguments or any(argument.startswith("-") for argument in arguments):
        echo("usage: python -m tests.vectors FILE_OR_FOLDER...\n\nRuns published vectors; see tests/vectors/README.md")
        return 0 if {"-h", "--help"} & set(arguments) else 2
    rows: dict[tuple[str, str], Tally] = {}
    unread: list[str] = []
    for argument in arguments:
        try:
            paths = files_of(argument)
        except Unreadable as fault:
            unread.append(str(fault))
            continue
        for path in paths:
            try:
                form, tally = run_file(path)
            except Unreadable as fault:
                unread.append(str(fault))
                continue
            row = rows.setdefault((argument, form), Tally())
            row.agree += tally.agree
            row.not_ours += tally.not_ours
            row.disagreements += tally.disagreements
    report(rows, unread)
    if unread:
        return 2
    return 1 if any(row.disagreements for row in rows.values()) else 0


def report(rows: dict[tuple[str, str], Tally], unread: Sequence[str]) -> None:
    """Print the table, then what disagrees and what could not be read."""
    width = max([len(argument) for argument, _ in rows], default=4)
    echo(f"{'what':{width}}  {'format':20}  {'agree':>6}  {'disagree':>8}  {'not ours':>8}")
    for (argument, form), row in rows.items():
        echo(f"{argument:{width}}  {form:20}  {row.agree:6}  {len(row.disagreements):8}  {row.not_ours:8}")
    for row in rows.values():
        for words in row.disagreements:
            echo(f"disagrees: {words}")
    for words in unread:
        echo(f"not read: {words}", err=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
