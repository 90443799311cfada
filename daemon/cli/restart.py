"""`papilio restart`: the survivors go on when more than a third of the voting power is lost for good (decision 0014).

    each survivor    papilio restart report node bank            bank.report, bank.holdings
    one of them      papilio restart plan node restart --report bank.report --report port.report
    each member      papilio restart sign restart/document --key account.key
    one of them      papilio restart gather restart/document others/document
    each node        papilio restart begin node restart new-node
    anyone           papilio restart verify restart/document

The work is `daemon.restart`'s; here are its options, its words and its exit codes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.exits import Ended, ExitCode
from daemon.cli.output import emit, json_option, say
from daemon.cli.parameters import NameType

if TYPE_CHECKING:
    from daemon.config.node import Node
    from daemon.restart.disk import Tell
    from protocol.restart.document import Opened

REPORT_WORDS = """A report ends this validator's part in its network, for good: before it is signed the journal is
sealed, and nothing signs with it again. That is what makes reports of blocking power a proof that nothing final is
missing.

Do it only if more than a third of the voting power will not come back, and the members have agreed to restart. A quorum
that is only away needs no restart: the network goes on where it was, after any time."""

WITHDRAW_WORDS = """Whoever has this report may have planned with it. If a restart with it goes on while this validator
signs again in the old network, both networks may go on, and this report beside its next vote is evidence against its
member.

