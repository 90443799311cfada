"""Single rules, each on one machine or one small part."""

from __future__ import annotations

from itertools import pairwise

import pytest

from protocol.consensus import inputs as given
from protocol.consensus import voting
from protocol.consensus.certificates import signers_of, verify_certificate, well_formed
from protocol.consensus.core import Own, Phase
from protocol.consensus.counting import CHECKS_OF_PEER_MAX
from protocol.consensus.machine import Machine
from protocol.consensus.pace import Activity, Tempo
from protocol.consensus.rotation import Rotation
from protocol.consensus.statements import Certificate, VoteKind
from protocol.consensus.validators import Validators
from protocol.consensus.votes import VoteKeeper
from protocol.errors import BrokenInvariant, Malformed
from tests.consensus.harness import TEMPO, World, good, instance, keys
from tests.consensus.test_table import certificate_of, machine_in, proposal_of, vote


@pytest.mark.parametrize("power, quorum, blocking", [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 3, 2), (7, 5, 3), (10, 7, 4)])
def test_quorum_and_blocking_power(power: int, quorum: int, blocking: int) -> None:
    """Model: networks of one, two and three members tolerate nothing; four tolerate one."""
    validators = Validators(tuple(key.public for key in keys(power)), (1,) * power)
    assert (validators.quorum, validators.blocking) == (quorum, blocking)
    assert validators.total - validators.blocking < quorum


def test_validators_are_distinct_and_ascending() -> None:
    first, second = keys(2)
    for wrong in ((second.public, first.public), (first.public, first.public)):
        with pytest.raises(Malformed):
            Validators(wrong, (1, 1))
    with pytest.raises(Malformed):
        Validators((first.public,), (0,))


@pytest.mark.parametrize("powers", [(1, 1, 1, 1), (1, 2, 3), (5, 1, 1), (1000, 1000, 3000), (2**40, 2**41)])
def test_everyone_leads_in_proportion_evenly_spread(powers: tuple[int, ...]) -> None:
    """C-2."""
    validators = Validators(tuple(key.public for key in keys(len(powers))), powers)
    rotation = Rotation(b"n" * 32, 1, validators)
    for index, power in enumerate(powers):
        share = rotation.turns.count(index) / rotation.length
        assert abs(share - power / sum(powers)) < 0.02
        places = [place for place, leader in enumerate(rotation.turns * 2) if leader == index]
        gaps = [later - earlier for earlier, later in pairwise(places)]
        assert max(gaps) <= 2 * rotation.length / rotation.turns.count(index)


def test_another_epoch_has_another_order_and_the_same_seed_the_same() -> None:
    """C-2: seeded by the epoch."""
    validators = Validators(tuple(key.public for key in keys(16)), (1,) * 16)
    orders = {Rotation(b"n" * 32, epoch, validators).turns for epoch in range(1, 5)}
    assert len(orders) == 4
    assert Rotation(b"n" * 32, 1, validators).turns == Rotation(b"n" * 32, 1, validators).turns


def test_back_off_grows_with_the_distance_to_the_final_view_and_stops_at_its_cap() -> None:
    """C-14."""
    tempo = Tempo(100, 1000, 150, 16)
    assert [tempo.scaled(100, view, 0) for view in (1, 2, 3, 4, 5)] == [100, 100, 150, 225, 337]
    assert tempo.scaled(100, 10_000, 0) == 1600
    assert tempo.scaled(100, 10_000, 9_999) == 100


def test_a_leader_without_a_sign_of_life_is_inactive() -> None:
    """C-13: nothing signed since its previous turn, and nothing new for 3Δ; not in the first rotation."""
    rotation = Rotation(b"n" * 32, 1, instance(4).validators)
    activity = Activity(4, 1, 0)
    view = 9
    leader = rotation.leader(view)
    assert not activity.inactive(rotation, view - 8, 10_000, 100), "without a previous turn everyone is active"
    assert not activity.inactive(rotation, view, 200, 100), "3Δ have not passed"
    assert activity.inactive(rotation, view, 300, 100)
    activity.signed(leader, 4, 250)
    assert activity.inactive(rotation, view, 10_000, 100), "that was before its previous turn, view 5"
    activity.signed(leader, 6, 10_000)
    assert not activity.inactive(rotation, view, 20_000, 100)
    activity.signed(leader, 6, 30_000)
    assert activity.risen_ms[leader] == 10_000, "old statements sent again do not count"


