"""`papilio key`: key files of accounts and votes.

A node's own key comes with `papilio node create`, since the id of a journal stands with it; `rotate` makes the next.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli.output import emit, json_option, say
from daemon.cli.remote import client_of, node_options
from daemon.config.keyfiles import KeyFile, create_key, load_key
from daemon.config.texts import ACCOUNT, JOURNAL_ID, PUBLIC_KEY
from protocol.errors import NOT_FOUND, OperatorFault, Refused
from protocol.ledger.records import account_name

if TYPE_CHECKING:
    from daemon.config.node_keys import NodeKeys


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
@click.option(
    "--purpose", type=click.Choice(["voting", "node"]), default="voting", show_default=True, help="Which of its keys."
)
@json_option
def rotate(node: Path, purpose: str) -> None:
    """Make the next voting key of the node in NODE (a node.toml), beside the present one, and show its public half.

    The node goes on with the present key. Propose the new one to the members, say that it is ready, and have it
    executed: the node votes with it from the next epoch on and erases the old one by itself. With --purpose node it is
    the key of its channels: that is taken up with 'papilio key take-up', and a restart.

    \b
    Examples:
        papilio key rotate node.toml
        papilio members propose --rotate ed25519:9f…3a ed25519:77…e1 --note "new voting key" --key member.key
        papilio members approve 7 --key other.key    # by as many members as 'papilio members show' asks for
        papilio members ready 7 --voting-key keys/voting.key.next
        papilio members execute 7 --key member.key
        papilio key rotate node.toml --purpose node
    """
    if purpose == "node":
        _announce(_node_keys(node).make_next(), "Take it up when the members have decided: papilio key take-up")
        return
    from daemon.config.files import read
    from daemon.config.node import NodeFile
    from daemon.config.voting_keys import VotingKeys

    voting = read(node, NodeFile).value.keys.voting
    keys = None if voting is None else VotingKeys(voting, node.parent)
    if keys is None:
        raise OperatorFault(f"{node}: there is no [keys] voting: an observer does not vote")
    if keys.is_credential:
        words = "is changed by hand: papilio key new FILE --purpose voting, then 'A new voting key' in the handbook"
        raise OperatorFault(f"{node}: [keys] voting is {voting}, which {words}")
    _announce(keys.make_successor(), "The node takes it up by itself when the members decide on it.")


def _announce(made: KeyFile, words: str) -> None:
    say(f"Wrote {made.file}. {words}")
    _show(made)


def _node_keys(node: Path) -> NodeKeys:
    from daemon.config.files import read
    from daemon.config.node import NodeFile
    from daemon.config.node_keys import NodeKeys

    return NodeKeys(read(node, NodeFile).value.keys.node, node.parent)


@key.command("take-up")
@click.argument("node", type=click.Path(path_type=Path), default="node.toml")
@node_options
@json_option
def take_up(node: Path, nodes: tuple[str, ...], timeout_seconds: float) -> None:
    """Put the next node key of NODE (a node.toml) in the place of the present one, and erase that; then restart.

    Refused until the members have let it take that place, as the node of --node, any of the network, says. From then
    on the others let the old key in no more, so restart soon: meanwhile this node is out.

    \b
    Example:
        papilio key rotate node.toml --purpose node
        papilio members propose --rotate-node ed25519:5d…0c ed25519:77…e1 --note "new machine" --key member.key
        papilio members approve 7 --key other.key    # by as many members as 'papilio members show' asks for
        papilio members execute 7 --key member.key
        papilio key take-up node.toml
        systemctl restart papilio
    """
    keys = _node_keys(node)
    if not keys.erasing:
        _check_decided(keys, nodes, timeout_seconds)
    keys.take_up()
    say(f"{keys.file} is the new key; the old one is erased. Restart the node now.")
    _show(load_key(str(keys.file), "node", Path()))


def _check_decided(keys: NodeKeys, nodes: tuple[str, ...], timeout_seconds: float) -> None:
    """Raises Refused unless the state has the next key, and has the present one no more."""
    from protocol.apps.members.records import NODES

    present, made = keys.present(), keys.next()
    with client_of(nodes) as client:
        decided = client.state(NODES, made.key.public, timeout_seconds=timeout_seconds) is not None
        if present is not None and client.state(NODES, present.key.public, timeout_seconds=timeout_seconds) is not None:
            decided = False
    if not decided:
        words = f"the members have not put {PUBLIC_KEY.format(made.key.public)} in the place of the present key yet"
        raise Refused(NOT_FOUND, f"{words}: papilio members propose --rotate-node")


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
