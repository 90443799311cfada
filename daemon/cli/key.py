"""`papilio key`: key files of accounts and votes.

A node's own key comes with `papilio node create`, since the id of a journal stands with it.
"""

from __future__ import annotations

from pathlib import Path

import click

from daemon.cli.output import emit, json_option, say
from daemon.config.keyfiles import KeyFile, create_key, load_key
from daemon.config.texts import ACCOUNT, JOURNAL_ID, PUBLIC_KEY
from protocol.errors import OperatorFault
from protocol.ledger.records import account_name


@click.group()
def key() -> None:
    """Make key files and show their public half.

    A key file holds one secret in clear text and is readable by its owner alone (mode 0600); passphrases are not
    supported. No command takes a secret as an argument or from the environment, and none prints one.

    \b
    Example:
        papilio key new alice.key
        papilio key show alice.key
    """


@key.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--purpose",
    type=click.Choice(["account", "voting"]),
    default="account",
    show_default=True,
    help="What the key is for.",
)
@json_option
def new(file: Path, purpose: str) -> None:
    """Make a new key in FILE, which must not exist, and show its public half.

    \b
    Example:
        papilio key new alice.key
    """
    made = create_key(file, "voting" if purpose == "voting" else "account")
    say(f"Wrote {file}. Keep a copy in a safe place: nobody can make this key again.")
    _show(made)


@key.command()
@click.argument("node", type=click.Path(path_type=Path), default="node.toml")
@json_option
def rotate(node: Path) -> None:
    """Make the next voting key of the node in NODE (a node.toml), beside the present one, and show its public half.

    The node goes on with the present key. Propose the new one to the members, say that it is ready, and have it
    executed: the node votes with it from the next epoch on and erases the old one by itself.

    \b
    Example:
        papilio key rotate node.toml
        papilio members propose --rotate ed25519:9f…3a ed25519:77…e1 --note "new voting key" --key member.key
        papilio members ready 7 --voting-key keys/voting.key.next
        papilio members execute 7 --key member.key
    """
    from daemon.config.files import read
    from daemon.config.node import NodeFile
    from daemon.config.voting_keys import VotingKeys

    voting = read(node, NodeFile).value.keys.voting
    keys = None if voting is None else VotingKeys(voting, node.parent)
    if keys is None or keys.is_credential:
        raise OperatorFault(f"{node}: [keys] voting must name a file: beside it the next key is made")
    made = keys.make_successor()
    say(f"Wrote {made.file}. The node takes it up by itself when the members decide on it.")
    _show(made)


@key.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def show(file: Path) -> None:
    """Show the public half of the key in FILE, and the account that an account key names.

    \b
    Example:
        papilio key show alice.key --json
    """
    _show(load_key(str(file), None, Path()))


def _show(found: KeyFile) -> None:
    facts = {"purpose": found.purpose, "public": PUBLIC_KEY.format(found.key.public)}
    if found.purpose == "account":
        facts["account"] = ACCOUNT.format(account_name(found.key.public))
    if found.journal_id is not None:
        facts["journal"] = JOURNAL_ID.format(found.journal_id)

    def lines() -> None:
        for name, value in facts.items():
            print(f"{name:<8} {value}")

    emit(facts, lines)
