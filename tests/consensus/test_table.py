"""The transition table, cell by cell: (phase of the view, input) leads to its handler, or nothing changes.

Each phase is reached the way a node reaches it, by inputs; then every kind of input is tried on a copy.
"""

from __future__ import annotations

import copy
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, get_args

import pytest

from protocol.consensus import inputs as given
from protocol.consensus.core import Phase
from protocol.consensus.machine import ALWAYS, TRANSITIONS, Machine
from protocol.consensus.statements import CONTEXTS, Certificate, Proposal, Vote, VoteKind, statement_bytes
from tests.consensus.harness import TEMPO, instance, keys

INPUTS: tuple[type[Any], ...] = get_args(given.Input)


def snapshot(value: Any) -> Any:
    """Everything that a state holds, as plain comparable data."""
    if isinstance(value, Enum) or value is None or isinstance(value, int | str | bytes | bool):
        return value
    if isinstance(value, dict):
        return {snapshot_key(key): snapshot(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    if isinstance(value, list | tuple):
        return [snapshot(item) for item in value]
    if is_dataclass(value):
        return {field.name: snapshot(getattr(value, field.name)) for field in fields(value)}
    return {name: snapshot(item) for name, item in vars(value).items()}


def snapshot_key(key: Any) -> str:
    return repr(key)


def vote(kind: VoteKind, view: int, proposal: Proposal | None, signer: int) -> Vote:
    core = instance(4)
    payload = statement_bytes(kind, 1, view, proposal)
    return Vote(kind, 1, view, proposal, signer, keys(4)[signer].sign(CONTEXTS[kind], core.network_id, payload))


def proposal_of(view: int, parent: int = 0, name: bytes = b"p") -> Proposal:
    return Proposal(1, view, parent, name.ljust(32, b"."))


def certificate_of(
    kind: VoteKind, view: int, proposal: Proposal | None, signers: tuple[int, ...] = (0, 1, 2)
) -> Certificate:
    votes = [vote(kind, view, proposal, signer) for signer in signers]
    bitmap = sum(1 << signer for signer in signers)
    return Certificate(kind, 1, view, proposal, bytes([bitmap]), tuple(v.signature for v in votes))


def machine_in(phase: Phase) -> Machine:
    """A machine driven to `phase` by inputs alone."""
    probe = Machine(instance(4), TEMPO, None, 0)
    leader = probe.core.rotation.leader(1)
    me = leader if phase is Phase.BUILD else (leader + 1) % 4
    machine = Machine(instance(4), TEMPO, None if phase is Phase.FOLLOW else keys(4)[me], 0)  # type: ignore[arg-type]
    machine.start(0)
    for other in range(4):
        if other != me:
            machine.step(given.PeerJoined(b"peer%d" % other, other), 0)
    proposal = proposal_of(1)
    signature = vote(VoteKind.NOTARIZE, 1, proposal, leader).signature
    if phase is Phase.BUILD:
        machine.step(given.WorkChanged(True), 1)
    if phase in (Phase.JUDGE, Phase.VOTED):
        machine.step(given.ProposalReceived(proposal, signature, b"peer%d" % leader), 1)
    if phase is Phase.VOTED:
        machine.step(given.PayloadJudged(proposal, given.Verdict.VALID), 1)
    if phase is Phase.NULLIFIED:
        machine.step(given.TimerFired(given.Timer.VIEW), 1)
    assert machine.core.phase is phase
    return machine


def samples(machine: Machine) -> dict[type[Any], Any]:
    """One input of each kind that means something in view 1."""
    leader = machine.core.rotation.leader(1)
    other = (leader + 2) % 4
    proposal = proposal_of(1, name=b"q")
    return {
        given.ProposalReceived: given.ProposalReceived(
            proposal, vote(VoteKind.NOTARIZE, 1, proposal, leader).signature, b"peer%d" % leader
        ),
        given.VoteReceived: given.VoteReceived(vote(VoteKind.NULLIFY, 1, None, other), b"peer%d" % other, True),
        given.VoteDurable: given.VoteDurable(vote(VoteKind.NULLIFY, 1, None, other)),
        given.CertificateReceived: given.CertificateReceived(certificate_of(VoteKind.NULLIFY, 1, None), b"peer0"),
        given.RequestReceived: given.RequestReceived((1,), b"peer0"),
        given.SignaturesVerified: given.SignaturesVerified(99, (True,)),
        given.PayloadOffered: given.PayloadOffered(1, 0, b"r" * 32),
        given.PayloadJudged: given.PayloadJudged(machine.core.proposal or proposal, given.Verdict.VALID),
        given.TimerFired: given.TimerFired(given.Timer.VIEW),
        given.WorkChanged: given.WorkChanged(True),
        given.PayloadExecuted: given.PayloadExecuted(20),
        given.PeerJoined: given.PeerJoined(b"peer9", None),
        given.PeerLeft: given.PeerLeft(b"peer1"),
        given.PeerShown: given.PeerShown(b"peer1", 3, 0),
    }


def test_the_table_is_the_dispatcher() -> None:
    """Every cell is either in the table or refused; the table has no key outside of the two axes."""
    assert set(INPUTS) == set(samples(machine_in(Phase.WAIT)))
    assert {phase for phase, _ in TRANSITIONS} == set(Phase)
    assert {kind for _, kind in TRANSITIONS} <= set(INPUTS)
    assert len(TRANSITIONS) == len(ALWAYS) * len(Phase) + 2


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("kind", INPUTS)
def test_every_cell(phase: Phase, kind: type[Any]) -> None:
    """A listed cell does what its handler does; an unlisted one says nothing and changes nothing."""
    machine = machine_in(phase)
    sample = samples(machine)[kind]
    before = snapshot(machine.core)
    twin = copy.deepcopy(machine)
    effects = machine.step(sample, 2)
    handler = TRANSITIONS.get((phase, kind))
    if handler is None:
        assert effects == []
        assert snapshot(machine.core) == before
    else:
        expected = handler(twin, sample, 2)
        assert effects[: len(expected)] == expected


@pytest.mark.parametrize("phase", list(Phase))
def test_a_step_never_counts_its_own_vote_before_it_is_durable(phase: Phase) -> None:
    """C-10: no own vote is in the keeper before VoteDurable brings it."""
    machine = machine_in(phase)
    for sample in samples(machine).values():
        branch = copy.deepcopy(machine)
        effects = branch.step(sample, 2)
        signed = [effect.vote for effect in effects if isinstance(effect, given.PersistVote | given.PersistProposal)]
        for own in signed:
            slots = branch.core.keeper.views.get(own.view)
            assert slots is None or own.signer not in slots.slots[own.kind]


@pytest.mark.parametrize("phase", list(Phase))
def test_durable_before_sent(phase: Phase) -> None:
    """C-5, C-10: in every list a Send of an own statement stands behind its Persist."""
    machine = machine_in(phase)
    sent = 0
    for sample in samples(machine).values():
        branch = copy.deepcopy(machine)
        before = [own for votes in branch.core.own.values() for own in votes.votes()]
        effects = branch.step(sample, 2)
        durable = list(before)
        for effect in effects:
            if isinstance(effect, given.PersistVote | given.PersistProposal):
                durable.append(effect.vote)
            if isinstance(effect, given.SendVote):
                sent += 1
                assert effect.vote in durable
            if isinstance(effect, given.SendProposal):
                sent += 1
                assert effect.signature in [own.signature for own in durable]
    assert sent or phase is Phase.FOLLOW
