"""`papilio audit`: a node's whole history checked from its files and network.toml alone, and compared.

The work is `daemon.audit`'s; here are its options, its words and its exit codes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli.exits import ExitCode
from daemon.cli.output import emit, json_option

if TYPE_CHECKING:
    from daemon.audit.audit import Wishes
    from daemon.audit.findings import Report


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--network", type=click.Path(path_type=Path), help="The network's file: all that is believed.")
@click.option(
    "--against",
    "others",
    multiple=True,
    metavar="DIRECTORY|URL",
    help="Compare with another directory or a node's API.",
)
@click.option("--height", type=click.IntRange(1), help="Up to this block only.")
@click.option("--no-state", is_flag=True, help="Leave the state store out: blocks, signatures and execution only.")
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the state is computed again, on disk; it is removed afterwards. [default: $TMPDIR, /var/tmp]",
)
@json_option
def audit(
    directory: Path,
    network: Path | None,
    others: tuple[str, ...],
    height: int | None,
    no_state: bool,
    scratch: Path | None,
) -> int:
    """Check the whole history in DIRECTORY, believing nothing but network.toml.

    DIRECTORY is a node's, its data, or any folder of segment files (.seg). A node may be running on it: nothing is
    locked, nothing is changed. Every record, hash, signature and certificate is checked, the validators' history is
    followed, every block is executed again from genesis, and the results are compared with the headers, with the state
    store that lies there, and with what --against names. The first difference is named: height, record, field, both
    values. Memory does not grow with the history; the scratch directory needs as much room as the state store.

    Without --network the network.toml beside DIRECTORY is taken. Who was given a directory takes network.toml from
    somebody else: it is all that is believed.

    \b
    Exit codes:
        0    all of it holds, and nothing that was compared differs
        5    the history does not hold: damaged, not signed by a quorum, or not what it executes to
        6    the history holds; the state store, or what it was compared with, differs
        4    a node to be compared with could not be reached
        78   a directory or file is missing, or of another network

    \b
    Examples:
        papilio audit node
        papilio audit /backup/bank --network network.toml --against http://127.0.0.1:8100
        papilio audit copy-of-bank/data --network network.toml --against copy-of-port/data --json
    """
    from daemon.audit.audit import Wishes
    from daemon.audit.places import find_place, network_file
    from daemon.config.network import load_network

    place = find_place(directory)
    genesis = load_network(network or network_file(directory)).genesis
    report = _run(Wishes(genesis, place, height, others, not no_state, scratch))
    emit(report.as_json(), lambda: _show(report))
    return exit_code(report)


def _run(wishes: Wishes) -> Report:
    from daemon.audit.audit import audit as run
    from daemon.cli.progress import progress
    from daemon.cli.remote import ended
    from daemon.client import ClientError

    try:
        with progress("auditing") as tell:
            return run(wishes, lambda done, total, height: tell(done, total, f"height {height:,}"))
    except ClientError as fault:
        raise ended(fault) from fault


def exit_code(report: Report) -> ExitCode:
    """How a report ends the command."""
    if not report.holds:
        return ExitCode.UNVERIFIED
    return ExitCode.DIFFERS if report.differences else ExitCode.DONE


def _show(report: Report) -> None:
    """The report for a person: the verdict first."""
    print(_verdict(report))
    first = report.first
    if first is not None:
        rows = [("height", str(first.height)), ("where", first.where), ("record", first.record)]
        rows += [("field", first.field or "(the whole record)"), ("expected", first.expected), ("found", first.found)]
        print("First difference:")
        for name, value in (*rows, ("meaning", first.words)):
            print(f"  {name:<10} {value}")
    done = report.executed
    skipped = f", {sum(report.skipped.values()):,} skipped" if report.skipped else ""
    print(f"network    {report.network}, id {report.network_id.hex()}")
    lowest, last = report.beginning + 1, report.last_height
    print(f"blocks     {lowest:,} to {last:,} read, up to {report.certified_height:,} final by a certificate here")
    print(
        f"checked    {report.signatures:,} signatures, {report.certificates:,} certificates, {report.epochs} epoch(s)"
    )
    print(f"executed   to height {done.height:,}: {done.log_size:,} transactions{skipped}")
    print(f"state root {done.state_root.hex()}")
    print(f"log root   {done.log_root.hex()}")
    for one in report.compared:
        whole = ", current values too" if one.whole else ""
        print(f"compared   {one.where}: {one.what}, to height {one.height:,}, {one.records:,} records{whole}")
        for note in one.notes:
            print(f"           {note}")
    for note in report.notes:
        print(f"note       {note}")
    others = [one for one in report.differences if one is not first]
    if others:
        print(f"differences in all: {sum(report.counts.values()):,}; the first {len(report.differences)}:")
        for difference in report.differences:
            print(f"  {difference}")


def _verdict(report: Report) -> str:
    if not report.holds:
        return "NOT SOUND: this history does not hold."
    if report.differences:
        return "DIFFERENT: the history holds; something that it was compared with differs."
    return "SOUND: everything follows from the network's genesis, and nothing that was compared differs."