Do it only if all members agree that the restart does not take place."""

FEW_WORDS = "Fewer members have signed than the old network's own rule asks for. Whoever verifies the document sees it."


@click.group()
def restart() -> None:
    """Go on when more than a third of the voting power is lost for good: see 'Loss of more than a third' in the
    handbook.

    The survivors report what they hold, one of them plans, the members sign, and every node begins in a new network
    that goes on from the last block that can be final. It has another id, which commits to the old network and to the
    document.

    \b
    Example:
        papilio restart report node bank
        papilio restart plan node restart --report bank.report --report port.report
        papilio restart sign restart --key account.key
        papilio restart begin node restart new-node
        papilio run new-node
    """


@contextmanager
def _telling(words: str) -> Iterator[Tell]:
    from daemon.cli.progress import progress

    with progress(words) as tell:
        yield lambda what, done, total: tell(done, total, what)


@contextmanager
def _refusals() -> Iterator[None]:
    """What a restart refuses ends with exit code 5: it does not verify, or is not certain."""
    from daemon.store.lock import InUse
    from protocol.restart.opening import RestartRefused

    try:
        yield
    except RestartRefused as fault:
        raise Ended(f"{fault.code}: {fault.words}", code=fault.code, exit_code=ExitCode.UNVERIFIED) from fault
    except InUse as fault:
        raise Ended(f"{fault.words}: stop it first", code=fault.code, exit_code=ExitCode.IN_USE) from fault


def _node(place: Path) -> Node:
    from daemon.cli.run import file_of
    from daemon.config.node import load_node

    return load_node(file_of(place))


# -- Report -----------------------------------------------------------------------------------------


@restart.command()
@click.argument("place", type=click.Path(path_type=Path), metavar="DIRECTORY|FILE")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="What it means is understood; do not ask.")
@json_option
def report(place: Path, out: Path, yes: bool) -> None:
    """Seal a stopped validator for good and write what its disk holds: OUT.report and OUT.holdings.

    Both are as public as the ledger. Asking again gives the same report.

    \b
    Example:
        papilio restart report node bank
    """
    from daemon.restart.reporting import report as make

    node = _node(place)
    say(REPORT_WORDS)
    if not yes:
        click.confirm("Shall this validator report, and sign nothing more in this network?", abort=True, err=True)
    with _refusals(), _telling("reporting") as tell:
        opened, files = make(node, out, tell)
    height = 0 if opened.base is None else opened.base.header.height
    remembers = opened.report.remembers is not None
    facts = {
        "files": [str(file) for file in files],
        "voting_key": opened.report.voting_key.hex(),
        "epoch": opened.epoch,
        "final_height": height,
        "remembers": remembers,
        "certificates": len(opened.report.certificates),
    }
    emit(facts, lambda: print("\n".join(str(file) for file in files)))
    say(f"Final to height {height} by a certificate here, {len(opened.report.certificates)} certificates above.")
    if not remembers:
        say("This validator does not know all that it signed (C-24): its report helps, but does not count.")
    say("Send both files to whoever plans. To take it back: papilio restart withdraw")


@restart.command()
@click.argument("place", type=click.Path(path_type=Path), metavar="DIRECTORY|FILE")
@click.option("--yes", is_flag=True, help="What it means is understood; do not ask.")
@json_option
def withdraw(place: Path, yes: bool) -> None:
    """Take a report back, so that the validator may sign in its old network again: the lost have come back.

    \b
    Example:
        papilio restart withdraw node
    """
    from daemon.restart.reporting import withdraw as take_back

    node = _node(place)
    say(WITHDRAW_WORDS)
    if not yes:
        click.confirm("Shall this validator sign in its old network again?", abort=True, err=True)
    with _refusals():
        take_back(node)
    emit({"withdrawn": True}, lambda: print("Withdrawn. papilio run starts it in its old network."))


# -- Plan -------------------------------------------------------------------------------------------


@restart.command()
@click.argument("place", type=click.Path(path_type=Path), metavar="DIRECTORY|FILE")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--report",
    "reports",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="A survivor's report, its holdings beside it; give all that there are.",
)
@click.option(
    "--card",
    "cards",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Card of a new validator (papilio node create).",
)
@click.option("--remove-member", "leaving", multiple=True, type=NameType(), help="A member that takes part no more.")
@click.option("--name", type=NameType(), help="Name of the new network; by default the old one's.")
@click.option("--created-ms", type=click.IntRange(0), help="Its time of creation; by default now.")
@click.option("--words", default="", help="What the document shall say besides, for people.")
@click.option("--uncertain", is_flag=True, help="Go on although something final may be missing; the document says so.")
@json_option
def plan(
    place: Path,
    out: Path,
    reports: tuple[Path, ...],
    cards: tuple[Path, ...],
    leaving: tuple[str, ...],
    name: str | None,
    created_ms: int | None,
    words: str,
    uncertain: bool,
) -> None:
    """Weigh the reports on a stopped survivor, and make the restart document in the folder OUT (new or empty).

    Validators that did not report leave; --card brings new ones in. Give it to all members: 'verify' shows what it
    says, 'sign' signs it. Who makes it again with the same files and the same --created-ms gets the same document.

    Exit code 5: the reports do not show that everything final is kept, or contradict each other; the words say why.

    \b
    Examples:
        papilio restart plan node restart --report bank.report --report port.report
        papilio restart plan node restart --report bank.report --report port.report --card delta/member.toml
    """
    from daemon.config.creation import load_cards
    from daemon.restart.planning import Wishes
    from daemon.restart.planning import plan as make

    loaded = tuple(found.value.card for found in load_cards(cards))
    at = int(time.time() * 1000) if created_ms is None else created_ms
    wishes = Wishes(reports, at, loaded, leaving, name, None, uncertain, words)
    with _refusals(), _telling("planning") as tell:
        opened = make(_node(place), wishes, out, tell)
    _show(opened, ())
    say(f"Send the folder {out} to all members. Each: papilio restart sign {out} --key account.key")


# -- Sign -------------------------------------------------------------------------------------------


@restart.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--key", required=True, type=click.Path(path_type=Path), help="Key file of the member's account.")
@click.option("--yes", is_flag=True, help="It was read; do not ask.")
@json_option
def sign(file: Path, key: Path, yes: bool) -> None:
    """Sign the document in FILE (or in the folder FILE) with a member's account key; the signature is added to it.

    \b
    Example:
        papilio restart sign restart --key account.key
    """
    from daemon.config.keyfiles import load_key
    from daemon.restart.files import write_restart
    from protocol.restart.document import approvals, approve, restart_file

    found, opened = _read(file)
    account = load_key(str(key), "account", Path()).key
    _show(opened, _signed(opened, found.approvals))
    if not yes:
        click.confirm(f"Sign document {opened.digest.hex()}?", abort=True, err=True)
    with _refusals():
        given = (*found.approvals, approve(opened, account))
        names = approvals(opened, given)
        write_restart(file, restart_file(found.document, given))
    say(f"Signed by {len(names)} of {len(opened.voices)} members, {opened.needed} are asked for.")


@restart.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("others", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def gather(file: Path, others: tuple[Path, ...]) -> None:
    """Add the signatures in copies of the document, OTHERS, to FILE.

    \b
    Example:
        papilio restart gather restart from-port/document from-customs/document
    """
    from daemon.restart.files import write_restart
    from protocol.restart.document import restart_file

    found, opened = _read(file)
    given = list(found.approvals)
    for other in others:
        more, opened_other = _read(other)
        if opened_other.digest != opened.digest:
            raise Ended(f"{other} is another document", code="restart_bad_document", exit_code=ExitCode.UNVERIFIED)
        given += more.approvals
    names = _signed(opened, given)
    write_restart(file, restart_file(found.document, given))
    facts = {"signed": list(names), "needed": opened.needed, "members": len(opened.voices)}
    who = ", ".join(names) or "nobody"
    emit(facts, lambda: print(f"signed by {len(names)} of {len(opened.voices)} members: {who}"))


# -- Begin ------------------------------------------------------------------------------------------


@restart.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--too-few", is_flag=True, help="Begin although fewer members signed than the old rule asks for.")
@json_option
def begin(old: Path, folder: Path, target: Path, too_few: bool) -> None:
    """Make a node of the new network in TARGET, from the old directory OLD and the restart in FOLDER.

    OLD is only read, but for a mark that a network was begun from it; keep it. TARGET is new, and becomes the node of
    OLD with its keys; or it was made by 'papilio node create' and its card was planned with: then OLD is any survivor's
    directory, or a backup of one. Everything is computed again here and compared with the document.

    \b
    Examples:
        papilio restart begin node restart new-node
        papilio restart begin backup-of-bank restart delta
    """
    from daemon.restart.beginning import begin as make
    from daemon.restart.files import read_restart

    if too_few:
        say(FEW_WORDS)
    with _refusals(), _telling("beginning") as tell:
        node, opened = make(old, target, folder, too_few=too_few, tell=tell)
        names = _signed(opened, read_restart(folder).approvals)
    facts = {
        "directory": str(target),
        "network": opened.succession.name,
        "network_id": opened.network_id.hex(),
        "height": opened.weighed.tip.height,
        "signed": list(names),
        "validator": any(v.node_key == node.node_key.public for v in opened.succession.validators),
    }

    def lines() -> None:
        for name, value in facts.items():
            print(f"{name:<10} {', '.join(value) if isinstance(value, list) else value}")

    emit(facts, lines)
    say(f"Compare the network id with the other members. Keep {old}. Then: papilio run {target}")


# -- Verify -----------------------------------------------------------------------------------------


@restart.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--old", type=click.Path(path_type=Path), help="The old network's file, from a source you trust.")
@click.option("--network", type=click.Path(path_type=Path), help="The new network's file: does it follow from this?")
@json_option
def verify(file: Path, old: Path | None, network: Path | None) -> int:
    """Say what the restart document in FILE kept, what it cut, what can't be known, and who signed. Offline, for
    anyone.

    Everything is verified with the file alone, from the old network's genesis on. With --old that has to be the
    genesis of the network you know; with --network the new network has to be the one that the document makes.

    Exit code 0: everything final is kept, and as many members signed as their rule asks for. 1: the document holds, but
    one of the two is not so. 5: it does not hold.

    \b
    Example:
        papilio restart verify restart/document --old old/network.toml --network restart/network.toml
    """
    from daemon.config.network import load_network

    found, opened = _read(file)
    names = _signed(opened, found.approvals)
    if old is not None:
        _same(load_network(old).network_id, opened.weighed.network_id, old, "the network that this document restarts")
    if network is not None:
        _same(load_network(network).network_id, opened.network_id, network, "the network that this document makes")
    _show(opened, names)
    if old is None:
        say("Compare the old network's id with what you know of it, or give its network.toml with --old.")
    return ExitCode.DONE if opened.weighed.certain and len(names) >= opened.needed else ExitCode.FAILED


def _same(found: bytes, expected: bytes, file: Path, what: str) -> None:
    if found != expected:
        words = f"{file} is of network {found.hex()}, {what} is {expected.hex()}"
        raise Ended(words, code="restart_bad_document", exit_code=ExitCode.UNVERIFIED)


def _read(file: Path) -> tuple[Any, Opened]:
    from daemon.restart.files import read_restart
    from protocol.restart.document import open_document

    with _refusals():
        found = read_restart(file)
        return found, open_document(found.document)


def _signed(opened: Opened, given: Any) -> tuple[str, ...]:
    from protocol.restart.document import approvals

    with _refusals():
        return approvals(opened, given)


def _show(opened: Opened, signed: tuple[str, ...]) -> None:
    from protocol.restart.explain import explain_restart, restart_facts

    emit(restart_facts(opened, signed), lambda: print(explain_restart(opened, signed)))
