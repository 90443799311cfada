"""Actors really do what they are named for, and the rest of the network does not mind."""

from __future__ import annotations

from collections import Counter

from protocol.codec import decode
from protocol.consensus.statements import VoteKind
from protocol.sim.host import Host
from protocol.sim.run import make_world
from protocol.sim.world import World
from protocol.wire.messages import ProposalMessage
from tests.sim.named import SCENARIOS


def ran(name: str, seed: int) -> World:
    world = make_world(SCENARIOS[name], seed)
    world.run()
    assert world.bench.violation is None, world.bench.violation
    return world


def conflicts(world: World, signer: int) -> Counter[str]:
    """What this validator signed that C-7 or C-10 forbids together, by kind."""
    found: Counter[str] = Counter()
    facts = [fact for fact in world.bench.facts.established if fact.signer == signer]
    for kind in (VoteKind.NOTARIZE, VoteKind.FINALIZE):
        views = Counter(fact.view for fact in facts if fact.kind is kind)
        found[kind.name] = sum(count > 1 for count in views.values())
    nullified = {fact.view for fact in facts if fact.kind is VoteKind.NULLIFY}
    found["both"] = sum(fact.view in nullified for fact in facts if fact.kind is VoteKind.FINALIZE)
    return found


def test_an_equivocating_leader_signs_two_proposals_and_is_seen() -> None:
    """C-17: honest nodes note the evidence, though not each time: in a full mesh nobody gets both proposals at once."""
    seen = 0
    for seed in (1, 2, 3):
        world = ran("byzantine-leader", seed)
        assert conflicts(world, 3)["NOTARIZE"] > 0
        assert all(not +conflicts(world, signer) for signer in (0, 1, 2))
        seen += sum(host.counters.get("equivocation", 0) for host in world.bench.honest())
    assert seen > 0


def test_a_double_voter_signs_nullify_and_finalize() -> None:
    world = ran("double-voter", 3)
    assert conflicts(world, 3)["both"] > 2


def test_a_silent_leader_proposes_nothing() -> None:
    world = make_world(SCENARIOS["silent-leader"], 3)
    heard = world.bench.said
    proposals: Counter[int] = Counter()

    def said(host: Host, data: bytes) -> None:
        if data[:2] == bytes([0x95, 40]):
            proposals[host.index] += 1
        heard(host, data)

    world.bench.said = said  # type: ignore[method-assign]
    world.run()
    assert world.bench.violation is None
    assert proposals[3] == 0
    assert min(proposals[index] for index in (0, 1, 2)) > 5


def test_a_stale_leader_proposes_beside_and_nobody_votes_for_it() -> None:
    """C-6: the nullification between is missing, so it is asked for and not given."""
    world = make_world(SCENARIOS["stale-leader"], 3)
    heard = world.bench.said
    beside: list[bytes] = []

    def said(host: Host, data: bytes) -> None:
        if host.index == 3 and data[:2] == bytes([0x95, 40]):
            beside.append(decode(ProposalMessage, data).proposal.payload)
        heard(host, data)

    world.bench.said = said  # type: ignore[method-assign]
    world.run()
    assert world.bench.violation is None
    stale = [payload for payload in beside if payload not in world.bench.chain.heights]
    assert len(stale) > 2
