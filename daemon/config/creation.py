"""Making nodes and networks: keys where they will be used, cards that travel, a network file from cards, a node that
joins.

There is one way, for one machine and for many. `create_node` makes a node's directory on its own machine: keys,
settings, and its public card. `assemble` makes a network file of cards. `join` completes a node with that file: it
looks whether the file says about this node what its card says, then makes the journal with the random id that stands
with the node's key (C-24). `create_network` does all three on this machine. No secret leaves the directory that it
was made in.

    <node>/node.toml  member.toml  network.toml (or one further up)  joined  keys/{node,voting,account}.key  data/

Nothing is ever overwritten. `join` may be repeated when it was interrupted before its last step, the data directory.

**A validator's first journal.** An empty journal says "I have signed nothing", which is true once in a key's life. So
`create_node` leaves a mark beside the new keys, `fresh`, and `join` turns it into `joined` before it makes the journal.
Without the mark (keys restored or copied, a lost disk, a join that was cut short there) `join` makes a journal that
knows that it is not the first: its validator begins as an amnesiac and asks the others what it may have signed (C-24).
So neither the id in the key file nor removing files makes a journal that passes for a memory.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path as File
from typing import Final

from pydantic import ValidationError

from daemon.config.card import CardFile, CardTable
from daemon.config.files import Read, read, read_text
from daemon.config.genesis import to_record
from daemon.config.keyfiles import KeyFile, create_key, write_new
from daemon.config.network import Network, NetworkFile, NodeAddress, load_network
from daemon.config.node import ApiTable, KeysTable, Node, NodeFile, PeersTable, load_node
from daemon.config.problems import ConfigurationFault, Problem, Problems, Source, translate
from daemon.config.tables import (
    GenesisTable,
    MemberTable,
    ObserverTable,
    ParametersTable,
    RulesTable,
    ValidatorTable,
)
from daemon.config.texts import NETWORK_ID, PUBLIC_KEY, Address
from daemon.config.values import from_ms
from daemon.config.write import to_toml
from protocol.apps.registry import NEWEST_RULES
from protocol.ledger.genesis import (
    DEFAULT_PARAMETERS,
    Genesis,
    Parameters,
    check_genesis,
    members_decide,
    network_id,
    parameter_faults,
)

NODE_FILE: Final = "node.toml"
CARD_FILE: Final = "member.toml"
NETWORK_FILE: Final = "network.toml"
ACCOUNT_KEY_FILE: Final = "keys/account.key"
VOTING_KEY_FILE: Final = "keys/voting.key"
JOINED_FILE: Final = "joined"
FRESH_FILE: Final = "fresh"
FRESH_WORDS: Final = """This validator has never signed anything. 'papilio node join' takes this file away when it makes
the journal. Never copy it, back it up, or make it: a validator that has signed before, and joins with it, may vote
twice (C-24).
"""
JOURNAL_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class NodePlan:
    """A node to be made.

    listen, api: where it listens for other nodes and serves its API.
    address: where other nodes reach it; None if it only dials.
    votes: whether it gets a voting key, to become a validator.
    account_keys, threshold: of the member's account, where it exists already; without keys a new one is made here.
    """

    member: str
    listen: Address
    api: Address
    address: Address | None
    votes: bool = True
    account_keys: tuple[bytes, ...] = ()
    threshold: int = 1


def create_node(directory: File, plan: NodePlan, network: str = NETWORK_FILE) -> CardFile:
    """Make a node's directory with new keys, settings and card; it belongs to no network yet.

    network: where its network file will be, from this directory.
    Raises ConfigurationFault if the directory exists and is not empty.
    """
    _new_directory(directory)
    (directory / "keys").mkdir(mode=0o700)
    node_key = create_key(
        directory / KeysTable().node, "node", journal_id=secrets.token_bytes(JOURNAL_ID_BYTES)
    ).key.public
    voting = create_key(directory / VOTING_KEY_FILE, "voting") if plan.votes else None
    account = plan.account_keys or (create_key(directory / ACCOUNT_KEY_FILE, "account").key.public,)
    settings = NodeFile(
        network=network,
        keys=KeysTable(voting=VOTING_KEY_FILE) if plan.votes else KeysTable(),
        peers=PeersTable(listen=plan.listen),
        api=ApiTable(listen=plan.api),
    )
    card = card_of(plan, node_key, voting, account)
    write_new(directory / NODE_FILE, to_toml(settings))
    write_new(directory / CARD_FILE, to_toml(card))
    if plan.votes:
        write_new(directory / FRESH_FILE, FRESH_WORDS)
    return card


def card_of(plan: NodePlan, node_key: bytes, voting: KeyFile | None, account_keys: tuple[bytes, ...]) -> CardFile:
    """The public card of a node; it holds public halves only."""
    return CardFile(
        card=CardTable(
            member=plan.member,
            account_keys=account_keys,
            threshold=plan.threshold,
            node_key=node_key,
            voting_key=None if voting is None else voting.key.public,
            power=1,
            address=plan.address,
        )
    )


def load_cards(files: Iterable[File]) -> list[Read[CardFile]]:
    """The cards in these files. Raises ConfigurationFault with the problems of all of them."""
    problems, cards = Problems(), []
    for file in files:
        try:
            cards.append(read(file, CardFile))
            problems.found += cards[-1].problems
        except ConfigurationFault as fault:
            problems.catch(fault)
    problems.settle()
    return cards


def assemble(
    cards: Sequence[CardTable], name: str, created_ms: int, parameters: Parameters = DEFAULT_PARAMETERS
) -> NetworkFile:
    """The network file of these cards. Raises OperatorFault with all that does not fit together."""
    table = GenesisTable(
        name=name,
        created=from_ms(created_ms),
        parameters=checked_parameters(parameters),
        rules=(RulesTable(height=1, version=NEWEST_RULES),),
        members=_members(cards),
        validators=tuple(
            ValidatorTable(member=c.member, node_key=c.node_key, voting_key=c.voting_key, power=c.power)
            for c in cards
            if c.voting_key is not None
        ),
        observers=tuple(ObserverTable(member=c.member, node_key=c.node_key) for c in cards if c.voting_key is None),
    )
    record = to_record(table)
    check_genesis(record)
    nodes = tuple(
        NodeAddress(node_key=c.node_key, address=c.address, note=c.member) for c in cards if c.address is not None
    )
    return NetworkFile(network_id=network_id(record), genesis=table, nodes=nodes)


def checked_parameters(parameters: Parameters) -> ParametersTable:
    """The parameters as a table. Raises ConfigurationFault with all that is out of bounds, or else does not fit."""
    source = Source(File("parameters"), {}, ParametersTable)
    try:
        table = ParametersTable(**asdict(parameters))
    except ValidationError as error:
        raise ConfigurationFault(translate(source, error)) from None
    faults = [
        source.problem(where[1:], "parameters that fit together", words)
        for where, words in parameter_faults(parameters)
    ]
    if faults:
        raise ConfigurationFault(faults)
    return table


def _members(cards: Sequence[CardTable]) -> tuple[MemberTable, ...]:
    """One member for all cards of its name, which must agree on its account."""
    members: dict[str, MemberTable] = {}
    for card in cards:
        member = MemberTable(name=card.member, keys=tuple(sorted(card.account_keys)), threshold=card.threshold)
        if members.setdefault(card.member, member) != member:
            expected = f"the same account keys and threshold on all cards of member {card.member}"
            raise ConfigurationFault([Problem("cards", 0, 0, "", expected, "different ones")])
    return tuple(members.values())


def join(directory: File, network_file: File) -> Node:
    """Complete the node in `directory` with its network: a copy of the network's file, and the journal; durable on
    return.

    Raises ConfigurationFault or OperatorFault; then the data directory was not made.
    """
    from daemon.store.directory import create

    network = load_network(network_file)
    check_card(network, read(directory / CARD_FILE, CardFile))
    _copy(network_file, directory / read(directory / NODE_FILE, NodeFile).value.network)
    node = load_node(directory / NODE_FILE)
    first = True
    if node.is_validator and not node.data_directory.exists():
        first = take_fresh(directory, network.network_id)
    create(node.data_directory, network.network_id, node.journal_id, forgotten=not first)
    return node


def take_fresh(directory: File, network: bytes) -> bool:
    """Turn the mark of a validator that never signed into that of one that joined, durable on return.

    False where there is no such mark: it may have signed before.
    """
    fresh, joined = directory / FRESH_FILE, directory / JOINED_FILE
    if fresh.exists() and not joined.exists():
        fresh.unlink()
        write_new(joined, f"The journal of this validator was made for {NETWORK_ID.format(network)}.\n")
        return True
    if not joined.exists():
        write_new(joined, f"This validator joined {NETWORK_ID.format(network)} again, without a memory.\n")
    return False


def check_card(network: Network, found: Read[CardFile]) -> None:
    """The network says about this node what its card says. Raises ConfigurationFault with every difference."""
    card, source, genesis = found.value.card, found.source, network.genesis
    problems = list(found.problems)
    where = f"as in {network.file}"
    newer = members_decide(genesis)  # then a node may be newer than genesis
    member = next((m for m in genesis.members if m.name == card.member), None)
    validator = next((v for v in genesis.validators if v.node_key == card.node_key), None)
    observer = next((o for o in genesis.observers if o.node_key == card.node_key), None)
    if member is None:
        if not newer:
            names = ", ".join(m.name for m in genesis.members)
            problems.append(source.problem(("card", "member"), f"one of {names}, {where}", card.member))
    elif (member.keys, member.threshold) != (tuple(sorted(card.account_keys)), card.threshold):
        expected = f"the account keys and threshold of member {member.name}, {where}"
        problems.append(source.problem(("card", "account_keys"), expected, "others: someone changed one of the files"))
    if card.voting_key is not None and validator is None and not newer:
        expected = f"the node key of one of the {len(genesis.validators)} validators, {where}"
        problems.append(source.problem(("card", "node_key"), expected, PUBLIC_KEY.format(card.node_key)))
    elif validator is not None and validator.voting_key != card.voting_key:
        expected = f"{PUBLIC_KEY.format(validator.voting_key)}, {where}"
        shown = "nothing" if card.voting_key is None else PUBLIC_KEY.format(card.voting_key)
        problems.append(source.problem(("card", "voting_key"), expected, shown))
    known = validator or observer
    if known is not None and known.member not in (None, card.member):
        expected = f"{known.member}, whose node this is {where}"
        problems.append(source.problem(("card", "member"), expected, card.member))
    if problems:
        raise ConfigurationFault(problems)


def create_network(
    directory: File,
    name: str,
    plans: Sequence[NodePlan],
    created_ms: int,
    parameters: Parameters = DEFAULT_PARAMETERS,
) -> tuple[Network, Mapping[str, Node]]:
    """Make a whole network on this machine: one directory a node, named by its member; all share one network file.

    Raises ConfigurationFault or OperatorFault; a directory that exists and is not empty is left alone.
    """
    checked_parameters(parameters)
    _new_directory(directory)
    cards = [create_node(directory / plan.member, plan, f"../{NETWORK_FILE}").card for plan in plans]
    network_file = directory / NETWORK_FILE
    write_new(network_file, to_toml(assemble(cards, name, created_ms, parameters)))
    return load_network(network_file), {plan.member: join(directory / plan.member, network_file) for plan in plans}


def faults_tolerated(genesis: Genesis) -> int:
    """Voting power that may fail or lie without harm: at most (P-1)//3 of the total P (consensus, model)."""
    return (sum(validator.power for validator in genesis.validators) - 1) // 3


def _new_directory(directory: File) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not any(directory.iterdir()):
            return
    except OSError as error:
        expected, found = "a place where a directory can be made", str(error.strerror).lower()
    else:
        expected, found = "a new or empty directory", "one that holds files; papilio overwrites none"
    raise ConfigurationFault([Problem(str(directory), 0, 0, "", expected, found)])


def _copy(network_file: File, target: File) -> None:
    """A copy byte for byte, unless it is there already."""
    text = read_text(network_file)
    if target.exists():
        if read_text(target) != text:
            expected = f"the same text as {network_file}, or no file"
            raise ConfigurationFault([Problem(str(target), 0, 0, "", expected, "another network file")])
        return
    write_new(target, text)
