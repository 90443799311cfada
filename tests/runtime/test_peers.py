"""Between the network and the node: who is let in as what, and what of it reaches the node (L-16, L-29)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from daemon.config.node import Node, load_node
from daemon.config.texts import PUBLIC_KEY
from daemon.net.interface import PeerConnected, PeerDisconnected
from daemon.net.opening import PeerRole
from daemon.observe.limited import Limited
from daemon.runtime.inbox import Inbox
from daemon.runtime.main import peers_of, setup_of
from daemon.runtime.peers import SYNC_MESSAGES, Admission, Receiver
from protocol.codec import encode
from protocol.consensus.statements import Vote, VoteKind
from protocol.node.interface import PeerDown, PeerUp, Priority, Received
from protocol.wire import messages as wire
from protocol.wire.memory import ChallengeMessage, RecollectionMessage
from tests.config.made import change, network
from tests.ledger.world import key, make_genesis
from tests.node.driver import one_of_four

STRANGER = key(950).public
VOTE = Vote(int(VoteKind.NULLIFY), 1, 1, None, 1, bytes(64))
KEEPALIVE = encode(wire.Keepalive(1, 0, 0, 0, b"\0", True))


class Room:
    """Finals that always have room."""

    async def room(self) -> None: ...


def receiver(inbox: Inbox) -> Receiver:
    return Receiver(inbox, cast("Any", Room()))


def connected(role: PeerRole) -> PeerConnected:
    return PeerConnected(STRANGER, role, 1, "127.0.0.1:1", True, 1)


def all_of(inbox: Inbox) -> list[object]:
    return list(iter(inbox.pop, None))


def test_each_is_let_in_as_what_he_is() -> None:
    genesis = make_genesis(2)
    judge = Admission(genesis, {key(700).public}, {STRANGER, key(200).public})
    assert judge(key(200).public) is PeerRole.VALIDATOR, "configured or not"
    assert judge(key(700).public) is PeerRole.OBSERVER
    assert judge(STRANGER) is PeerRole.SYNC_ONLY
    assert isinstance(judge(key(951).public), str)


def test_who_is_let_in_follows_the_state_and_who_was_removed_is_refused() -> None:
    """L-29: added keys are accepted; removed ones are not, also where the operator configured their address."""
    genesis = make_genesis(2)
    judge = Admission(genesis, {key(700).public}, {key(200).public, STRANGER})
    judge.take_part({key(201).public, key(960).public}, {key(952).public})
    assert judge(key(960).public) is PeerRole.VALIDATOR
    assert judge(key(952).public) is PeerRole.OBSERVER
    assert judge(key(200).public) == "the members have removed this node key"
    assert judge(key(700).public) is PeerRole.OBSERVER, "the operator's own word"
    assert judge(STRANGER) is PeerRole.SYNC_ONLY
    judge.take_part({key(200).public}, ())
    assert judge(key(200).public) is PeerRole.VALIDATOR
    assert isinstance(judge(key(952).public), str)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node whose operator gave a further node an address, and dials one other only."""
    network(tmp_path / "net")
    other = load_node(tmp_path / "net" / "customs" / "node.toml").node_key.public
    file = tmp_path / "net" / "bank" / "node.toml"
    change(file, "[peers]\n", f'[peers]\ndial = ["{PUBLIC_KEY.format(other)}"]\nconnections_max = 33\n')
    more = f'[[peers.addresses]]\nnode_key = "{PUBLIC_KEY.format(STRANGER)}"\naddress = "127.0.0.1:9"\n'
    file.write_text(file.read_text() + more)
    return load_node(file)


def test_who_has_an_address_is_let_in_also_when_not_dialed(node: Node) -> None:
    """L-29, and what node.toml says of `addresses`."""
    assert STRANGER not in node.dial
    assert peers_of(node, Limited()).policy(STRANGER) is PeerRole.SYNC_ONLY


def test_every_setting_of_the_network_and_the_workers_is_used(node: Node) -> None:
    peers = replace(node, settings=node.settings.model_copy(update={"workers": type(node.settings.workers)(verify=3)}))
    assert setup_of(peers).verify_workers == 3
    config = peers_of(node, Limited())._config
    assert config.connections_max == 33
    assert config.connections_per_address_max == node.settings.peers.connections_per_address_max
    assert [address.node_key for address in config.dial] == list(node.dial)


def test_every_message_is_about_sync_or_is_not() -> None:
    """A new kind of message has to be judged: so far these six are for validators and observers only."""
    left_out = set(wire.MESSAGES.values()) - SYNC_MESSAGES
    of_memory = {ChallengeMessage, RecollectionMessage}
    assert left_out == {Vote, wire.ProposalMessage, wire.Announcement, wire.EnvelopesRelayed} | of_memory


async def test_of_a_peer_for_sync_only_nothing_but_sync_reaches_the_node() -> None:
    inbox = Inbox()
    receives = receiver(inbox)
    receives.connected(connected(PeerRole.SYNC_ONLY))
    for data in (encode(VOTE), encode(wire.EnvelopesRelayed((b"x",))), b"garbage", KEEPALIVE):
        await receives.message(STRANGER, Priority.CONSENSUS, data)
    receives.disconnected(PeerDisconnected(STRANGER, 1, "stopping", "", by_peer=True))
    assert all_of(inbox) == [PeerUp(STRANGER), Received(STRANGER, KEEPALIVE), PeerDown(STRANGER)]
    assert receives.left_out == 3
    receives.connected(connected(PeerRole.OBSERVER))
    await receives.message(STRANGER, Priority.CONSENSUS, encode(VOTE))
    assert Received(STRANGER, encode(VOTE)) in all_of(inbox), "the role is that of the channel that stands"


def test_a_vote_by_way_of_one_who_is_no_validator_is_checked_before_it_counts() -> None:
    """L-14: only a validator's own channel speaks for it. A forged vote of another is charged to who brought it."""
    driver = one_of_four()
    driver.step(PeerUp(STRANGER))
    before = driver.node.body.machine.core.keeper.power_of(1, VoteKind.NULLIFY)
    driver.step(Received(STRANGER, encode(VOTE)))
    assert driver.node.body.machine.core.keeper.power_of(1, VoteKind.NULLIFY) == before
    (charge,) = driver.notes("peer_charged")
    assert charge.facts["peer"] == STRANGER
    assert driver.node.body.roster.signer_of.get(STRANGER) is None
