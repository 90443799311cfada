"""`papilio bench`: how fast a network of real nodes is on this machine, and under which conditions."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from daemon.cli.exits import Ended, ExitCode

WORKLOADS = ("light", "single", "bundled", "hot", "leader-kill", "idle")
DEFAULT = ("light", "single", "bundled")
DIRECTORY_FILE = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("workloads", nargs=-1, type=click.Choice(WORKLOADS))
@click.option("--nodes", type=click.IntRange(1, 10), default=4, show_default=True, help="Nodes of the network.")
@click.option("--rate", type=click.FloatRange(1), help="Envelopes a second, instead of a search for the highest.")
@click.option("--seconds", type=click.FloatRange(1), help="How long it is measured. [light 20, others 30]")
@click.option("--probe-seconds", type=click.FloatRange(1), default=8, show_default=True, help="...a try of a search.")
@click.option("--each", type=click.IntRange(1, 1000), help="Envelopes a request. [light and bundled 1, single 50]")
@click.option("--one-a-request", is_flag=True, help="One envelope a request, over 64 connections.")
@click.option("--connections", type=click.IntRange(1, 1000), help="Connections to all nodes. [16]")
@click.option("--recompute", is_flag=True, help="Afterwards execute every disk's history again, in other processes.")
@click.option("--profile", is_flag=True, help="See where the time goes, by py-spy, in a stretch of its own.")
@click.option("--directory", type=DIRECTORY_FILE, help="Where the nodes write; stays. [temporary]")
@click.option("--json", "json_file", type=FILE, help="Write the report to this file, for programs.")
@click.option("--report", "report_file", type=FILE, help="Write the report with plots to this file, for a browser.")
def bench(
    workloads: tuple[str, ...],
    nodes: int,
    rate: float | None,
    seconds: float | None,
    probe_seconds: float,
    each: int | None,
    one_a_request: bool,
    connections: int | None,
    recompute: bool,
    profile: bool,
    directory: Path | None,
    json_file: Path | None,
    report_file: Path | None,
) -> None:
    """Measure a fresh network of real nodes on this machine.

    \b
    light        100 transactions a second, one a request: time to the final receipt
    single       one operation, one signature: the highest rate held with p99 below 1 s
    bundled      100 operations under one signature: the same
    hot          every transfer touches one account: the same
    leader-kill  light, and the leader killed with -9
    idle         nobody uses it: CPU, memory, disk

    Without a name: light, single, bundled; some minutes. Load comes from processes of its own, signed beforehand, in an
    open loop: latency counts from the moment a transaction was due. Afterwards every disk must hold the same.

    \b
    Examples:
        papilio bench
        papilio bench light --seconds 10
        papilio bench single --rate 1000 --report single.html --json single.json
    """
    if one_a_request and each not in (None, 1):
        raise click.UsageError("--one-a-request and --each contradict each other")
    from daemon.bench.page import page
    from daemon.bench.report import lines
    from daemon.bench.run import Wishes, run_bench

    wishes = Wishes(
        workloads=workloads or DEFAULT,
        nodes=nodes,
        rate=rate,
        seconds=seconds,
        probe_seconds=probe_seconds,
        each=each,
        connections=connections,
        one_a_request=one_a_request,
        recompute=recompute,
        profile=profile,
        directory=directory,
    )
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
