"""`papilio demo`: a real network of four nodes and a real case, from one command."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from daemon.cli.exits import Ended, ExitCode
from daemon.demo.data import DOCUMENTS, TRIPS, TRIPS_SYSTEM

TRIPS_DEFAULT = 5_000


@click.command()
@click.option("--trips", type=click.Path(path_type=Path), help="Other trips: a CSV file; columns are found by name.")
@click.option("--system", help="Whose bicycles these are, part of each claim; by default the file's name.")
@click.option(
    "--limit", type=click.IntRange(1), default=TRIPS_DEFAULT, show_default=True, help="Take so many trips at most."
)
@click.option("--documents", type=click.Path(path_type=Path), help="Other documents: a directory with *.json files.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="Where to run, new or empty; it stays. By default papilio-demo-TIME, here.",
)
@click.option("--temporary", is_flag=True, help="Remove the directory in the end, if all went well.")
@click.option("--keep", is_flag=True, help="Leave the network running, and say how to go on with it.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the summary to this file, too.")
def demo(
    trips: Path | None,
    system: str | None,
    limit: int,
    documents: Path | None,
    directory: Path | None,
    temporary: bool,
    keep: bool,
    json_file: Path | None,
) -> None:
    """Run a network of four real nodes on this machine, and a real case on it, explained as it goes.

    Documents become evidence, bicycle trips become points, wrong things are refused, a node is killed and returns, a
    receipt is verified offline, and four disks are shown to hold the same. About a minute. Needs no network.

    \b
    Examples:
        papilio demo
        papilio demo --keep
        papilio demo --trips trips.csv --documents epcis/
    """
    if keep and temporary:
        raise click.UsageError("--keep leaves the network running, in a directory that cannot be --temporary")
    from daemon.demo.demo import Wishes, run_demo
    from daemon.demo.interrupts import Interrupted
    from daemon.demo.telling import Teller

    wishes = Wishes(
        directory=directory or Path(time.strftime("papilio-demo-%Y%m%d-%H%M%S")),
        trips=trips or TRIPS,
        system=system or (TRIPS_SYSTEM if trips is None else trips.stem),
        trips_max=limit,
        documents=documents or DOCUMENTS,
        keep=keep,
        temporary=temporary,
    )
    try:
        facts = run_demo(wishes, Teller())
    except Interrupted as fault:
        raise Ended(fault.words, code=fault.code, exit_code=ExitCode.INTERRUPTED) from fault
    if json_file is not None:
        json_file.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
