"""Making nodes and networks, on one machine and on several; C-24's first sentence; nothing is overwritten."""

from __future__ import annotations

import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.config.creation import (
    assemble,
    create_network,
    create_node,
    faults_tolerated,
    join,
    load_cards,
    take_fresh,
)
from daemon.config.keyfiles import write_new
from daemon.config.network import load_network
from daemon.config.node import load_node
from daemon.config.problems import ConfigurationFault
from daemon.config.texts import SECRET_KEY
from daemon.config.write import to_toml
from daemon.store.directory import StateAccess, open_directory
from protocol.errors import OperatorFault
from protocol.ledger.genesis import network_id
from protocol.limits import SIGNERS_MAX
from tests.config.made import CREATED_MS, MEMBERS, change, network, plans


def secrets_below(directory: Path) -> set[str]:
    found = set()
    for file in directory.rglob("*"):
        if file.is_file() and SECRET_KEY.prefix.encode() in file.read_bytes():
            found.add(file.read_text().split(SECRET_KEY.prefix + ":")[1][:64])
    return found


def cards_and_network(tmp_path: Path) -> Path:
    """Three machines, imitated by three folders, and the network file that their cards make."""
    for plan in plans():
        create_node(tmp_path / plan.member, plan)
    cards = [card.value.card for card in load_cards(tmp_path / member / "member.toml" for member in MEMBERS)]
    file = tmp_path / "network.toml"
    write_new(file, to_toml(assemble(cards, "test", CREATED_MS)))
    return file


def test_c24_the_journal_has_the_id_that_stands_with_the_key(tmp_path: Path) -> None:
    made = network(tmp_path / "net")
    ids = set()
    for member in MEMBERS:
        node = load_node(tmp_path / "net" / member / "node.toml")
        store = open_directory(node.data_directory, made.network_id, node.journal_id, state=StateAccess.NONE)
        assert store.health.remembers
        store.close()
        ids.add(node.journal_id)
    assert len(ids) == len(MEMBERS), "each its own"


def test_a_whole_network_is_ready(tmp_path: Path) -> None:
    made, nodes = create_network(tmp_path / "net", "test", plans(), CREATED_MS)
    assert made.network_id == network_id(made.genesis)
    assert [nodes[member].is_validator for member in MEMBERS] == [True, True, False]
    assert made.genesis.created_ms == CREATED_MS
    for member in MEMBERS:
        assert stat.S_IMODE((tmp_path / "net" / member / "keys").stat().st_mode) == 0o700


def test_several_machines(tmp_path: Path) -> None:
    file = cards_and_network(tmp_path)
    nodes = [join(tmp_path / member, file) for member in MEMBERS]
    assert len({node.network.network_id for node in nodes}) == 1
    assert (tmp_path / "bank" / "network.toml").read_bytes() == file.read_bytes()
    assert load_node(tmp_path / "bank" / "node.toml").network.genesis == nodes[1].network.genesis


def test_no_secret_leaves_its_machine(tmp_path: Path) -> None:
    file = cards_and_network(tmp_path)
    secrets = {member: secrets_below(tmp_path / member) for member in MEMBERS}
    assert [len(secrets[member]) for member in MEMBERS] == [3, 3, 2]
    travelled = file.read_text() + "".join((tmp_path / m / "member.toml").read_text() for m in MEMBERS)
    for member in MEMBERS:
        assert not [secret for secret in secrets[member] if secret in travelled]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    create_node(tmp_path / "node", plans()[0])
    before = (tmp_path / "node" / "keys" / "node.key").read_bytes()
    for attempt in (
        lambda: create_node(tmp_path / "node", plans()[0]),
        lambda: create_network(tmp_path / "node", "test", plans(), CREATED_MS),
    ):
        with pytest.raises(ConfigurationFault, match="overwrites none"):
            attempt()
    assert (tmp_path / "node" / "keys" / "node.key").read_bytes() == before


def test_a_node_joins_once(tmp_path: Path) -> None:
    file = cards_and_network(tmp_path)
    join(tmp_path / "bank", file)
    with pytest.raises(OperatorFault, match="is not empty"):
        join(tmp_path / "bank", file)


def test_an_interrupted_join_is_repeated(tmp_path: Path) -> None:
    file = cards_and_network(tmp_path)
    write_new(tmp_path / "bank" / "network.toml", file.read_text())
    assert join(tmp_path / "bank", file).member == "bank"


def test_a_validator_gets_one_journal(tmp_path: Path) -> None:
    """C-24: a second one never passes for a memory, whatever of the node was removed or copied before."""
    file = cards_and_network(tmp_path)
    bank = tmp_path / "bank"
    assert (bank / "fresh").exists()
    data = join(bank, file).data_directory
    assert remembers(data, bank)
    assert not (bank / "fresh").exists()
    for remove_mark in (False, True):
        shutil.rmtree(data)
        if remove_mark:
            (bank / "joined").unlink()
        join(bank, file)
        assert not remembers(data, bank)
        assert (bank / "joined").exists()


def test_keys_alone_make_no_memory(tmp_path: Path) -> None:
    """C-24: keys, settings and card from a safe, on a new machine."""
    file = cards_and_network(tmp_path)
    join(tmp_path / "bank", file)
    again = tmp_path / "again"
    shutil.copytree(tmp_path / "bank", again, ignore=shutil.ignore_patterns("data", "joined"))
    assert not remembers(join(again, file).data_directory, again)


