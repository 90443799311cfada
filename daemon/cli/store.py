"""`papilio store`: whether what a node keeps on disk is whole, and putting it right.

DIRECTORY is a node's directory (with node.toml), its node.toml, or a data directory together with `--network`. Of the
keys only the node's is read, to know its journal by; a directory whose keys are elsewhere is checked without.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from daemon.cli.exits import Ended, ExitCode
from daemon.cli.output import emit, json_option, say, wants_json
from daemon.cli.run import file_of
from protocol.errors import OperatorFault

if TYPE_CHECKING:
    from daemon.upkeep.check import Subject
    from daemon.upkeep.findings import Finding, Progress, Report, Tell
    from daemon.upkeep.repair import Repaired

PROGRESS_SECONDS: Final = 1.0

place_argument: Final = click.argument("place", type=click.Path(path_type=Path), metavar="DIRECTORY")
network_option: Final = click.option(
    "--network",
    type=click.Path(path_type=Path),
    help="The network's file, if DIRECTORY is a data directory by itself.",
)
quick_option: Final = click.option(
    "--quick", is_flag=True, help="Compare the state by its roots only, without executing all blocks again."
)


@click.group()
def store() -> None:
    """Check what a node keeps on disk, and put right what is damaged.

    Exit code 0: whole (or repaired). 74: damaged. 75: a node runs on it. 78: the directory or its files are not what
    they should be.

    \b
    Example:
        papilio store check node
        papilio store repair node --from https://ledger.port.example
    """


@store.command()
@place_argument
@network_option
@quick_option
@click.option(
    "--scratch", type=click.Path(path_type=Path), help="Where to execute again; by default the system's place."
)
@json_option
def check(place: Path, network: Path | None, quick: bool, scratch: Path | None) -> int:
    """Read everything in DIRECTORY again and judge it; change nothing. The node has to be stopped.

    Every record of segments, journal, indexes and state: its checks, the chain of hashes, certificates, and whether the
    parts agree. The state is compared byte for byte with one that is made from the blocks; that takes as long as
    executing them all (--quick leaves it out).

    \b
    Examples:
        papilio store check node
        papilio store check data --network network.toml --quick --json
    """
    from daemon.upkeep.check import check_directory

    subject = subject_of(place, network)
    with _unused():
        report = check_directory(subject, quick=quick, scratch=scratch, tell=teller())
    end_progress()
    emit(report.as_json(), lambda: _show(report, _named(place, network)))
    return ExitCode.DISK_FAILED if report.damage else ExitCode.DONE


@store.command()
@place_argument
@network_option
@quick_option
@click.option("--from", "urls", multiple=True, metavar="URL", help="The API of a node that has blocks; repeatable.")
@json_option
def repair(place: Path, network: Path | None, quick: bool, urls: tuple[str, ...]) -> int:
    """Put right what is damaged in DIRECTORY. The node has to be stopped.

    Damaged files are kept under quarantine/ in the data directory, never deleted. Lost blocks are fetched from the
    nodes of --from and believed only as far as they prove themselves; indexes and state are made anew from the blocks.
    Without --from blocks that are lost stay lost until the node runs and fetches them from its peers. A damaged journal
    cannot be repaired: the validator starts and does not vote.

    \b
    Example:
        papilio store repair node --from http://127.0.0.1:8202 --from http://127.0.0.1:8203
    """
    from daemon.upkeep.repair import repair_directory
    from daemon.upkeep.sources import NodeSource

    subject = subject_of(place, network)
    sources = [NodeSource(url) for url in urls]
    try:
        with _unused():
            done = repair_directory(subject, sources, quick=quick, tell=teller())
    finally:
        for source in sources:
            source.close()
    end_progress()
    emit(done.as_json(), lambda: _show_repair(done, _named(place, network), asked=bool(urls)))
    return ExitCode.DONE if done.is_whole else ExitCode.DISK_FAILED


@store.command()
@click.argument("place", required=False, type=click.Path(path_type=Path), metavar="[DIRECTORY]")
@network_option
@click.option("--node", "url", metavar="URL", help="The API of a running node: begin a pass there, and watch it.")
@click.option("--no-wait", is_flag=True, help="With --node: begin the pass, show how it is, and end.")
@click.option("--rate", type=click.IntRange(1), default=16, show_default=True, metavar="MIB", help="MiB a second.")
@json_option
def scrub(place: Path | None, network: Path | None, url: str | None, no_wait: bool, rate: int) -> int:
    """Read all blocks again, gently, while the node runs.

    With --node the node does it itself (it does so every few hours anyway), and gets what is damaged from its peers.
    With DIRECTORY this process reads the segments and indexes, at --rate, changes nothing, and asks nobody.

    \b
    Examples:
        papilio store scrub --node http://127.0.0.1:8100
        papilio store scrub node
    """
    if (place is None) == (url is None):
        raise click.UsageError("say what to read: a directory, or --node with the API of a running node")
    if url is not None:
        return _scrub_node(url, wait=not no_wait)
    assert place is not None, "one of the two was given"
    from daemon.store.files import OsFiles
    from daemon.store.history import read_beginning
    from daemon.upkeep.findings import Report
    from daemon.upkeep.judging import Judge
    from daemon.upkeep.segments import check_segments

    subject, report = subject_of(place, network), Report()
    directory = subject.directory / "segments"
    beginning = read_beginning(subject.directory, OsFiles())
    check_segments(directory, OsFiles(), Judge(subject.genesis), report, _gently(rate << 20), beginning)
    end_progress()
    emit(report.as_json(), lambda: _show(report, _named(place, network)))
    return ExitCode.DISK_FAILED if report.damage else ExitCode.DONE


@store.command()
@place_argument
@network_option
@click.option(
    "--keep",
    "text",
    metavar='"N days"|"N blocks"',
    help="What stays; by default as [storage] keep of node.toml says.",
)
@click.option("--to", "archive", type=click.Path(path_type=Path), metavar="ARCHIVE", help="Move segments there.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and do nothing.")
@json_option
def prune(place: Path, network: Path | None, text: str | None, archive: Path | None, dry_run: bool) -> int:
    """Delete old segments of DIRECTORY, or move them to ARCHIVE. The node has to be stopped.

    A running node prunes by itself as [storage] keep of its node.toml says. Whole segments go, oldest first, and never
    what the node, its peers, or proofs of new transactions need. With --to each is copied, synced and read again before
    any is deleted. Blocks, proofs of old transactions and an audit from the first block on are then to be had from the
    archive or from an archive node only; state, receipts and balances stay.

    \b
    Examples:
        papilio store prune node --keep "90 days" --dry-run
        papilio store prune node --keep "1000000 blocks" --to /mnt/archive
    """
    from daemon.cli.prune import run

    return run(place, network, text, archive, dry_run=dry_run)


def _gently(bytes_per_second: int) -> Tell:
    """Progress, at which the reader is held back to a rate."""
    tell, began = teller(), time.monotonic()

    def paced(progress: Progress) -> None:
        tell(progress)
        time.sleep(max(0.0, began + progress.done / bytes_per_second - time.monotonic()))

    return paced


def _scrub_node(url: str, *, wait: bool) -> int:
    """Begin a pass and watch it to its end."""
    import httpx

    from daemon.client.http import options
    from daemon.upkeep.findings import Progress

    tell = teller()
    try:
        with httpx.Client(base_url=url, timeout=10.0, **options((url,), None)) as client:
            found = client.post("/v1/node/scrub").raise_for_status().json()
            passes = int(found["passes"])
            while wait and int(found["passes"]) == passes:
                tell(Progress("reading blocks", int(found["height"]), int(found["last_height"])))
                time.sleep(PROGRESS_SECONDS)
                found = client.get("/v1/node/store").raise_for_status().json()
    except (httpx.HTTPError, ValueError, KeyError) as fault:
        words = f"{url} cannot be asked: {str(fault) or type(fault).__name__}"
        raise Ended(words, code="unreachable", exit_code=ExitCode.UNREACHABLE) from fault
    end_progress()

    def lines() -> None:
        print(f"blocks     {found['blocks']} read, up to height {found['last_height']}, in {found['passes']} passes")
        print(f"damaged    {found['damaged']}, found {found['found']}, mended {found['mended']} since the node started")

    emit(found, lines)
    return ExitCode.DISK_FAILED if found["damaged"] else ExitCode.DONE


@contextmanager
def _unused() -> Iterator[None]:
    """A directory that a node runs on has an exit code of its own."""
    from daemon.store.lock import InUse

    try:
        yield
    except InUse as fault:
        raise Ended(fault.words, code=fault.code, exit_code=ExitCode.IN_USE) from fault


def subject_of(place: Path, network: Path | None) -> Subject:
    """What DIRECTORY means. Raises OperatorFault."""
    from daemon.config.files import read
    from daemon.config.keyfiles import load_key
    from daemon.config.network import load_network
    from daemon.config.node import NodeFile
    from daemon.upkeep.check import Subject

    if network is not None:
        return Subject(place, load_network(network).genesis)
    if place.is_dir() and not (place / "node.toml").is_file() and (place / "segments").is_dir():
        words = f"{place} is a data directory: give the node's directory instead, or --network with its network.toml"
        raise OperatorFault(words)
    file = file_of(place)
    settings = read(file, NodeFile).value
    journal_id = None
    try:
        journal_id = load_key(settings.keys.node, "node", file.parent).journal_id
    except OperatorFault as fault:
        say(f"papilio: the journal is checked without knowing whose it is: {fault.words}")
    genesis = load_network(file.parent / settings.network).genesis
    return Subject(file.parent / settings.data_directory, genesis, journal_id)


# -- What a person sees -----------------------------------------------------------------------------


def _named(place: Path, network: Path | None) -> str:
    """The directory as a command has to name it once more."""
    return str(place) if network is None else f"{place} --network {network}"


def teller() -> Tell:
    """Progress on standard error: one line that is rewritten on a terminal, a line now and then elsewhere."""
    told = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal told
        now = time.monotonic()
        if wants_json() or now - told < PROGRESS_SECONDS:
            return
        told = now
        share = f"{100 * progress.done // progress.total} %" if progress.total else ""
        if sys.stderr.isatty():
            print(f"\r\033[K{progress.doing} {share}", end="", file=sys.stderr, flush=True)
        else:
            print(f"{progress.doing} {share}".rstrip(), file=sys.stderr, flush=True)

    return tell


def end_progress() -> None:
    """Clear the line of progress."""
    if sys.stderr.isatty() and not wants_json():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _show(report: Report, place: str) -> None:
    _show_findings(report.findings)
    heights = f"blocks {report.first_height} to {report.last_height}" if report.blocks else "no blocks"
    print(f"segments   {report.segments} files, {heights}, {report.certificates} certificates")
    print(f"journal    {report.journal_records} records")
    print(f"state      {_state_text(report)}")
    if not report.damage:
        print("whole      nothing is damaged")
        return
    print(f"DAMAGED    in {len(report.damage)} places")
    for words in next_steps(report, place):
        print(f"do         {words}")


def _state_text(report: Report) -> str:
    height = "none" if report.state_height is None else f"height {report.state_height}"
    return f"{height}, compared {report.state_compared}"


def _show_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        print(f"{'damage' if finding.is_damage else 'note':<10} {finding}")


def next_steps(report: Report, place: str) -> list[str]:
    """What to do about what was found, in words. place: as a command names it."""
    from daemon.upkeep.findings import Remedy

    steps: list[str] = []
    fetched = bool(report.needs(Remedy.FETCH))
    if fetched:
        steps.append(f"papilio store repair {place} --from URL, the API of another node of this network")
    elif any(finding.remedy in (Remedy.REMAKE, Remedy.SALVAGE) for finding in report.damage):
        steps.append(f"papilio store repair {place}")
    if report.needs(Remedy.AMNESIA):
        steps.append(
            "the journal cannot be repaired: keep it, start the node, and read Amnesia in the operator's handbook"
        )
    steps.append("look at the disk's health: what is damaged once is damaged again")
    return steps


def _show_repair(done: Repaired, place: str, *, asked: bool) -> None:
    _show_findings(done.before.findings)
    for words in done.done:
        print(f"done       {words}")
    for kept in done.kept:
        print(f"kept       {kept}")
    for name, words in done.charged.items():
        print(f"LIES       {name}: {words}; nothing of it was used")
    for name, words in done.missed.items():
        print(f"missed     {name}: {words}")
    if done.is_whole:
        print(
            "whole      nothing that can be repaired is damaged" if done.before.damage else "whole      nothing to do"
        )
    else:
        print("DAMAGED    still:")
        _show_findings(done.after.damage)
        print(f"do         {_what_is_left(done, place, asked=asked)}")
    if done.is_amnesiac:
        print("journal    cannot be repaired: a validator starts and does not vote; see Amnesia in the handbook")


def _what_is_left(done: Repaired, place: str, *, asked: bool) -> str:
    from daemon.upkeep.findings import Part

    if any(finding.part is Part.STATE for finding in done.after.damage) or asked:
        return f"papilio store repair {place} --from URL, another node that has these blocks"
    return f"papilio store repair {place} --from URL; or start the node, which fetches them from its peers"
