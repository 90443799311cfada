"""Questions over several endpoints, envelopes made for a network, and what nodes may say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from daemon.client.asking import Asker
from daemon.client.conversation import Answer, Ask, Conversation, NoAnswer, Question, Reply
from daemon.client.core import Core
from daemon.client.endpoints import Endpoints, checked
from daemon.client.errors import NodeRefused, OutcomeUnknown, TransactionRefused, Unreachable, WrongNetwork
from daemon.client.following import Follower
from daemon.client.views import Stage, json_object
from protocol.errors import Retry
from tests.client.envelopes import NETWORK_ID, account, sealed
from tests.client.world import START_MS, Fate, Fault, World, problem

QUESTION = Question("GET", "/v1/node")
GOOD = Answer(200, b"{}")
CUT = NoAnswer("cut", may_have_arrived=True)


def ask(answers: Sequence[Answer | NoAnswer], endpoints: int = 1, patience_seconds: float = 30) -> tuple[object, World]:
    """What a question comes to, answered like this one after the other; then always with the last one."""
    world = World(endpoints)
    asker = Asker(Endpoints(world.urls, lambda: world.seconds, world.surroundings.random), world.surroundings, 10)
    conversation = asker.ask(QUESTION, lambda answer: json_object(answer.body), patience_seconds)
    script = list(answers)
    reply: Reply = None
    try:
        while True:
            step = conversation.send(reply)
            if isinstance(step, Ask):
                world.asked.append(step)
                reply = script.pop(0) if len(script) > 1 else script[0]
            else:
                world.wait(step)
                reply = None
    except StopIteration as done:
        return done.value, world
    except (NodeRefused, Unreachable) as fault:
        return fault, world


@pytest.mark.parametrize(
    "first",
    [CUT, problem(500, "internal_error"), problem(503, "stopping"), Answer(502, b"<html>"), Answer(200, b"not json")],
    ids=["cut", "500", "503", "page", "garbage"],
)
def test_what_fails_is_asked_elsewhere(first: Answer | NoAnswer) -> None:
    found, world = ask([first, GOOD], endpoints=2)
    assert found == {}
    assert [step.endpoint for step in world.asked] == world.urls
    assert not world.pauses


def test_the_endpoint_that_answered_is_preferred() -> None:
    world = World(3, [Fault.DOWN])
    core = Core(world.urls, world.surroundings, None)
    for _ in range(3):
        world.play(core.outcome(bytes(32), 0.0, 5.0))
    assert [step.endpoint for step in world.asked] == ["http://node0", *["http://node1"] * 3]


def test_what_a_question_says_wrong_is_said_once() -> None:
    found, world = ask([problem(400, "bad_request"), GOOD], endpoints=2)
    assert isinstance(found, NodeRefused)
    assert (found.code, found.status, found.retry) == ("bad_request", 400, Retry.CHANGED)
    assert len(world.asked) == 1


def test_what_is_not_yet_is_asked_again_soon() -> None:
    """A receipt that no final header covers yet: provable in a moment."""
    found, world = ask([problem(409, "not_covered", retry_after_seconds=1.0)] * 3 + [GOOD])
    assert found == {}
    assert min(world.pauses) >= 0.05
    assert max(world.pauses) <= 1.0


def test_the_last_refusal_is_told_when_the_time_is_over() -> None:
    found, world = ask([problem(429, "pool_full", retry_after_seconds=2.0)], patience_seconds=10)
    assert isinstance(found, NodeRefused)
    assert found.code == "pool_full"
    assert world.seconds <= 10
    assert len(world.asked) <= 6


def test_retry_after_is_bounded() -> None:
    found, world = ask([problem(503, "disk_full", retry_after_seconds=1e9), GOOD], patience_seconds=300)
    assert found == {}
    assert 60 <= sum(world.pauses) <= 65


def test_every_endpoint_that_failed_is_named() -> None:
    found, _ = ask([CUT], endpoints=3, patience_seconds=5)
    assert isinstance(found, Unreachable)
    assert len(found.attempts) == 3
    assert "http://node2: cut" in found.words


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8100", "ftp://host", "http://", "http://host/?a=1", "http://host/#a", "", "http://user:pw@host"]
)
def test_what_is_no_endpoint(url: str) -> None:
    with pytest.raises(ValueError, match="endpoint") as raised:
        checked(url)
    assert "pw" not in str(raised.value)


def test_endpoints_are_distinct_and_some() -> None:
    around = World().surroundings
    for urls in ([], ["http://a", "http://a/"]):
        with pytest.raises(ValueError, match="distinct"):
            Endpoints(urls, around.monotonic_seconds, around.random)


# -- Making envelopes for a network -------------------------------------------------------------------


@pytest.mark.parametrize("lead_ms", [None, -5_000, 0, 7_000])
def test_validity_counts_from_the_later_of_clock_and_ledger(lead_ms: int | None) -> None:
    """L-7: a client whose clock is behind would otherwise sign what is expired already."""
    world = World(1, block_time_ms=None if lead_ms is None else START_MS + lead_ms)
    core = Core(world.urls, world.surroundings, None)
    operation = {"app": "evidence", "name": "withdraw", "arguments": {"delegate": bytes(32).hex()}}
    made = world.play(core.prepare(account(), [operation], (), 60.0, 10.0))
    expected = START_MS + max(0, lead_ms or 0) + 60_000
    assert 0 <= made.valid_until_ms - expected <= 100  # the world's clock moves with each exchange
    longest = world.play(core.prepare(account(), [operation], (), 10**6, 10.0))
    assert longest.valid_until_ms - world.ledger.wall_ms - max(0, lead_ms or 0) <= 600_000
    assert made.id != longest.id


def test_another_network_is_refused() -> None:
    world = World()
    core = Core(world.urls, world.surroundings, bytes(32))
    with pytest.raises(WrongNetwork, match=NETWORK_ID.hex()):
        world.play(core.network(10.0))


OTHER_ID = bytes(reversed(NETWORK_ID))


def others(world: World, *numbers: int) -> None:
    """Nodes with these numbers are of another network."""
    for number in numbers:
        world.nodes[f"http://node{number}"].network_id = OTHER_ID


def paths(world: World, number: int) -> list[str]:
    """What a node was asked for."""
    return [ask.question.path for ask in world.asked if ask.endpoint == f"http://node{number}"]


def test_an_endpoint_of_another_network_is_left_out() -> None:
    """The right one is down at first: its answer is waited for, not the other's taken."""
    world = World(2, [Fault.DOWN])
    others(world, 1)
    core = Core(world.urls, world.surroundings, NETWORK_ID)
    for _ in range(3):
        assert world.play(core.outcome(bytes(32), 0.0, 10.0)).stage is Stage.NOT_SEEN
    assert paths(world, 1) == ["/v1/network"], "asked once"
    assert paths(world, 0) == ["/v1/network"] * 2 + [f"/v1/transactions/{bytes(32).hex()}"] * 3