def test_a_join_that_was_cut_short_makes_no_memory(tmp_path: Path) -> None:
    """C-24: the mark is taken before the journal is made, so there are never two."""
    file = cards_and_network(tmp_path)
    assert take_fresh(tmp_path / "bank", load_network(file).network_id)
    join(tmp_path / "bank", file)
    assert not remembers(tmp_path / "bank" / "data", tmp_path / "bank")


def remembers(data: Path, node: Path) -> bool:
    found = load_node(node / "node.toml")
    store = open_directory(data, found.network.network_id, found.journal_id, state=StateAccess.NONE)
    store.close()
    return store.health.remembers


def test_an_observer_may_begin_anew(tmp_path: Path) -> None:
    file = cards_and_network(tmp_path)
    plan = plans()[0]
    create_node(tmp_path / "watch", replace(plan, votes=False, account_keys=account_keys(tmp_path / "bank")))
    for _ in range(2):
        shutil.rmtree(join(tmp_path / "watch", file).data_directory)


def account_keys(directory: Path) -> tuple[bytes, ...]:
    (card,) = load_cards([directory / "member.toml"])
    return card.value.card.account_keys


def test_another_network_file_is_not_taken_for_this_one(tmp_path: Path) -> None:
    file = cards_and_network(tmp_path)
    write_new(tmp_path / "bank" / "network.toml", "# mine\n")
    with pytest.raises(ConfigurationFault, match="another network file"):
        join(tmp_path / "bank", file)


def test_a_network_that_does_not_know_this_node(tmp_path: Path) -> None:
    create_node(tmp_path / "bank", plans()[0])
    other = network(tmp_path / "other")
    with pytest.raises(ConfigurationFault) as caught:
        join(tmp_path / "bank", other.file)
    # A node key that genesis does not know may be a newcomer's, on whom the members decide (M-3).
    assert {problem.key for problem in caught.value.problems} == {"card.account_keys"}
    assert not (tmp_path / "bank" / "data").exists()
    assert not (tmp_path / "bank" / "network.toml").exists()


@pytest.mark.parametrize("what", ["voting_key", "account"])
def test_a_network_file_with_another_key_than_the_card(tmp_path: Path, what: str) -> None:
    """Whoever assembles the network puts in a key of their own: each joining node sees it."""
    for plan in plans():
        create_node(tmp_path / plan.member, plan)
    cards = [card.value.card for card in load_cards(tmp_path / member / "member.toml" for member in MEMBERS)]
    create_node(tmp_path / "thief", plans()[0])
    (stolen,) = (card.value.card for card in load_cards([tmp_path / "thief" / "member.toml"]))
    changed = {"voting_key": stolen.voting_key} if what == "voting_key" else {"account_keys": stolen.account_keys}
    cards[0] = cards[0].model_copy(update=changed)
    write_new(tmp_path / "network.toml", to_toml(assemble(cards, "test", CREATED_MS)))
    with pytest.raises(ConfigurationFault) as caught:
        join(tmp_path / "bank", tmp_path / "network.toml")
    assert [p.key for p in caught.value.problems] == [
        "card.voting_key" if what == "voting_key" else "card.account_keys"
    ]
    assert join(tmp_path / "customs", tmp_path / "network.toml").member == "customs"


def test_two_nodes_of_one_member_name_one_account(tmp_path: Path) -> None:
    for name in ("one", "two"):
        create_node(tmp_path / name, plans()[0])
    cards = [card.value.card for card in load_cards(tmp_path / name / "member.toml" for name in ("one", "two"))]
    with pytest.raises(ConfigurationFault, match="the same account keys and threshold on all cards of member bank"):
        assemble(cards, "test", CREATED_MS)
    cards[1] = cards[1].model_copy(update={"account_keys": cards[0].account_keys})
    made = assemble(cards, "test", CREATED_MS).genesis
    assert (len(made.members), len(made.validators)) == (1, 2)


def test_the_same_card_twice(tmp_path: Path) -> None:
    create_node(tmp_path / "one", plans()[0])
    card = load_cards([tmp_path / "one" / "member.toml"])[0].value.card
    with pytest.raises(OperatorFault, match="two nodes have the same node key"):
        assemble([card, card], "test", CREATED_MS)


def test_problems_of_all_cards_at_once(tmp_path: Path) -> None:
    for name in ("one", "two"):
        create_node(tmp_path / name, plans()[0])
    change(tmp_path / "one" / "member.toml", "power = 1", "power = 0")
    change(tmp_path / "two" / "member.toml", "threshold = 1", "treshold = 1")
    with pytest.raises(ConfigurationFault) as caught:
        load_cards(tmp_path / name / "member.toml" for name in ("one", "two"))
    assert {problem.key for problem in caught.value.problems} == {"card.power", "card.treshold", "card.threshold"}


def test_no_account_wants_more_signatures_than_a_transaction_can_have(tmp_path: Path) -> None:
    create_node(tmp_path / "one", plans()[0])
    change(tmp_path / "one" / "member.toml", "threshold = 1", f"threshold = {SIGNERS_MAX + 1}")
    with pytest.raises(ConfigurationFault) as caught:
        load_cards([tmp_path / "one" / "member.toml"])
    assert [problem.key for problem in caught.value.problems] == ["card.threshold"]


@pytest.mark.parametrize(("count", "tolerated"), [(1, 0), (2, 0), (3, 0), (4, 1), (6, 1), (7, 2)])
def test_what_a_network_tolerates(tmp_path: Path, count: int, tolerated: int) -> None:
    members = tuple(f"m{i}" for i in range(count))
    made, _ = create_network(tmp_path / "net", "test", plans(members, count), CREATED_MS)
    assert faults_tolerated(made.genesis) == tolerated
