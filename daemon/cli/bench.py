"""`papilio bench`: how fast a network of real nodes is on this machine, and under which conditions."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.exits import Ended, ExitCode
from daemon.cli.output import emit, json_option

if TYPE_CHECKING:
    from daemon.bench.kinds import Wishes

WORKLOADS = (
    "light", "single", "one-a-request", "bundled", "hot", "leader-kill", "catch-up", "restart", "overload", "growth",
    "validators", "idle",
)  # fmt: skip
ALL = "all"
DEFAULT = ("light", "single", "one-a-request", "bundled")
DIRECTORY_FILE = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
REPORT_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


class RunByDefault(click.Group):
    """`papilio bench light` is `papilio bench run light`: what is no command of the group is a workload or option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command in front, unless one is there or help is wanted."""
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=RunByDefault)
def bench() -> None:
    """Measure a fresh network of real nodes on this machine, and compare reports.

    `run` may be left out: papilio bench light.

    \b
    light          100 transactions a second, one a request: time to the final receipt
    single         one operation, one signature: the highest rate held with p99 below 1 s
    one-a-request  the same, one envelope a request over 64 connections
    bundled        100 operations under one signature: the same
    hot            every transfer touches one account: the same
    leader-kill    light, and the leader killed with -9
    catch-up       a node away for 10,000 transactions (--transactions): how fast it comes back
    restart        start with a history of 20,000 transactions (--transactions), to ready
    overload       offered twice the most it can do: what is kept, what is refused, memory
    growth         CPU, memory, disk of a transaction at 10,000 and at 50,000 (--transactions)
    validators     CPU of a node for a transaction with four validators, and with ten
    idle           nobody uses it: CPU, memory, disk

    \b
    Examples:
        papilio bench
        papilio bench all --json all.json --report all.html
        papilio bench single --mix evidence=1,transfer=3 --size 200 --burst 3
        papilio bench light --idle-connections 1000 --slow-consumers 4
        papilio bench compare before.json after.json
        papilio bench replay kept/single/network-4/alder
    """


@bench.command()
@click.argument("workloads", nargs=-1, type=click.Choice((*WORKLOADS, ALL)))
@click.option("--nodes", type=click.IntRange(1, 10), default=4, show_default=True, help="Nodes of the network.")
@click.option("--rate", type=click.FloatRange(1), help="Envelopes a second, instead of a search for the highest.")
@click.option("--seconds", type=click.FloatRange(1), help="How long it is measured. [10 to 60, by workload]")
@click.option("--probe-seconds", type=click.FloatRange(1), default=8, show_default=True, help="...a try of a search.")
@click.option(
    "--transactions",
    "--history",
    type=click.IntRange(10, 10_000_000),
    help="Of the history of catch-up, restart, growth.",
)
@click.option("--mix", help="Other operations: evidence=W,transfer=W,hot=W,trip=W, weights of envelopes.")
@click.option("--operations", type=click.IntRange(1, 256), default=1, help="...of an envelope of --mix. [1]")
@click.option("--size", type=click.IntRange(0, 256), help="...bytes of free text in each of them. [what is usual]")
@click.option("--burst", type=click.FloatRange(1, 100), default=1, help="So many times the rate in every fifth second.")
@click.option(
    "--idle-connections", type=click.IntRange(0, 4000), default=0, help="API connections of each node besides."
)
@click.option(
    "--slow-consumers", type=click.IntRange(0, 256), default=0, help="Event streams of each, read at 4 KiB/s."
)
@click.option("--each", type=click.IntRange(1, 1000), help="Envelopes a request. [light and bundled 1, single 50]")
@click.option("--one-a-request", is_flag=True, help="One envelope a request, over 64 connections.")
@click.option("--connections", type=click.IntRange(1, 1000), help="Connections to all nodes. [16]")
@click.option("--no-parts", is_flag=True, help="Nodes do not count CPU time by part (which costs them up to 1%).")
@click.option("--recompute", is_flag=True, help="Afterwards execute every disk's history again, in other processes.")
@click.option("--profile", is_flag=True, help="See where the time goes, by py-spy, in a stretch of its own.")
@click.option("--directory", type=DIRECTORY_FILE, help="Where the nodes write; stays. [temporary]")
@click.option("--json", "json_file", type=FILE, help="Write the report to this file, for programs.")
@click.option("--report", "report_file", type=FILE, help="Write the report with plots to this file, for a browser.")
def run(workloads: tuple[str, ...], json_file: Path | None, report_file: Path | None, **options: Any) -> None:
    """Measure. Without a name: light, single, one-a-request, bundled; some minutes.

    Load comes from processes of its own, signed beforehand, in an open loop: latency counts from the moment a
    transaction was due. Afterwards every disk must hold the same. `papilio bench --help` has the workloads.

    \b
    Examples:
        papilio bench run light --seconds 10
        papilio bench single --rate 1000 --report single.html --json single.json
    """
    wishes = _wishes(workloads, options)
    from daemon.bench.page import page
    from daemon.bench.report import lines
    from daemon.bench.run import run_bench

    try:
        report = run_bench(wishes, lambda words: print(words, file=sys.stderr, flush=True))
    except KeyboardInterrupt:
        raise Ended("interrupted", code="interrupted", exit_code=ExitCode.INTERRUPTED) from None
    for line in lines(report):
        print(line)
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if report_file is not None:
        report_file.write_text(page(report), encoding="utf-8")


@bench.command()
@click.argument("before", type=REPORT_FILE)
@click.argument("after", type=REPORT_FILE)
@json_option
def compare(before: Path, after: Path) -> None:
    """Compare two reports that --json wrote: conditions and figures side by side.

    Warns of conditions that differ: then the figures say little of the program. Judges nothing: two runs on one machine
    differ by some percent by themselves, so run each more than once.

    \b
    Example:
        papilio bench compare before.json after.json
    """
    from daemon.bench.comparing import compared, comparison_lines, read_report

    found = compared(read_report(before), read_report(after))

    def show() -> None:
        for line in comparison_lines(found, before.name, after.name):
            print(line)

    emit(found, show)


@bench.command()
@click.argument("report", type=REPORT_FILE)
def table(report: Path) -> None:
    """Print a report that --json wrote as a table of Markdown, with its conditions: for documents.

    \b
    Example:
        papilio bench table all.json
    """
    from daemon.bench.comparing import read_report
    from daemon.bench.digest import digest

    for line in digest(read_report(report)):
        print(line)


@bench.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--network", type=REPORT_FILE, help="The network's file. [beside DIRECTORY]")
@json_option
def replay(directory: Path, network: Path | None) -> None:
    """Execute a node's blocks again and tell what execution and storage cost.

    DIRECTORY is a node's; a node may be running on it, nothing is changed. One process, no network, no signatures: what
    execution alone takes on this machine, and what a change of it brings. The state goes to $TMPDIR or /var/tmp.

    \b
    Examples:
        papilio bench single --rate 500 --directory kept
        papilio bench replay kept/single/network-4/alder
    """
    from daemon.audit.places import find_place, network_file
    from daemon.bench.replaying import replay_cost
    from daemon.cli.progress import progress
    from daemon.collector import calm_collector
    from daemon.config.network import load_network

    calm_collector()  # as the execute worker does
    genesis = load_network(network or network_file(directory)).genesis
    with progress("executing") as tell:
        place = find_place(directory)
        done = replay_cost(genesis, place, None, lambda read, total, height: tell(read, total, f"height {height:,}"))

    def show() -> None:
        for line in done.lines():
            print(line)

    emit(done.facts(), show)


def _wishes(workloads: tuple[str, ...], options: dict[str, Any]) -> Wishes:
    """What is wanted, checked. Raises UsageError."""
    if options["one_a_request"] and options["each"] not in (None, 1):
        raise click.UsageError("--one-a-request and --each contradict each other")
    if options["mix"] is None and (options["operations"] != 1 or options["size"] is not None):
        raise click.UsageError("--operations and --size are of a --mix, as in --mix evidence=1,transfer=1 --size 200")
    from daemon.bench.kinds import Wishes
    from daemon.bench.mixes import mix_text, parse_mix
    from daemon.bench.trial import Beside

    mix = options.pop("mix")
    operations, size = options.pop("operations"), options.pop("size")
    if mix is not None:
        mix = mix_text(mix, operations, size)
        try:
            parse_mix(mix)
        except ValueError as fault:
            raise click.UsageError(f"--mix: {fault}") from None
    return Wishes(
        workloads=WORKLOADS if ALL in workloads else workloads or DEFAULT,
        mix=mix,
        beside=Beside(options.pop("idle_connections"), options.pop("slow_consumers")),
        parts=not options.pop("no_parts"),
        **options,
    )
