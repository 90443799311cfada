"""`papilio evidence`: equivocation that a node kept, in words, and checked by anyone offline (C-17).

Nothing is asked of a node: its files are read, or one file that somebody was sent. What is believed is network.toml.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.exits import ExitCode
from daemon.cli.output import emit, json_option, table
from daemon.cli.proven import network_option, proven, read_proof
from protocol.errors import OperatorFault

if TYPE_CHECKING:
    from protocol.ledger.genesis import Genesis
    from protocol.proofs.equivocation import VerifiedEquivocation
    from protocol.proofs.finality import ProofRefused


@click.group()
def evidence() -> None:
    """Show and check evidence that a validator signed two things that exclude each other.

    A node that sees such a pair keeps it as a file in data/evidence and logs `equivocation`. The file is all that
    others need: send it to every member.

    \b
    Example:
        papilio evidence list node
        papilio evidence verify node/data/evidence/equivocation-5d0c….evidence --network network.toml
    """


@evidence.command("list")
@click.argument("directory", type=click.Path(path_type=Path), default=Path())
@click.option("--network", type=click.Path(path_type=Path), help="The network's file: all that is believed.")
@json_option
def list_(directory: Path, network: Path | None) -> int:
    """List the evidence that the node in DIRECTORY (or its data, or a folder of files) has kept, each one checked.

    Exit code 0, also if there is none; 5 if a file does not prove what it should.

    \b
    Examples:
        papilio evidence list node
        papilio evidence list node/data --network network.toml --json
    """
    from daemon.client.proving import load_genesis

    folder = _folder(directory)
    genesis = load_genesis(network or _network_beside(directory))
    found = [(file, _check(genesis, file)) for file in sorted(folder.glob("*.evidence"))] if folder.is_dir() else []
    values = [{"file": str(file), "found_at": _found_at(file), **_facts(result)} for file, result in found]
    emit({"evidence": values}, lambda: _table(found))
    return ExitCode.DONE if all(value["verified"] for value in values) else ExitCode.UNVERIFIED


@evidence.command()
@click.argument("file", type=click.Path(path_type=Path))
@network_option
@json_option
def show(file: Path, network: Path) -> None:
    """Check the evidence in FILE and say all that it shows, in words.

    Exit codes as of 'evidence verify'.

    \b
    Example:
        papilio evidence show equivocation-5d0c….evidence --network network.toml
    """
    from protocol.proofs.equivocation import explain_equivocation

    verified = _insist(file, network)
    facts = _facts(verified)
    statements = [_vote(vote) for vote in (verified.first, verified.second)]
    words = explain_equivocation(verified)
    emit({**facts, "statements": statements, "words": words.split("\n")}, lambda: print(words))


@evidence.command()
@click.argument("file", type=click.Path(path_type=Path))
@network_option
@json_option
def verify(file: Path, network: Path) -> None:
    """Check the evidence in FILE offline: only the file and network.toml are used, no node is asked.

    Exit code 0: one validator's key signed both statements, and C-10 forbids that. 5: it proves nothing; the words say
    why.

    \b
    Example:
        papilio evidence verify equivocation-5d0c….evidence --network network.toml
    """
    verified = _insist(file, network)
    view = f"epoch {verified.first.epoch}, view {verified.first.view}"
    emit(_facts(verified), lambda: print(f"PROVEN: {_who(verified)} signed {_what(verified)}, {view}"))


def _insist(file: Path, network: Path) -> VerifiedEquivocation:
    from protocol.proofs.equivocation import verify_equivocation

    return proven(file, network, verify_equivocation)


def _check(genesis: Genesis, file: Path) -> VerifiedEquivocation | ProofRefused:
    from protocol.proofs.equivocation import verify_equivocation
    from protocol.proofs.finality import ProofRefused

    try:
        return verify_equivocation(genesis, read_proof(file))
    except ProofRefused as refused:
        return refused


def _folder(directory: Path) -> Path:
    """Where evidence lies. Raises OperatorFault if the directory is not there."""
    from daemon.audit.places import data_directory

    if not directory.is_dir():
        raise OperatorFault(f"{directory} is no directory: name a node's directory or its data")
    data = data_directory(directory)
    for folder in (data / "evidence", directory / "evidence"):
        if folder.is_dir():
            return folder
    nothing = data.is_dir() or (directory / "segments").is_dir()
    return directory / "evidence" if nothing else directory


def _network_beside(directory: Path) -> Path:
    from daemon.audit.places import network_file

    return network_file(directory)


def _found_at(file: Path) -> str:
    return datetime.fromtimestamp(int(file.stat().st_mtime), UTC).isoformat()


def _facts(found: VerifiedEquivocation | ProofRefused) -> dict[str, Any]:
    """The same for programs."""
    from protocol.proofs.equivocation import VerifiedEquivocation

    if not isinstance(found, VerifiedEquivocation):
        return {"verified": False, "code": found.code, "words": found.words}
    return {
        "verified": True,
        "network": found.network,
        "network_id": found.network_id.hex(),
        "member": found.member,
        "voting_key": found.voting_key.hex(),
        "power": found.power,
        "total_power": found.total_power,
        "epoch": found.first.epoch,
        "view": found.first.view,
        "signed": _what(found),
    }


def _vote(vote: Any) -> dict[str, Any]:
    from protocol.codec.json import to_json

    return to_json(vote)


def _who(verified: VerifiedEquivocation) -> str:
    return verified.member if verified.member is not None else verified.voting_key.hex()


def _what(verified: VerifiedEquivocation) -> str:
    from protocol.proofs.equivocation import forbidden

    return forbidden(verified.first, verified.second)


def _table(found: list[tuple[Path, VerifiedEquivocation | ProofRefused]]) -> None:
    from protocol.proofs.equivocation import VerifiedEquivocation

    if not found:
        print("no evidence: this node saw no validator sign two things that exclude each other")
        return
    rows = []
    for file, result in found:
        if isinstance(result, VerifiedEquivocation):
            place = (str(result.first.epoch), str(result.first.view))
            rows.append([_found_at(file), _who(result), *place, _what(result), str(file)])
        else:
            rows.append([_found_at(file), "NOT PROVEN", "", "", f"{result.code}: {result.words}", str(file)])
    table(("found at", "member", "epoch", "view", "signed", "file"), rows)