def test_the_right_one_is_down_and_the_other_is_of_another_network() -> None:
    world = World(2, [Fault.DOWN, Fault.NONE] + [Fault.DOWN] * 1_000)
    others(world, 1)
    core = Core(world.urls, world.surroundings, NETWORK_ID)
    for _ in range(2):
        with pytest.raises(Unreachable, match=f"node1: the node is of network {OTHER_ID.hex()}"):
            world.play(core.outcome(bytes(32), 0.0, 2.0))
    assert paths(world, 1) == ["/v1/network"]


@pytest.mark.parametrize("what", ["read", "wait", "events", "send", "network"])
def test_only_endpoints_of_another_network(what: str) -> None:
    """Said at once, each time, and nothing goes there."""
    world = World(2)
    others(world, 0, 1)
    core = Core(world.urls, world.surroundings, NETWORK_ID)
    item = sealed(1, START_MS + 60_000)
    conversations: dict[str, Callable[[], Conversation[object]]] = {
        "read": lambda: core.get_json("/v1/node", (), 30.0),
        "wait": lambda: core.wait(item, 30.0),
        "events": lambda: core.open_events(Follower(41), 30.0),
        "send": lambda: core.send(item, None),
        "network": lambda: core.network(30.0),
    }
    for _ in range(2):
        with pytest.raises(WrongNetwork, match=OTHER_ID.hex()):
            world.play(conversations[what]())
    assert paths(world, 0) == paths(world, 1) == ["/v1/network"]
    assert world.seconds < 1


def test_a_network_that_was_found_is_the_only_one_from_then_on() -> None:
    world = World(2, [Fault.NONE, Fault.DOWN])
    others(world, 1)
    core = Core(world.urls, world.surroundings, None)
    assert world.play(core.network(10.0)).network_id == NETWORK_ID
    world.play(core.outcome(bytes(32), 0.0, 10.0))
    assert paths(world, 1) == ["/v1/network"]
    assert paths(world, 0).count("/v1/network") == 1


def test_where_no_network_is_known_none_is_asked_for() -> None:
    world = World(2, [Fault.DOWN])
    world.play(Core(world.urls, world.surroundings, None).outcome(bytes(32), 0.0, 10.0))
    assert "/v1/network" not in paths(world, 0) + paths(world, 1)


def test_another_network_does_not_hide_that_an_envelope_may_be_held() -> None:
    """node0 took it and is gone; node1 is of another network: that is no outcome."""
    world = World(2, [Fault.NONE, Fault.CUT_AFTER, Fault.NONE] + [Fault.DOWN] * 1_000, [Fate.WAITS] * 1_000)
    others(world, 1)
    core = Core(world.urls, world.surroundings, NETWORK_ID)
    with pytest.raises(OutcomeUnknown):
        world.play(core.send(sealed(1, START_MS + 60_000), 5.0))
    assert paths(world, 1) == ["/v1/network"]


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.CUT_AFTER, Fault.GARBAGE, Fault.PAGE])
def test_a_network_that_cannot_be_asked_for_leaves_the_envelope_here(fault: Fault) -> None:
    """Nothing was posted yet: the next node's refusal is the outcome."""
    world = World(2, [fault, Fault.NONE, Fault.REFUSES])
    core = Core(world.urls, world.surroundings, NETWORK_ID)
    with pytest.raises(TransactionRefused):
        world.play(core.send(sealed(1, START_MS + 60_000), None))
    assert paths(world, 0) == ["/v1/network"]
    assert paths(world, 1) == ["/v1/network", "/v1/envelopes"]


def test_a_receipt_of_another_transaction_is_no_answer() -> None:
    """A node that confuses things is not believed."""
    world = World(2)
    other = bytes(31) + b"\x01"
    world.ledger.take(other, START_MS + 1, Fate.FINAL)
    receipt = world.ledger.final.pop(other)
    world.ledger.final[bytes(32)] = receipt
    core = Core(world.urls, world.surroundings, None)
    with pytest.raises(Unreachable, match="another transaction"):
        world.play(core.outcome(bytes(32), 0.0, 2.0))