def test_permits_is_c7_and_c10() -> None:
    """Every pair of votes in one view, against the two rules."""
    proposal, other = proposal_of(1), proposal_of(1, name=b"o")
    kinds = ((VoteKind.NOTARIZE, proposal), (VoteKind.NULLIFY, None), (VoteKind.FINALIZE, proposal))
    allowed = {(VoteKind.NOTARIZE, VoteKind.NULLIFY), (VoteKind.NOTARIZE, VoteKind.FINALIZE)}
    for first, content in kinds:
        own = Own()
        cast = vote(first, 1, content, 0)
        setattr(own, {0: "notarized", 1: "nullified", 2: "finalized"}[first], cast)
        for second, _ in kinds:
            asked = None if second is VoteKind.NULLIFY else other
            assert voting.permits(own, second, asked) == ((first, second) in allowed)


def test_a_forbidden_signature_stops_the_node() -> None:
    """C-10 is guarded where the key is used, not only where it is decided."""
    machine = machine_in(Phase.NULLIFIED)
    with pytest.raises(BrokenInvariant, match="C-10"):
        voting._sign(machine.core, VoteKind.FINALIZE, 1, proposal_of(1))


def test_nothing_is_signed_at_or_below_the_vote_floor() -> None:
    """L-24."""
    machine = Machine(instance(4), TEMPO, keys(4)[0], 0)  # type: ignore[arg-type]
    machine.restore([], [], [], vote_floor=3)
    machine.start(0)
    assert machine.core.phase is Phase.FOLLOW
    for view in (1, 2, 3):
        effects = machine.step(given.CertificateReceived(certificate_of(VoteKind.NULLIFY, view, None), b"p"), 1)
        (check,) = [effect for effect in effects if isinstance(effect, given.Verify)]
        effects = machine.step(given.SignaturesVerified(check.job, (True,) * len(check.items)), 1)
        assert not [effect for effect in effects if isinstance(effect, given.SendVote)]
    assert machine.core.view == 4
    assert machine.core.phase is not Phase.FOLLOW


def test_a_notarization_is_finalized_also_unseen_but_not_after_a_nullify() -> None:
    """C-8, C-10."""
    for nullified in (False, True):
        machine = machine_in(Phase.NULLIFIED if nullified else Phase.WAIT)
        certificate = certificate_of(VoteKind.NOTARIZE, 1, proposal_of(1))
        (check,) = [
            e for e in machine.step(given.CertificateReceived(certificate, b"p"), 2) if isinstance(e, given.Verify)
        ]
        assert all(good(item) for item in check.items)
        effects = machine.step(given.SignaturesVerified(check.job, (True,) * 3), 2)
        kinds = [effect.vote.kind for effect in effects if isinstance(effect, given.SendVote)]
        assert (VoteKind.FINALIZE in kinds) == (not nullified)
        assert machine.core.view == 2


def test_an_equivocating_leader_is_not_finalized_and_is_evidence() -> None:
    """C-8, C-17."""
    machine = machine_in(Phase.VOTED)
    leader = machine.core.rotation.leader(1)
    second = proposal_of(1, name=b"second")
    effects = machine.step(
        given.ProposalReceived(second, vote(VoteKind.NOTARIZE, 1, second, leader).signature, b"peer%d" % leader), 2
    )
    (check,) = [effect for effect in effects if isinstance(effect, given.Verify)]
    effects = machine.step(given.SignaturesVerified(check.job, (True, True)), 2)
    (found,) = [effect for effect in effects if isinstance(effect, given.Evidence)]
    assert found.first.signer == found.second.signer == leader
    certificate = certificate_of(VoteKind.NOTARIZE, 1, proposal_of(1))
    (check,) = [e for e in machine.step(given.CertificateReceived(certificate, b"p"), 3) if isinstance(e, given.Verify)]
    effects = machine.step(given.SignaturesVerified(check.job, (True,) * 3), 3)
    assert not [e for e in effects if isinstance(e, given.SendVote) and e.vote.kind == VoteKind.FINALIZE]


