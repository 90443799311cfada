"""`papilio node`: one node, made on the machine that it will run on."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import click

from daemon.cli.output import emit, json_option, say
from daemon.cli.parameters import AddressType, NameType, PublicKeyType
from daemon.config.creation import CARD_FILE, FRESH_FILE, NODE_FILE, NodePlan, create_node
from daemon.config.creation import join as join_network
from daemon.config.texts import NETWORK_ID, PUBLIC_KEY, Address
from protocol.errors import OperatorFault
from protocol.limits import SIGNERS_MAX

DEFAULT_LISTEN = Address("127.0.0.1", 7100)
DEFAULT_API = Address("127.0.0.1", 8100)


@click.group()
def node() -> None:
    """Create a node on its own machine, and join it to a network.

    \b
    Example:
        papilio node create node --member bank --address bank.example:7100
        (send node/member.toml to whoever assembles the network; get network.toml back)
        papilio node join node network.toml
        papilio run node/node.toml
    """


@node.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--member", required=True, type=NameType(), help="The member whose node it is.")
@click.option("--address", type=AddressType(), help="Where other nodes reach it; leave out if it only dials.")
@click.option(
    "--listen",
    type=AddressType(),
    help="Where it listens; by default --address if that is an IP address, else that port on all interfaces.",
)
@click.option("--api", type=AddressType(), default=DEFAULT_API, show_default=True, help="Where it serves its API.")
@click.option("--observer", is_flag=True, help="Make a node that only follows; it gets no voting key.")
@click.option(
    "--account-key",
    "account_keys",
    multiple=True,
    type=PublicKeyType(),
    help="A public key of the member's account, where there is one already; else a new one is made here.",
)
@click.option(
    "--threshold",
    type=click.IntRange(1, SIGNERS_MAX),
    default=1,
    show_default=True,
    help="How many of these keys must sign together.",
)
@json_option
def create(
    directory: Path,
    member: str,
    address: Address | None,
    listen: Address | None,
    api: Address,
    observer: bool,
    account_keys: tuple[bytes, ...],
    threshold: int,
) -> None:
    """Make a node in DIRECTORY (new or empty): keys, settings, and its public card member.toml.

    The keys stay here. The card is for whoever assembles the network with 'papilio network create --from-cards'.
    A member's account key need not be on the node's machine, and all nodes of a member name the same account:
    make the key with 'papilio key new' where it will be used, and give its public half with --account-key.

    \b
    Examples:
        papilio node create node --member bank --address bank.example:7100
        papilio node create second --member bank --observer --account-key ed25519:7e40...a797
    """
    if threshold > max(1, len(account_keys)):
        raise click.UsageError(f"--threshold {threshold} is more than the {len(account_keys)} --account-key given")
    plan = NodePlan(
        member,
        listen or _listen(address),
        api,
        address,
        votes=not observer,
        account_keys=account_keys,
        threshold=threshold,
    )
    card = create_node(directory, plan).card
    facts = {"member": member, "node_key": PUBLIC_KEY.format(card.node_key), "card": str(directory / CARD_FILE)}
    emit(facts, lambda: print(directory / CARD_FILE))
    say(f"Made {directory}. Send its card {directory / CARD_FILE} to whoever assembles the network.")
    say(f"With their network.toml: papilio node join {directory} network.toml")


@node.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("network_file", type=click.Path(path_type=Path))
@json_option
def join(directory: Path, network_file: Path) -> None:
    """Complete the node in DIRECTORY with the network of NETWORK_FILE: it is copied, and the node's journal is made.

    Refused if the file says anything else about this node than its card. Compare the network id that is shown with the
    other members': it commits to all keys, and to every value in [genesis].

    \b
    Example:
        papilio node join node network.toml
    """
    joined_first = (directory / FRESH_FILE).exists()
    joined = join_network(directory, network_file)
    id_ = NETWORK_ID.format(joined.network.network_id)
    genesis = joined.network.genesis
    known = {each.node_key for each in genesis.validators} | {each.node_key for each in genesis.observers}
    role = "validator" if joined.is_validator else "observer"
    if joined.is_validator and joined.node_key.public not in known:
        role = "newcomer: genesis does not know this node; the members decide on it (papilio members --help)"
    facts = {"network": joined.network.genesis.name, "network_id": id_, "member": joined.member, "role": role}

    def lines() -> None:
        for name, value in facts.items():
            print(f"{name:<10} {value or '-'}")

    emit(facts, lines)
    if joined.is_validator and not joined_first:
        say("There is no mark that these keys are new: this validator begins without a memory of what it signed.")
        say("It follows at once, and votes when a quorum of the others has answered: 'Amnesia' in the handbook.")
    say(f"Compare the network id with the other members. Then: papilio run {directory / NODE_FILE}")


FORCE_WORDS = """This validator does not know what it signed, and only the others' answers can tell. Commanded to vote
without a quorum of answers, it believes what those that answer show, and what it sees itself. If it has signed more
than that, it may now sign the opposite: evidence against its member; and if more than (P-1)//3 of the voting power
does so, two different blocks can become final and the ledger forks.

Do it only if the others' power is below a quorum for good, or too many have lost their journals; and first
  * make sure that no other process, machine or image with this key runs, or will be started again;
  * start every other validator that still has its journal, and look at 'papilio status' there;
  * agree with the other members, and write down what was decided.
It holds for one start. A validator that remembers is not touched by it.

Afterwards a validator that forgot, commanded or not, may stop with exit code 70 and the words 'a twin', because
somebody shows what it signed itself before it forgot. If no other process has its key: start all others, then start it
again. See 'After force-vote' in the handbook."""


@node.command("force-vote")
@click.argument("place", type=click.Path(path_type=Path), metavar="DIRECTORY|FILE")
@click.option("--yes", is_flag=True, help="The risk is understood; do not ask.")
@json_option
def force_vote(place: Path, yes: bool) -> None:
    """Let the next start of a validator without a memory vote without a quorum of answers (C-24). The node is stopped.

    Seldom right: a validator that lost its disk comes back by itself when a quorum of the others runs.

    \b
    Example:
        papilio node force-vote node
    """
    from daemon.cli.run import file_of
    from daemon.config.node import load_node
    from daemon.runtime.forcing import give_command

    found = load_node(file_of(place))
    if not found.is_validator:
        raise OperatorFault("this node is no validator: it signs no votes")
    say(FORCE_WORDS)
    if not yes:
        click.confirm("Shall the next start vote nevertheless?", abort=True, err=True)
    give_command(found.data_directory)
    emit({"forced": True, "data": str(found.data_directory)}, lambda: print("The next start votes."))


def _listen(address: Address | None) -> Address:
    if address is None:
        return DEFAULT_LISTEN
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        return Address("0.0.0.0", address.port)  # noqa: S104 - a name is not bound; others have to reach it
    return address
