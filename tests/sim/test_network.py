"""Links: order, loss, cuts, topologies."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from protocol.node.interface import Priority
from protocol.node.setup import NodeSetup
from protocol.sim.events import MS_US, Schedule, stream
from protocol.sim.host import Host
from protocol.sim.network import TOPOLOGIES, LinkModel, Network
from tests.sim.fakes import GENESIS

MODEL = LinkModel(tail_per_mille=0, reconnect_us=(1_000, 5_000), give_up_us=500_000)


@dataclass
class Ear:
    """What a host hears."""

    setup: NodeSetup
    up: bool = True
    heard: list[bytes] = field(default_factory=list)
    peers: dict[bytes, None] = field(default_factory=dict)
    downs: int = 0

    def peer_up(self, peer: bytes) -> None:
        self.peers[peer] = None

    def peer_down(self, peer: bytes) -> None:
        self.peers.pop(peer, None)
        self.downs += 1

    def receive(self, peer: bytes, data: bytes) -> None:
        assert peer in self.peers, "only from a connected peer"
        self.heard.append(data)


def network(model: LinkModel = MODEL, seed: int = 0, topology: str = "mesh") -> tuple[Schedule, Network, list[Ear]]:
    schedule = Schedule()
    made = Network(schedule, model, TOPOLOGIES[topology](4), stream(seed, "network"))
    ears = [Ear(NodeSetup(GENESIS, validator.node_key)) for validator in GENESIS.validators]
    made.attach(cast(list[Host], cast(Any, ears)))
    for index in range(4):
        made.host_up(index)
    schedule.run(10_000)
    return schedule, made, ears


def talk(made: Network, schedule: Schedule, count: int, priority: Priority = Priority.CONSENSUS) -> None:
    target = GENESIS.validators[1].node_key
    for index in range(count):
        made.send(0, (target,), priority, bytes([index]))
        schedule.run(schedule.now_us + 500)


def test_an_ordered_link_keeps_the_order_of_each_priority() -> None:
    schedule, made, ears = network()
    talk(made, schedule, 100)
    schedule.run(schedule.now_us + 100_000)
    assert ears[1].heard == [bytes([index]) for index in range(100)]


def test_a_loose_link_reorders_loses_and_doubles_but_never_block_sync() -> None:
    model = replace(MODEL, ordered=False, lose_per_mille=100, double_per_mille=100)
    schedule, made, ears = network(model)
    talk(made, schedule, 200)
    schedule.run(schedule.now_us + 100_000)
    heard = ears[1].heard
    assert heard != sorted(heard)
    assert len(set(heard)) < 200
    assert len(heard) > len(set(heard))
    assert made.counts["lost"]
    assert made.counts["doubled"]
    assert made.counts["overtaken"]
    ears[1].heard.clear()
    talk(made, schedule, 200, Priority.SYNC)
    schedule.run(schedule.now_us + 100_000)
    assert ears[1].heard == [bytes([index]) for index in range(200)]


def test_loss_on_an_ordered_link_breaks_the_connection_and_it_comes_back() -> None:
    schedule, made, ears = network(replace(MODEL, lose_per_mille=50))
    talk(made, schedule, 200)
    schedule.run(schedule.now_us + 300_000)
    heard = ears[1].heard
    assert heard == sorted(heard), "in order, with gaps"
    assert len(heard) < 200
    assert made.counts["broken"] == made.counts["lost"]
    assert GENESIS.validators[0].node_key in ears[1].peers, "connected again"


def test_a_short_cut_delays_and_a_long_one_breaks() -> None:
    schedule, made, ears = network()
    made.cut(0, 1)
    talk(made, schedule, 10)
    schedule.run(schedule.now_us + 100_000)
    assert ears[1].heard == []
    made.heal(0, 1)
    schedule.run(schedule.now_us + 100_000)
    assert ears[1].heard == [bytes([index]) for index in range(10)]
    assert "broken" not in made.counts
    made.cut(0, 1)
    talk(made, schedule, 10)
    schedule.run(schedule.now_us + 1_000_000)
    made.heal(0, 1)
    schedule.run(schedule.now_us + 100_000)
    assert len(ears[1].heard) == 10, "what was held is lost with the connection"
    assert made.counts["broken"] == 1
    assert ears[1].downs == 1


def test_a_cut_is_one_way_and_counted() -> None:
    schedule, made, ears = network()
    made.cut(0, 1)
    made.cut(0, 1)
    made.send(1, (GENESIS.validators[0].node_key,), Priority.CONSENSUS, b"back")
    talk(made, schedule, 1)
    schedule.run(schedule.now_us + 50_000)
    assert ears[0].heard == [b"back"]
    made.heal(0, 1)
    schedule.run(schedule.now_us + 50_000)
    assert ears[1].heard == [], "the other fault still lasts"
    made.heal(0, 1)
    schedule.run(schedule.now_us + 50_000)
    assert len(ears[1].heard) == 1
    with pytest.raises(AssertionError):
        made.heal(0, 1)


def test_a_host_that_goes_down_loses_its_connections() -> None:
    schedule, made, ears = network()
    talk(made, schedule, 1)
    ears[1].up = False
    made.host_down(1)
    schedule.run(schedule.now_us + 200 * MS_US)
    assert ears[1].heard == [], "what was on its way is lost"
    assert GENESIS.validators[1].node_key not in ears[0].peers
    ears[1].up = True
    made.host_up(1)
    schedule.run(schedule.now_us + 200 * MS_US)
    assert GENESIS.validators[1].node_key in ears[0].peers


@pytest.mark.parametrize(
    "name,count,links",
    [
        ("mesh", 4, 6),
        ("ring", 4, 4),
        ("ring", 2, 1),
        ("star", 5, 4),
        ("sites", 4, 3),
        ("sites", 7, 3 + 6 + 1),
        ("mesh", 1, 0),
    ],
)
def test_topologies(name: str, count: int, links: int) -> None:
    pairs = TOPOLOGIES[name](count)
    assert len(pairs) == links
    assert all(low < high < count for low, high in pairs)
    reached = {0}
    for _ in range(count):
        reached |= {b for a, b in pairs if a in reached} | {a for a, b in pairs if b in reached}
    assert reached == set(range(count)), "everyone can be reached"