def test_a_bad_vote_is_found_its_signer_charged_and_the_rest_kept() -> None:
    """C-19."""
    machine = machine_in(Phase.WAIT)
    me = machine.core.me
    others = [signer for signer in range(4) if signer != me]
    effects: list[given.Effect] = []
    for signer in others:
        cast = vote(VoteKind.NULLIFY, 1, None, signer)
        effects += machine.step(given.VoteReceived(cast, b"peer%d" % signer, False), 2)
    (check,) = [effect for effect in effects if isinstance(effect, given.Verify)]
    effects = machine.step(given.SignaturesVerified(check.job, (True, False, True)), 2)
    assert [effect.signer for effect in effects if isinstance(effect, given.Charge)] == [others[1]]
    assert machine.core.view == 1
    assert set(machine.core.keeper.views[1].slots[VoteKind.NULLIFY]) == {others[0], others[2]}
    effects = machine.step(given.VoteReceived(vote(VoteKind.NULLIFY, 1, None, others[1]), None, True), 2)
    assert machine.core.view == 2


def test_one_signer_twice_is_one_vote() -> None:
    """C-18: one slot for each kind, validator and view."""
    keeper = VoteKeeper(instance(4).validators)
    for _ in range(3):
        keeper.add(vote(VoteKind.NULLIFY, 1, None, 0), verified=True)
    keeper.add(vote(VoteKind.NULLIFY, 1, None, 1), verified=True)
    assert keeper.certificate(1, VoteKind.NULLIFY) is None


def test_votes_out_of_reach_take_no_memory() -> None:
    """C-18."""
    machine = machine_in(Phase.WAIT)
    for view in range(2, 500):
        cast = vote(VoteKind.NULLIFY, view, None, 3 if machine.core.me != 3 else 2)
        machine.step(given.VoteReceived(cast, None, False), 2)
    assert max(machine.core.keeper.views) <= 65


def test_a_statement_by_our_key_that_we_did_not_make_is_a_twin() -> None:
    """C-24."""
    machine = machine_in(Phase.WAIT)
    assert machine.core.me is not None
    cast = vote(VoteKind.NULLIFY, 1, None, machine.core.me)
    (effect,) = machine.step(given.VoteReceived(cast, b"peer0", True), 2)
    assert isinstance(effect, given.Twin)


def test_while_a_start_asks_what_is_final_counts_too() -> None:
    """C-24: an older copy that has caught up still lacks what it signed there; a whole journal does not."""
    signed = machine_in(Phase.VOTED).core
    assert signed.me is not None
    remembered = signed.has_signed(1).votes()[0]
    machine = Machine(instance(4), TEMPO, keys(4)[signed.me], 0)  # type: ignore[arg-type]
    machine.restore([remembered], [], [certificate_of(VoteKind.FINALIZE, 1, proposal_of(1))], 0)
    assert (machine.core.final_view, machine.core.own) == (1, {})
    assert machine.step(given.VoteReceived(remembered, None, True), 4) == []
    forgotten = vote(VoteKind.FINALIZE, 1, proposal_of(1), signed.me)
    assert machine.step(given.VoteReceived(forgotten, None, True), 5) == [given.Twin(forgotten)]
    machine.end_asking()
    assert machine.step(given.VoteReceived(forgotten, None, True), 6) == [], "it is final, and nothing comes of it"


