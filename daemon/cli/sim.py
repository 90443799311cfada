"""`papilio sim`: networks of real nodes in simulated time, under faults (protocol/sim, daemon/scenarios).

Reports go to standard output and are the same bytes each time; what depends on the clock goes to standard error.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.exits import Ended, ExitCode
from daemon.cli.output import emit, json_option, say, table, wants_json
from daemon.cli.ranges import SeedsType, SizesType

if TYPE_CHECKING:
    from daemon.scenarios.record import Record
    from daemon.scenarios.search import Tally
    from protocol.sim.faults.driver import Happened
    from protocol.sim.run import Report
    from protocol.sim.scenarios import Scenario

SIZES = (1, 2, 3, 4, 7, 10, 31, 100)
SEED = click.IntRange(0, 2**63 - 1)
FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def sim() -> None:
    """Run networks of real nodes in simulated time, under faults.

    A scenario says what goes wrong; a seed says how exactly. SCENARIO is the name of a shipped one or a TOML file.

    \b
    Examples:
        papilio sim list
        papilio sim run crashes --seed 7
        papilio sim search --all --seeds 1..20 --jobs 2
    """


@sim.command("list")
@click.option("--faults", is_flag=True, help="Show the faults that a scenario may name, and actors.")
@json_option
def list_(*, faults: bool) -> None:
    """Show the shipped scenarios.

    \b
    Examples:
        papilio sim list
        papilio sim list --faults
    """
    if faults:
        _list_faults()
        return
    from daemon.scenarios.shipped import scenarios

    rows = [(name, scenario.words) for name, scenario in scenarios().items()]
    emit(
        [{"scenario": name, "words": words, "members": scenarios()[name].members} for name, words in rows],
        lambda: table(("scenario", "what happens"), rows),
    )


def _list_faults() -> None:
    from protocol.sim.byzantine import ACTORS
    from protocol.sim.faults import FAULTS

    rows = [
        (name, kind.words, kind.hits.value, "" if kind.amount is None else kind.amount.value)
        for name, kind in FAULTS.items()
    ]
    actors = sorted(ACTORS)
    value = {
        "faults": [
            {"fault": a, "words": b, "takes": [key for key in (*c.split(", "), d) if key]} for a, b, c, d in rows
        ],
        "actors": actors,
    }

    def lines() -> None:
        table(("fault", "what it is", "whom", "how much"), rows)
        print(f"\nactors: {', '.join(actors)}")

    emit(value, lines)


@sim.command()
@click.argument("scenario")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Which run.")
@click.option("--plot", type=FILE, help="Draw the run into this HTML file.")
@json_option
def run(scenario: str, seed: int, plot: Path | None) -> ExitCode:
    """Run one scenario with one seed. The same seed prints the same bytes.

    Exit code 1 when a rule is violated: then it shows which, the last lines of each node side by side, and the command
    that repeats it.

    \b
    Examples:
        papilio sim run everything --seed 7
        papilio sim run my.toml --seed 1 --plot run.html
    """
    report = _run(scenario, seed, plot)
    emit(facts_of(report), lambda: print(report.text(), end=""))
    return ExitCode.DONE if report.ok else ExitCode.FAILED


@sim.command()
@click.argument("scenario")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Which run.")
@click.option("-o", "--output", type=FILE, required=True, help="The HTML file.")
def plot(scenario: str, seed: int, output: Path) -> ExitCode:
    """Draw one run: views and their leaders, faults, crashes and final heights of each node over time.

    \b
    Example:
        papilio sim plot rolling-restart --seed 1 -o run.html
    """
    report = _run(scenario, seed, output)
    print(report.text().partition("\n")[0])
    print(f"drawn into {output}")
    return ExitCode.DONE if report.ok else ExitCode.FAILED


def _run(name: str, seed: int, drawing: Path | None) -> Report:
    from daemon.scenarios.shipped import load
    from protocol.sim.run import make_world, report_of

    scenario = load(name)
    began = time.monotonic()
    world = make_world(scenario, seed)
    if drawing is None:
        world.run()
        report = report_of(world, seed)
    else:
        from daemon.scenarios.page import page
        from protocol.sim.trace import Tracer

        tracer = Tracer(world)
        world.run()
        report = report_of(world, seed)
        drawing.write_text(page(report, tracer.trace(), scenario.words), encoding="utf-8")
    _say_speed(report.simulated_ms, 1, time.monotonic() - began)
    return report


def _say_speed(simulated_ms: int, runs: int, seconds: float) -> None:
    speed = simulated_ms / 1000 / max(seconds, 1e-9)
    say(
        f"{seconds:.1f} s, {speed:,.1f} simulated seconds a second, {runs * 60 / max(seconds, 1e-9):,.0f} runs a minute"
    )


def facts_of(report: Report) -> dict[str, Any]:
    """A report for programs."""
    value = asdict(report)
    value["ok"] = report.ok
    value["happened"] = [_fact(happened) for happened in report.happened]
    return value


def _fact(happened: Happened) -> dict[str, Any]:
    aim = happened.aim
    told = {"nodes": aim.nodes, "to": aim.to, "groups": aim.groups, "amount": aim.amount}
    return {
        "at_ms": happened.time_us // 1000,
        "fault": happened.fault,
        "lasts_ms": aim.lasts_us // 1000,
        **{key: value for key, value in told.items() if value},
    }


@sim.command()
@click.argument("scenarios", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All shipped scenarios.")
@click.option("--seeds", type=SeedsType(), default="1..20", show_default=True, help="Which runs of each.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes. [as many as cores]")
@click.option("--collect", is_flag=True, help="Go on after a failure, and show all.")
@click.option("--record", "file", type=FILE, help="Add each run to this file, and do not repeat what it has.")
@json_option
def search(
    scenarios: tuple[str, ...], *, everything: bool, seeds: range, jobs: int | None, collect: bool, file: Path | None
) -> ExitCode:
    """Run many seeds, until one fails.

    A seed counts only if a fault happened in it; a fault that the scenario names and that happened in no seed is named.
    Exit code 1 when a run failed. With --record a search of hours may be stopped, and goes on when it is called again;
    runs of another version of the program or scenario do not count.

    \b
    Examples:
        papilio sim search everything --seeds 1..1000 --jobs 2
        papilio sim search --all --seeds 1..20 --collect --json
        papilio sim search --all --seeds 1..240 --collect --record runs.jsonl
    """
    from daemon.scenarios.search import Tally
    from daemon.scenarios.shipped import load, names

    if everything == bool(scenarios):
        raise click.UsageError("name scenarios, or give --all")
    wanted = [load(name) for name in (names() if everything else dict.fromkeys(scenarios))]
    record = None if file is None else _record(file, wanted)
    tallies = {scenario.source: Tally(scenario.name) for scenario in wanted}
    failed: list[Report] = []
    run_ms: list[int] = []
    began = time.monotonic()
    try:
        with _progress(len(wanted) * len(seeds)) as step:
            for scenario, report, fresh in _runs(wanted, seeds, jobs or os.cpu_count() or 1, record):
                tally = tallies[scenario.source]
                tally.add(report, lies=bool(scenario.byzantine))
                run_ms += [report.simulated_ms] if fresh else []
                step(f"{scenario.name} seed {report.seed}")
                if not report.ok:
                    failed.append(report)
                    if not collect:
                        break
                if tally.seeds == len(seeds) and not wants_json():
                    print("\n".join(tally.lines()), flush=True)
    except KeyboardInterrupt:
        raise Ended("interrupted", code="interrupted", exit_code=ExitCode.INTERRUPTED) from None
    _end_search([tally for tally in tallies.values() if tally.seeds], failed, len(seeds))
    _say_speed(sum(run_ms), len(run_ms), time.monotonic() - began)
    return ExitCode.FAILED if failed else ExitCode.DONE


def _runs(
    wanted: list[Scenario], seeds: range, jobs: int, record: Record | None
) -> Iterator[tuple[Scenario, Report, bool]]:
    """Every run, and whether it was run just now; first those that a record has."""
    from daemon.scenarios.search import reports

    known = {} if record is None else record.known
    for scenario in wanted:
        for seed in seeds:
            if (scenario.source, seed) in known:
                yield scenario, known[scenario.source, seed], False
    for scenario, report in reports(wanted, seeds, jobs, known):
        if record is not None:
            record.add(scenario, report)
        yield scenario, report, True


def _record(file: Path, wanted: list[Scenario]) -> Record:
    from daemon.scenarios.record import Record

    record = Record(file, wanted)
    say(f"{file}: {len(record.known)} runs of these scenarios, {record.others} other lines passed over")
    return record


def _end_search(tallies: list[Tally], failed: list[Report], seeds: int) -> None:
    value = {"scenarios": [tally.facts() for tally in tallies], "failures": [facts_of(report) for report in failed]}

    def lines() -> None:
        for tally in tallies:
            if tally.seeds < seeds:
                print("\n".join(tally.lines()))
        for report in failed:
            print(report.text(), end="")
        runs, counted = sum(t.seeds for t in tallies), sum(t.counted for t in tallies)
        blocks, restarts = sum(t.blocks for t in tallies), sum(t.restarts for t in tallies)
        nullified = sum(t.nullified_views for t in tallies)
        print(
            f"{runs} runs, {counted} with a fault, {len(failed)} failed; "
            f"{blocks} blocks, {nullified} views nullified, {restarts} restarts"
        )

    emit(value, lines)


def _no_progress(words: str) -> None:
    del words


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty() or wants_json():
        yield _no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda words: bar.update(task, advance=1, description=words)


@sim.command()
@click.argument("scenario")
@click.option("--seed", type=SEED, required=True, help="The run that fails.")
@click.option("--runs", type=click.IntRange(2, 100_000), default=200, show_default=True, help="At most so many runs.")
@click.option("-o", "--output", type=FILE, help="Write the smaller scenario to this file.")
@json_option
def shrink(scenario: str, seed: int, runs: int, output: Path | None) -> None:
    """Make a failing run smaller: fewer faults, nodes, liars and clients, less time, the same violated rule.

    Prints the smaller scenario as TOML, and the command that runs it.

    \b
    Example:
        papilio sim shrink everything --seed 1234 -o smaller.toml
    """
    from daemon.scenarios.shipped import load, read_file
    from daemon.scenarios.shrink import Shrinker
    from daemon.scenarios.write import to_toml

    load(scenario)
    name, found = read_file(scenario)
    shrinker = Shrinker(name, found.value, seed, runs_max=runs, told=say)
    if shrinker.rule is None:
        raise Ended(f"{scenario} with seed {seed} violates no rule: there is nothing to shrink", code="not_failing")
    smaller = shrinker.shrink()
    text = to_toml(smaller.value)
    file = output or Path(f"{name}-{smaller.seed}.toml")
    if output is not None:
        output.write_text(text, encoding="utf-8")
    command = f"papilio sim run {file} --seed {smaller.seed}"
    value = {
        "toml": text,
        "seed": smaller.seed,
        "rule": shrinker.rule,
        "words": smaller.report.violation.words if smaller.report.violation else "",
        "runs": smaller.runs,
        "command": command,
    }

    def lines() -> None:
        print(text)
        print(f"# violates {shrinker.rule}: {value['words']}")
        print(f"# {'run it with' if output else f'save it as {file} and run it with'}: {command}")

    emit(value, lines)


@sim.command()
@click.option("--members", type=SizesType(), default=SIZES, help="Numbers of validators. [1,2,3,4,7,10,31,100]")
@click.option("--seed", type=SEED, default=1, show_default=True, help="Which run.")
@json_option
def scale(members: tuple[int, ...], seed: int) -> None:
    """Measure how messages, bytes and events a block grow with the number of validators, in quiet.

    What is counted begins when the network has started. The largest takes minutes. CPU is this program's, all nodes
    together; the rest is the same each time.

    \b
    Example:
        papilio sim scale --members 4,7,10
    """
    from daemon.scenarios.scale import measure

    rows: list[tuple[str, ...]] = []
    values: list[dict[str, Any]] = []
    for count in members:
        say(f"{count} validators ...")
        size = measure(count, seed)
        found = size.a_block()
        values.append({**asdict(size), "a_block": found})
        told = (size.blocks, found["messages"], found["bytes"], found["events"], found["ms"], found["cpu_ms"])
        rows.append((str(count), *(f"{number:,}" for number in told)))
    heads = ("validators", "blocks", "messages a block", "bytes a block", "events a block", "simulated ms", "CPU ms")
    emit(values, lambda: table(heads, rows))
