"""`papilio network`: a new network, whole on this machine, or its file from the cards of members on theirs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import click

from daemon.cli.output import emit, json_option, say, table
from daemon.cli.parameters import MembersType, NamedAddressType, NameType, ParameterType
from daemon.config.creation import (
    NETWORK_FILE,
    NodePlan,
    assemble,
    create_network,
    faults_tolerated,
    load_cards,
)
from daemon.config.keyfiles import write_new
from daemon.config.network import Network, load_network
from daemon.config.texts import NETWORK_ID, PUBLIC_KEY, Address
from daemon.config.write import to_toml
from protocol.ledger.genesis import DEFAULT_PARAMETERS, Genesis, Parameters

PEER_PORT = 7100
API_PORT = 8100
_PARAMETERS = tuple(field.name for field in fields(Parameters))


@click.group()
def network() -> None:
    """Create a network, on this machine or from members' cards.

    \b
    Example, all on this machine:
        papilio network create demo --name demo --members bank,port,customs,insurer
    Example, each member on its own machine:
        papilio node create node --member bank --address bank.example:7100     (on each)
        papilio network create net --name trade --from-cards bank.toml port.toml customs.toml
        papilio node join node network.toml                                    (on each)
    """


@network.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("cards", nargs=-1, type=click.Path(path_type=Path))
@click.option("--name", required=True, type=NameType(), help="The network's name.")
@click.option("--members", type=MembersType(), help="Members, each with a node on this machine: bank,port,customs.")
@click.option("--validators", type=click.IntRange(1), help="How many of them vote, the first ones; by default all.")
@click.option(
    "--host-of",
    "hosts",
    multiple=True,
    type=NamedAddressType(),
    help="Where a member's node listens for others; by default 127.0.0.1, ports from 7100 on.",
)
@click.option(
    "--api-of",
    "apis",
    multiple=True,
    type=NamedAddressType(),
    help="Where a member's node serves its API; by default 127.0.0.1, ports from 8100 on.",
)
@click.option("--from-cards", is_flag=True, help="Make the network file of these CARDS instead; DIRECTORY gets it.")
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    type=ParameterType(_PARAMETERS),
    help="A value of [genesis.parameters] other than the default; see 'papilio config sample network'.",
)
@json_option
def create(
    directory: Path,
    cards: tuple[Path, ...],
    name: str,
    members: tuple[str, ...] | None,
    validators: int | None,
    hosts: tuple[tuple[str, Address], ...],
    apis: tuple[tuple[str, Address], ...],
    from_cards: bool,
    parameters: tuple[tuple[str, int], ...],
) -> None:
    """Create a network in DIRECTORY, which must be new or empty.

    With --members: a ready network, one directory a member with settings, keys and journal, to run on this machine.
    With --from-cards: only network.toml, from the public cards that 'papilio node create' wrote on the members'
    machines; each then joins with 'papilio node join'. No secret leaves its machine.

    \b
    Example:
        papilio network create demo --name demo --members bank,port,customs,insurer
        papilio network create net --name trade --from-cards bank.toml port.toml
    """
    chosen = replace(DEFAULT_PARAMETERS, **dict(parameters))
    created_ms = time.time_ns() // 1_000_000
    if from_cards:
        _refuse_with_cards(cards, members=members, validators=validators, hosts=hosts, apis=apis)
        made = _from_cards(directory, cards, name, created_ms, chosen)
        report(made)
        say("Send this network.toml to every member. Each: papilio node join THEIR_NODE_DIRECTORY network.toml")
        return
    if cards:
        raise click.UsageError("cards are taken with --from-cards")
    if not members:
        raise click.UsageError("name the members with --members bank,port,..., or give their cards with --from-cards")
    plans = _plans(members, validators or len(members), dict(hosts), dict(apis))
    made, _ = create_network(directory, name, plans, created_ms, chosen)
    report(made, plans)
    first = directory / members[0] / "node.toml"
    say(f"Start each node, as in: papilio run {first}")


@network.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def show(file: Path) -> None:
    """Show what the network in FILE is: its id, members, validators, and what it tolerates.

    \b
    Example:
        papilio network show demo/network.toml
    """
    report(load_network(file))


def _refuse_with_cards(cards: tuple[Path, ...], **others: object) -> None:
    given = [
        f"--{name.removesuffix('s')}-of" if name in ("hosts", "apis") else f"--{name}"
        for name in others
        if others[name]
    ]
    if given:
        raise click.UsageError(f"{', '.join(given)} cannot be used with --from-cards: the cards say it")
    if not cards:
        raise click.UsageError(
            "--from-cards wants the members' cards: papilio network create DIR --name N --from-cards A B"
        )


def _from_cards(directory: Path, cards: Sequence[Path], name: str, created_ms: int, parameters: Parameters) -> Network:
    file = assemble([card.value.card for card in load_cards(cards)], name, created_ms, parameters)
    directory.mkdir(parents=True, exist_ok=True)
    write_new(directory / NETWORK_FILE, to_toml(file))
    return load_network(directory / NETWORK_FILE)


def _plans(
    members: Sequence[str], validators: int, hosts: Mapping[str, Address], apis: Mapping[str, Address]
) -> list[NodePlan]:
    for option, given in (("--host-of", hosts), ("--api-of", apis)):
        unknown = [name for name in given if name not in members]
        if unknown:
            raise click.UsageError(f"{option} names {', '.join(unknown)}; the members are {', '.join(members)}")
    if validators > len(members):
        raise click.UsageError(f"--validators {validators} is more than the {len(members)} members")
    plans = []
    for index, member in enumerate(members):
        listen = hosts.get(member, Address("127.0.0.1", PEER_PORT + index))
        api = apis.get(member, Address("127.0.0.1", API_PORT + index))
        plans.append(NodePlan(member, listen, api, listen, votes=index < validators))
    used = [address for plan in plans for address in (plan.listen, plan.api)]
    twice = {str(address) for address in used if used.count(address) > 1}
    if twice:
        raise click.UsageError(f"two things would listen at {', '.join(sorted(twice))}")
    return plans


def report(made: Network, plans: Sequence[NodePlan] = ()) -> None:
    """Print what a network is; of nodes that were just made, also where their APIs will be."""
    genesis = made.genesis
    nodes = _nodes(made, {plan.member: str(plan.api) for plan in plans})
    facts = {
        "name": genesis.name,
        "network_id": NETWORK_ID.format(made.network_id),
        "file": str(made.file),
        "power": sum(v.power for v in genesis.validators),
        "power_tolerated": faults_tolerated(genesis),
        "nodes": nodes,
    }

    def lines() -> None:
        print(f"network    {genesis.name}")
        print(f"id         {facts['network_id']}")
        print(f"file       {made.file}")
        print(f"tolerates  {tolerance(genesis)}")
        print()
        columns = ("member", "role", "power", "address", *(("api",) if plans else ()))
        table(columns, [[str(node.get(column) or "-") for column in columns] for node in nodes])

    emit(facts, lines)


def _nodes(made: Network, apis: Mapping[str, str]) -> list[dict[str, object]]:
    """The nodes of genesis by member, validators first."""
    genesis = made.genesis
    found = [(v.member, 0, "validator", v.power, v.node_key) for v in genesis.validators]
    found += [(o.member or "", 1, "observer", 0, o.node_key) for o in genesis.observers]
    nodes = []
    for member, _, role, power, node_key in sorted(found):
        address = made.addresses.get(node_key)
        node = {"member": member, "role": role, "power": power, "node_key": PUBLIC_KEY.format(node_key)}
        node |= {"address": None if address is None else str(address), "api": apis.get(member)}
        nodes.append(node)
    return nodes


def tolerance(genesis: Genesis) -> str:
    """What the network goes on with, in words."""
    count, power = len(genesis.validators), sum(v.power for v in genesis.validators)
    tolerated = faults_tolerated(genesis)
    if tolerated == 0:
        return (
            f"no failure: all {count} validators have to run and be honest"
            if count > 1
            else "no failure: there is one validator"
        )
    if power == count:
        return f"{tolerated} of {count} validators, stopped or dishonest"
    return f"power {tolerated} of {power}, stopped or dishonest"