def test_certificates_have_one_form() -> None:
    """Model: bitmap of exactly ceil(n/8) bytes, spare bits zero, as many signatures as bits, a quorum."""
    validators = instance(4).validators
    whole = certificate_of(VoteKind.NULLIFY, 1, None)
    assert signers_of(whole) == [0, 1, 2]
    assert well_formed(validators, whole, 1)
    signatures = whole.signatures
    wrong = (
        Certificate(1, 1, 1, None, bytes([0b0111, 0]), signatures),
        Certificate(1, 1, 1, None, bytes([0b10111]), (*signatures, signatures[0])),
        Certificate(1, 1, 1, None, bytes([0b0111]), signatures[:2]),
        Certificate(1, 1, 1, None, bytes([0b0011]), signatures[:2]),
        Certificate(1, 1, 1, proposal_of(1), bytes([0b0111]), signatures),
        Certificate(0, 1, 1, None, bytes([0b0111]), signatures),
        Certificate(0, 1, 2, proposal_of(1), bytes([0b0111]), signatures),
    )
    for certificate in wrong:
        assert not well_formed(validators, certificate, 1)
    assert not well_formed(validators, whole, 2)
    assert not verify_certificate(b"n" * 32, validators, whole, 1), "stand-in signatures are not Ed25519"


def leader_of_view_2() -> Machine:
    """A validator that leads view 2, with work."""
    probe = Machine(instance(4), TEMPO, None, 0)
    machine = Machine(instance(4), TEMPO, keys(4)[probe.core.rotation.leader(2)], 0)  # type: ignore[arg-type]
    machine.start(0)
    machine.step(given.WorkChanged(True), 0)
    return machine


def propose_and_notarize(machine: Machine, proposed_ms: int, notarized_ms: int) -> list[given.Effect]:
    """View 1's proposal is taken in hand, then its notarization; what the latter leads to."""
    proposal, leader = proposal_of(1), machine.core.rotation.leader(1)
    signature = vote(VoteKind.NOTARIZE, 1, proposal, leader).signature
    machine.step(given.ProposalReceived(proposal, signature, b"p"), proposed_ms)
    effects = machine.step(given.CertificateReceived(certificate_of(VoteKind.NOTARIZE, 1, proposal), b"p"), proposed_ms)
    (check,) = [effect for effect in effects if isinstance(effect, given.Verify)]
    return machine.step(given.SignaturesVerified(check.job, (True,) * 3), notarized_ms)


@pytest.mark.parametrize(
    ("round_ms", "execution_ms", "pace_ms"),
    [(1, 0, 12), (4, 6, 12), (10, 15, 30), (10, 16, 32), (16, 0, 48), (2, 24, 48), (40, 0, 50), (1, 900, 50)],
)
def test_a_leader_keeps_pace_with_rounds_and_execution(round_ms: int, execution_ms: int, pace_ms: int) -> None:
    """C-15: an eighth of a delta (100 ms) after the last proposal, three rounds, two executions; at most a half."""
    machine = leader_of_view_2()
    for took_ms in (900, execution_ms):  # the newest counts
        assert machine.step(given.PayloadExecuted(took_ms), 1) == []
    effects = propose_and_notarize(machine, 7, 7 + round_ms)
    assert machine.core.view == 2
    if round_ms >= pace_ms:
        assert [e for e in effects if isinstance(e, given.Build)]
        return
    assert not [e for e in effects if isinstance(e, given.Build)]
    assert machine.core.timers[given.Timer.IDLE] == 7 + pace_ms
    machine.step(given.WorkChanged(True), 7 + pace_ms - 1)
    assert machine.core.phase is Phase.WAIT, "work alone does not hasten it"
    effects = machine.step(given.TimerFired(given.Timer.IDLE), 7 + pace_ms)
    assert [e for e in effects if isinstance(e, given.Build)]


def test_after_a_pause_a_leader_waits_for_nothing() -> None:
    machine = leader_of_view_2()
    machine.step(given.WorkChanged(False), 1)
    propose_and_notarize(machine, 7, 20)
    assert machine.core.phase is Phase.WAIT
    assert [e for e in machine.step(given.WorkChanged(True), 500) if isinstance(e, given.Build)]


