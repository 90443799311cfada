"""`papilio members`: who takes part in the network, and how the members change that.

    papilio members show
    papilio members propose --add-validator delta ed25519:… ed25519:… 1 --note "delta joins" --key alpha.key
    papilio members approve 7 --key beta.key
    papilio members ready 7 --voting-key keys/voting.key.next
    papilio members execute 7 --key alpha.key

`execute` looks at what the change would leave: whom the node hears of the validators of the next set, and which new
keys are ready. With less than a quorum of those the network would stop until others come back, so the command refuses,
and `--force` overrules it. The ledger itself has no opinion: who is up is not in its state.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from daemon.cli.output import emit, json_option, say
from daemon.cli.remote import ACCOUNT_TYPE, HexType, client_of, heard_by, node_options, safe
from daemon.cli.submit import send, sending_options
from daemon.config.texts import PUBLIC_KEY
from protocol.errors import FORBIDDEN, KEY_NOT_READY, NOT_FOUND, OperatorFault, Refused

if TYPE_CHECKING:
    from daemon.client import Client
    from protocol.apps.members.records import Change, Proposal

DAY_MS: Final = 24 * 3600 * 1000
KEY_TYPE: Final = HexType(PUBLIC_KEY)
POWER_TYPE: Final = click.IntRange(1)
SHOWN_PROPOSALS: Final = 20


@click.group()
def members() -> None:
    """Show and change who takes part: members, validators, nodes, keys, and the members' own rule.

    A change is proposed by a member, approved by as many as the rule asks for (more than two thirds, unless changed),
    and executed. A new validator, or a new voting key, has to be ready first: its node runs and has caught up.

    \b
    Example:
        papilio members show
        papilio members propose --add-node delta ed25519:5d…0c --note "delta follows" --key alpha.key
    """


class View:
    """The state as a node tells it, for the functions of the application; one question for each key."""

    def __init__(self, client: Client, timeout_seconds: float) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds

    def get(self, space: Any, parts: Any) -> Any:
        """The value, or None."""
        return self._client.state(space, *parts, timeout_seconds=self._timeout_seconds)

    def node(self) -> dict[str, Any]:
        """What the node says of itself."""
        return dict(self._client.node(timeout_seconds=self._timeout_seconds))

    def proposal(self, number: int) -> Proposal:
        """Raises Refused(not_found)."""
        from protocol.apps.members.records import PROPOSALS

        proposal: Proposal | None = self.get(PROPOSALS, (number,)) if number > 0 else None
        if proposal is None:
            raise Refused(NOT_FOUND, f"there is no proposal {number}; papilio members show lists them")
        return proposal


# -- Show -------------------------------------------------------------------------------------------


@members.command()
@click.argument("number", type=int, required=False)
@node_options
@json_option
def show(number: int | None, nodes: tuple[str, ...], timeout_seconds: float) -> None:
    """Show the validators, the members' rule and the newest proposals, or the proposal NUMBER.

    \b
    Example:
        papilio members show
        papilio members show 7 --json
    """
    with client_of(nodes) as client:
        view = View(client, timeout_seconds)
        facts = _overview(view) if number is None else _proposal_facts(number, view.proposal(number))
    emit(facts, lambda: print("\n".join(_overview_lines(facts) if number is None else _proposal_lines(facts))))


def _overview(view: View) -> dict[str, Any]:
    from protocol.apps.members.changes import approvals_needed, read_council
    from protocol.ledger.members import VALIDATORS, next_validators

    node = view.node()
    council, entries = read_council(view), next_validators(view).validators
    heard = heard_by(node)
    validators: list[dict[str, Any]] = []
    for entry in entries:
        known = view.get(VALIDATORS, (entry.voting_key,))
        key = known.node_key.hex()
        whose = {"member": known.member, "voting_key": entry.voting_key.hex(), "node_key": key}
        validators.append({**whose, "power": entry.power, "seen": key in heard})
    first = max(1, council.proposals - SHOWN_PROPOSALS + 1)
    return {
        "epoch": node["epoch"],
        "members": council.members,
        "approvals_needed": approvals_needed(council),
        "validators": validators,
        "proposals": [_proposal_facts(number, view.proposal(number)) for number in range(first, council.proposals + 1)],
    }


def _overview_lines(facts: dict[str, Any]) -> list[str]:
    rule = f"{facts['approvals_needed']} of {facts['members']} members must approve a change"
    lines = [f"epoch      {facts['epoch']}", f"rule       {rule}", "validators of the next epoch:"]
    for entry in facts["validators"]:
        seen = "seen" if entry["seen"] else "not seen"
        lines.append(f"  {safe(entry['member']):<20} {entry['voting_key'][:16]}…  power {entry['power']}  {seen}")
    lines.append("proposals:" if facts["proposals"] else "no proposals yet")
    return [
        *lines,
        *(f"  {each['proposal']:>4}  {each['status']:<9} {safe(each['words'])}" for each in facts["proposals"]),
    ]


def _proposal_facts(number: int, proposal: Proposal) -> dict[str, Any]:
    from protocol.apps.members.changes import new_voting_keys, read_change
    from protocol.apps.members.words import explain_changes

    changes = [read_change(data) for data in proposal.changes]
    return {
        "proposal": number,
        "status": ("open", "executed", "withdrawn")[proposal.status - 1],
        "member": proposal.member,
        "note": proposal.note,
        "words": explain_changes(proposal.changes),
        "changes": [data.hex() for data in proposal.changes],
        "approvals": list(proposal.approvals),
        "needs_ready": [key.hex() for key in new_voting_keys(changes)],
        "ready": [key.hex() for key in proposal.ready],
        "expires_ms": proposal.expires_ms,
    }


def _proposal_lines(facts: dict[str, Any]) -> list[str]:
    from protocol.proofs.explain import utc_text

    ready = [f"{key[:16]}… {'ready' if key in facts['ready'] else 'not ready'}" for key in facts["needs_ready"]]
    return [
        f"proposal   {facts['proposal']}, {facts['status']}, by {safe(facts['member'])}: {safe(facts['note'])}",
        f"changes    {safe(facts['words'])}",
        f"approvals  {', '.join(safe(name) for name in facts['approvals']) or 'none'}",
        f"new keys   {', '.join(ready) or 'none'}",
        f"expires    {utc_text(facts['expires_ms'])}",
    ]


# -- Propose, approve, withdraw ---------------------------------------------------------------------


number_argument: Final = click.argument("number", type=click.IntRange(1))
_SENDING: Final = ("keys", "sender", "consents", "validity_seconds", "wait_seconds", "nodes", "timeout_seconds")
"""What `send` takes of the command line (submit.py)."""


def _operation(name: str, **arguments: Any) -> list[dict[str, Any]]:
    return [{"app": "members", "name": name, "arguments": arguments}]


@sending_options
@members.command()
@click.option("--add-member", type=(str, ACCOUNT_TYPE, int), multiple=True, metavar="NAME ACCOUNT QUOTA_BYTES")
@click.option("--add-node", type=(str, KEY_TYPE), multiple=True, metavar="MEMBER|- NODE_KEY")
@click.option(
    "--add-validator",
    type=(str, KEY_TYPE, KEY_TYPE, POWER_TYPE),
    multiple=True,
    metavar="MEMBER NODE_KEY VOTING_KEY POWER",
)
@click.option("--rotate", type=(KEY_TYPE, KEY_TYPE), multiple=True, metavar="VOTING_KEY NEW_VOTING_KEY")
@click.option("--rotate-node", type=(KEY_TYPE, KEY_TYPE), multiple=True, metavar="NODE_KEY NEW_NODE_KEY")
@click.option("--power", type=(KEY_TYPE, POWER_TYPE), multiple=True, metavar="VOTING_KEY POWER")
@click.option("--quota", type=(str, int), multiple=True, metavar="NAME BYTES")
@click.option("--remove-validator", type=KEY_TYPE, multiple=True, metavar="VOTING_KEY")
@click.option("--remove-node", type=KEY_TYPE, multiple=True, metavar="NODE_KEY")
@click.option("--remove-member", multiple=True, metavar="NAME")
@click.option("--approvals", metavar="NUMBER|default", help="How many members must approve from then on.")
@click.option("--note", required=True, help="Why, for the other members; it stands in the ledger for ever.")
@click.option("--days", type=click.IntRange(1, 366), default=14, show_default=True, help="Void after so long.")
def propose(note: str, days: int, **given: Any) -> int:
    """Put changes to the members, all to be carried out together or not at all; the sender approves them.

    Keys as papilio shows them, or in hex. A validator is replaced in one proposal: --add-validator and
    --remove-validator. A node that is to become a validator follows first (--add-node), so that it can catch up.

    \b
    Examples:
        papilio members propose --add-node delta ed25519:5d…0c --note "delta follows" --key alpha.key
        papilio members propose --add-validator delta ed25519:5d…0c ed25519:9f…3a 1 --note "delta votes" --key alpha.key
        papilio members propose --rotate ed25519:9f…3a ed25519:77…e1 --note "new voting key" --key alpha.key
    """
    from protocol.codec import encode

    sending = {name: given.pop(name) for name in _SENDING}
    changes = _changes(given)
    if not changes:
        raise click.UsageError("say what to change: papilio members propose --help lists it")
    expires_ms = int(time.time() * 1000) + days * DAY_MS
    encoded = [encode(change).hex() for change in changes]
    return send(_operation("propose", changes=encoded, note=note, expires_ms=expires_ms), **sending)


def _changes(given: dict[str, Any]) -> list[Change]:
    """In an order in which each can be carried out: who comes before who goes."""
    from protocol.apps.members import records as kinds

    changes: list[Change] = [kinds.AddMember(*each) for each in given["add_member"]]
    changes += [kinds.AddNode(None if name == "-" else name, key) for name, key in given["add_node"]]
    changes += [kinds.AddValidator(*each) for each in given["add_validator"]]
    changes += [kinds.RotateVotingKey(*each) for each in given["rotate"]]
    changes += [kinds.RotateNodeKey(*each) for each in given["rotate_node"]]
    changes += [kinds.SetPower(*each) for each in given["power"]]
    changes += [kinds.SetQuota(*each) for each in given["quota"]]
    changes += [kinds.RemoveValidator(key) for key in given["remove_validator"]]
    changes += [kinds.RemoveNode(key) for key in given["remove_node"]]
    changes += [kinds.RemoveMember(name) for name in given["remove_member"]]
    if given["approvals"] is not None:
        text = given["approvals"]
        if text != "default" and not text.isdecimal():
            raise click.UsageError("--approvals: a number, or 'default' for more than two thirds")
        changes.append(kinds.SetApprovals(None if text == "default" else int(text)))
    return changes


@sending_options
@members.command()
@number_argument
def approve(number: int, **sending: Any) -> int:
    """Approve the proposal NUMBER, as the member whose key signs.

    \b
    Example:
        papilio members approve 7 --key beta.key
    """
    return send(_operation("approve", proposal=number), **sending)


@sending_options
@members.command()
@number_argument
def withdraw(number: int, **sending: Any) -> int:
    """Take back the approval of the proposal NUMBER.

    \b
    Example:
        papilio members withdraw 7 --key beta.key
    """
    return send(_operation("withdraw", proposal=number), **sending)


@sending_options
@members.command()
@number_argument
@click.option("--force", is_flag=True, help="Even if the next set would lack a quorum of validators that are heard.")
def execute(number: int, force: bool, **sending: Any) -> int:
    """Carry out the proposal NUMBER, once enough members approve and every new voting key is ready.

    Refused, unless forced, if fewer validators than a quorum would be left of those that the node hears now.

    \b
    Example:
        papilio members execute 7 --key alpha.key
    """
    if not force:
        with client_of(sending["nodes"]) as client:
            _check_live(View(client, sending["timeout_seconds"]), number)
    return send(_operation("execute", proposal=number), **sending)


def _check_live(view: View, number: int) -> None:
    """Raises OperatorFault if the next set would have less than a quorum of validators that are up."""
    from protocol.apps.members.changes import carry_out, read_change
    from protocol.apps.members.scratch import Scratch
    from protocol.consensus.validators import Validators
    from protocol.ledger.members import VALIDATORS, next_validators

    proposal, node = view.proposal(number), view.node()
    after = Scratch(view)
    carry_out([read_change(data) for data in proposal.changes], after)
    entries = next_validators(after).validators
    heard = heard_by(node)
    silent: list[str] = []
    live = 0
    for entry in entries:
        known = after.get(VALIDATORS, (entry.voting_key,))
        assert known is not None, "every validator of a set has a record"
        if entry.voting_key in proposal.ready or known.node_key.hex() in heard:
            live += entry.power
        else:
            silent.append(f"{known.member} ({entry.voting_key.hex()[:16]}…)")
    quorum = Validators(tuple(e.voting_key for e in entries), tuple(e.power for e in entries)).quorum
    if live < quorum:
        words = (
            f"after this change only power {live} of the {quorum} that a quorum needs would be up: this node does not "
            f"hear {safe(', '.join(silent))}. The network would stop until they are back. Start them first, or use "
            "--force if they are up and only not heard from here"
        )
        raise OperatorFault(words, code=FORBIDDEN)


@partial(sending_options, key_words="Key file of an account that sends it, with --sender; not needed.")
@members.command()
@number_argument
@click.option("--voting-key", type=click.Path(path_type=Path), required=True, help="The new voting key's file.")
def ready(number: int, voting_key: Path, **sending: Any) -> int:
    """Say, signed by a new voting key, that its node runs and has caught up. Run it beside that node.

    \b
    Example:
        papilio members ready 7 --voting-key keys/voting.key.next
    """
    from daemon.config.keyfiles import load_key

    key = load_key(str(voting_key), "voting", Path()).key
    with client_of(sending["nodes"]) as client:
        node = View(client, sending["timeout_seconds"]).node()
        if not node["ready"]:
            raise Refused(KEY_NOT_READY, "this node has not caught up yet: papilio status shows how far it is")
    say(f"voting key {PUBLIC_KEY.format(key.public)} at height {node['executed_height']}")
    arguments = {"proposal": number, "voting_key": key.public.hex(), "height": node["executed_height"]}
    return send(_operation("ready", **arguments), also=(key,), **sending)
