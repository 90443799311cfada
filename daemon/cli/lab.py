"""`papilio lab`: scenarios on real processes on this machine, through a fault proxy (daemon/lab).

Reports go to standard output; progress and words about the run to standard error.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli.exits import Ended, ExitCode
from daemon.cli.output import emit, json_option, say, table, wants_json
from protocol.errors import PapilioError

if TYPE_CHECKING:
    from daemon.demo.telling import Teller
    from daemon.lab.preparing import Prepared
    from daemon.lab.report import LabReport

REPORT_TEXT = "report.txt"
REPORT_JSON = "report.json"
PICTURE = "run.html"
NETWORK = "network"


@click.group()
def lab() -> None:
    """Run scenarios on real processes, on this machine.

    The same scenario files as `papilio sim`: nodes are processes of `papilio run`, lines lead through a proxy that
    delays, holds back and corrupts, machines are killed and frozen by signals, clients post signed transactions. In the
    end the nodes' directories are judged.

    \b
    Examples:
        papilio lab list
        papilio lab run rolling-restart
        papilio lab run halves-and-heal --seconds 60
    """


@lab.command("list")
@click.option("--faults", is_flag=True, help="Show how each fault is made here, and why one is not.")
@json_option
def list_(*, faults: bool) -> None:
    """Show which of the shipped scenarios can be run here, for how long, and which cannot, and why.

    \b
    Examples:
        papilio lab list
        papilio lab list --faults
    """
    from daemon.lab.possible import MADE, Machine, in_words, refusals, why_not
    from daemon.lab.shorter import span_ms
    from daemon.scenarios.shipped import names, read_file, scenarios

    machine = Machine.here()
    if faults:
        from protocol.sim.faults import FAULTS

        rows = [
            (name, "no" if why_not(name, machine) else "yes", why_not(name, machine) or MADE[name]) for name in FAULTS
        ]
        value = [{"fault": name, "made": made == "yes", "words": words} for name, made, words in rows]
        emit(value, lambda: table(("fault", "made", "how, or why not"), rows))
        return
    found = [(name, scenarios()[name], refusals(read_file(name)[1].value, machine)) for name in names()]
    values = [
        {
            "scenario": name,
            "runs": not refused,
            "nodes": s.members + s.observers,
            "span_ms": span_ms(s),
            "refused": [str(refusal) for refusal in refused],
        }
        for name, s, refused in found
    ]
    told = [
        (name, "no" if refused else "yes", _time(span_ms(s)), "; ".join(in_words(refused)) or s.words)
        for name, s, refused in found
    ]
    emit(values, lambda: table(("scenario", "runs", "lasts", "what happens, or why not"), told))


@lab.command()
@click.argument("scenario")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Of chance.")
@click.option("--nodes", type=click.IntRange(1, 32), help="So many validators in place of the scenario's.")
@click.option(
    "--seconds",
    type=click.IntRange(1),
    help="The part with faults in at most so long: waiting is divided, delays and time-outs are not.",
)
@click.option("--lenient", is_flag=True, help="Leave out what cannot be made here, and say so.")
@click.option("--namespaces", is_flag=True, help="Each node in a network of its own (root only).")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to run, new or empty: report.txt, report.json and run.html stay there.",
)
@click.option("--keep", is_flag=True, help="Keep the nodes' directories, too. A run that failed keeps them.")
@json_option
def run(
    scenario: str,
    *,
    seed: int,
    nodes: int | None,
    seconds: int | None,
    lenient: bool,
    namespaces: bool,
    out: Path | None,
    keep: bool,
) -> ExitCode:
    """Run one scenario on real processes, and judge what they leave.

    SCENARIO is the name of a shipped one or a TOML file. What it asks for and cannot be made is refused beforehand,
    with reasons. A seed gives the same faults as far as real processes allow; times differ from run to run. Ctrl-C ends
    all of it.

    Exit code 1 when a rule is violated: then the directories are kept, and the report ends with the last lines of each
    node's log.

    \b
    Examples:
        papilio lab run rolling-restart --out run-1
        papilio lab run two-of-four-paused --seconds 60
        papilio lab run ten --namespaces
    """
    from daemon.lab.possible import Machine
    from daemon.lab.preparing import NotPossible, prepare

    try:
        prepared = prepare(scenario, members=nodes, seconds=seconds, lenient=lenient, machine=Machine.here())
    except NotPossible as fault:
        told = [str(refusal) for refusal in fault.refused]
        raise Ended(fault.words, code=fault.code, exit_code=ExitCode.CONFIGURATION, refused=told) from None
    _tell_plan(prepared)
    options = {"--seed": seed, "--nodes": nodes, "--seconds": seconds}
    words = [f"{name} {value}" for name, value in options.items() if value is not None]
    words += [name for name, given in (("--lenient", lenient), ("--namespaces", namespaces)) if given]
    command = " ".join(["papilio lab run", scenario, *words])
    place = _place(out)
    try:
        report = _run(prepared, seed, place, command, namespaces=namespaces)
    except Ended:  # interrupted
        _remove(place, out)
        raise
    except PapilioError:
        if any(place.iterdir()):
            say(f"what there is of it is in {place}")
        elif out is None:
            place.rmdir()
        raise
    kept = keep or not report.ok
    if not kept:
        _remove(place, out)
    emit(report.facts(), lambda: print(report.text(), end=""))
    if kept:
        say(f"all of it is in {place}")
    elif out is not None:
        say(f"{REPORT_TEXT}, {REPORT_JSON} and {PICTURE} are in {place}")
    return ExitCode.DONE if report.ok else ExitCode.FAILED


def _tell_plan(prepared: Prepared) -> None:
    """What is about to happen, and for how long."""
    scenario, factor = prepared.scenario, prepared.factor
    for refusal in prepared.left_out:
        say(f"left out: {refusal}")
    bound = _time(scenario.bound_deltas * scenario.delta_ms)
    shorter = f", its waiting divided by {factor}" if factor > 1 else ""
    say(
        f"{scenario.name}: {prepared.nodes} nodes; faults for {_time(prepared.span_ms)}{shorter}, then rest, which the "
        f"scenario wants within {bound}; then every disk is judged"
    )


def _place(out: Path | None) -> Path:
    """Where to run: what was named, else a folder of ours. Raises Ended."""
    if out is None:
        return Path(tempfile.mkdtemp(prefix="papilio-lab-"))
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        words = f"{out} holds files: name a new or empty directory with --out"
        raise Ended(words, code="not_empty", exit_code=ExitCode.CONFIGURATION)
    return out


def _remove(place: Path, out: Path | None) -> None:
    """The nodes' directories, and all of it if nobody named the place."""
    shutil.rmtree(place / NETWORK if out is not None else place, ignore_errors=True)


def _run(prepared: Prepared, seed: int, place: Path, command: str, *, namespaces: bool) -> LabReport:
    """Run it, and write what stays. Raises Ended if it is interrupted."""
    from daemon.demo.interrupts import Interrupted
    from daemon.lab.lab import run_lab

    try:
        with _teller() as teller:
            report, picture = run_lab(prepared, seed, place / NETWORK, teller, namespaces=namespaces, command=command)
    except Interrupted as fault:
        raise Ended(fault.words, code=fault.code, exit_code=ExitCode.INTERRUPTED) from None
    (place / REPORT_TEXT).write_text(report.text(), encoding="utf-8")
    (place / REPORT_JSON).write_text(json.dumps(report.facts(), indent=2) + "\n", encoding="utf-8")
    (place / PICTURE).write_text(picture, encoding="utf-8")
    return report


@contextmanager
def _teller() -> Iterator[Teller]:
    """Progress on standard error; none with `--json`."""
    from daemon.demo.telling import Teller

    if not wants_json():
        yield Teller(sys.stderr)
        return
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        yield Teller(nowhere)


def _time(ms: int) -> str:
    from daemon.scenarios.page import length

    return length(ms)