def test_where_work_vanishes_the_leader_is_waited_for_again() -> None:
    """C-15; but a view that its leader, or blocking power, gives up is not prolonged (C-11)."""
    for nullified in (False, True):
        machine = machine_in(Phase.WAIT)
        machine.step(given.WorkChanged(True), 1)
        normal = machine.core.timers[given.Timer.VIEW]
        leader = machine.core.rotation.leader(1)
        if nullified:
            machine.step(given.VoteReceived(vote(VoteKind.NULLIFY, 1, None, leader), b"peer%d" % leader, True), 5)
        machine.step(given.WorkChanged(False), 6)
        if nullified:
            assert machine.core.timers[given.Timer.VIEW] == 6
        else:
            assert machine.core.timers[given.Timer.VIEW] == TEMPO.view_ms + TEMPO.idle_interval_ms > normal


def test_idle_networks_wait_and_go_when_work_comes() -> None:
    """C-15."""
    world = World(4, seed=3)
    world.start()
    for index in range(4):
        world.step(index, given.WorkChanged(False))
    world.run(100)
    idle = [view for _, view in world.entered]
    world.run(900)
    assert len(world.entered) - len(idle) <= 8
    for index in range(4):
        world.step(index, given.WorkChanged(True))
    world.run(1100)
    assert min(world.final_views()) >= 2
    assert not any(member.machine.core.nullifications for member in world.members)


def test_a_proposal_that_comes_while_nothing_may_be_signed_is_taken_up_afterwards() -> None:
    """C-6, C-24: at a start of all, the leader may know its memory a moment before the others do."""
    machine = machine_in(Phase.WAIT)
    leader = machine.core.rotation.leader(1)
    machine.hold_back(True, 1)
    shown = vote(VoteKind.NOTARIZE, 1, proposal_of(1), leader)
    assert machine.step(given.ProposalReceived(proposal_of(1), shown.signature, b"peer"), 2) == []
    effects = machine.hold_back(False, 3)
    assert [type(effect) for effect in effects] == [given.Judge]
    assert (machine.core.phase, machine.core.proposal) == (Phase.JUDGE, proposal_of(1))
    assert machine.hold_back(True, 4) == []
    effects = machine.hold_back(False, 5)
    assert [type(effect) for effect in effects] == [given.Judge], "L-28: one in hand when a disk filled, too"


def test_a_certificate_that_is_held_is_looked_at_for_what_this_validator_does_not_remember() -> None:
    """C-24: the one that is held may have been made of others' votes."""
    machine = machine_in(Phase.WAIT)
    me = machine.core.me
    assert me is not None
    others = tuple(signer for signer in range(4) if signer != me)
    held = certificate_of(VoteKind.NULLIFY, 1, None, others)
    assert shown(machine, held)
    assert shown(machine, held) == [], "nothing new"
    named = certificate_of(VoteKind.NULLIFY, 1, None, tuple(sorted((me, *others[:2]))))
    twins = [effect for effect in shown(machine, named) if isinstance(effect, given.Twin)]
    assert [twin.vote.signer for twin in twins] == [me]
    machine.hold_back(True, 3)
    machine.end_asking()
    assert shown(machine, named) == [], "who has forgotten knows that already"


def test_one_peer_cannot_fill_the_checks_of_certificates() -> None:
    """L-31: each costs a quorum of signatures; another peer's is looked at all the same."""
    machine = machine_in(Phase.WAIT)
    made = [certificate_of(VoteKind.NULLIFY, view, None) for view in range(1, CHECKS_OF_PEER_MAX + 9)]
    checks = [effect for one in made for effect in machine.step(given.CertificateReceived(one, b"loud"), 1)]
    assert [type(effect) for effect in checks] == [given.Verify] * CHECKS_OF_PEER_MAX
    (check,) = machine.step(given.CertificateReceived(made[-1], b"quiet"), 1)
    assert isinstance(check, given.Verify)


def shown(machine: Machine, certificate: Certificate) -> list[given.Effect]:
    """A peer shows it; what it makes of it once the signatures are checked."""
    effects = machine.step(given.CertificateReceived(certificate, b"peer"), 1)
    checks = [effect for effect in effects if isinstance(effect, given.Verify)]
    for check in checks:
        effects = machine.step(given.SignaturesVerified(check.job, tuple(map(good, check.items))), 2)
    return effects
