"""What others can make a node hold, and what is nobody's fault (L-13, L-24, L-31)."""

from __future__ import annotations

import pytest

from protocol import limits
from protocol.codec import encode
from protocol.consensus.core import Own
from protocol.consensus.statements import Proposal, Vote, VoteKind
from protocol.errors import BAD_SIGNATURE, INTERNAL_ERROR, POOL_FULL
from protocol.node import envelopes
from protocol.node import interface as node_io
from protocol.node.interface import JournalKind
from protocol.pool import pace
from protocol.wire import messages as wire
from tests.ledger.world import key
from tests.node.driver import Driver, alone, one_of_four
from tests.node.test_node import envelope, submit


def test_relayed_envelopes_count_for_the_pool_while_they_are_checked() -> None:
    """L-31: an observer that sends faster than a worker checks fills a bound, not the memory."""
    driver = one_of_four()
    node, observer = driver.node, key(900).public
    node.step(node_io.PeerUp(observer), driver.now)
    message = encode(wire.EnvelopesRelayed((bytes(limits.ENVELOPE_BYTES_MAX),) * 3))
    asked = 0
    for _ in range(limits.POOL_BYTES_MAX // limits.ENVELOPE_BYTES_MAX):
        effects = node.step(node_io.Received(observer, message), driver.now)
        asked += sum(isinstance(effect, node_io.CheckEnvelopes) for effect in effects)
    assert asked == envelopes.ENVELOPE_JOBS_MAX, "one observer has its share of checks, and no more"
    assert node.body.counters["relays_passed_over"] > 0
    (last,) = [job for job, purpose in node.body.jobs.items() if purpose[0] == "envelopes"][-1:]
    verdicts = (node_io.Refusal(BAD_SIGNATURE, "no"),) * 3
    node.step(node_io.EnvelopesChecked(last, verdicts), driver.now)
    effects = node.step(node_io.Received(observer, message), driver.now)
    assert any(isinstance(effect, node_io.CheckEnvelopes) for effect in effects), "there is room again"


def test_observers_fill_half_of_the_pools_bytes_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-31: the rest is for this node's own clients."""
    driver = one_of_four()
    observer, made = key(900).public, [envelope(driver, number) for number in range(1, 9)]
    monkeypatch.setattr(limits, "POOL_BYTES_MAX", 4 * len(made[0]))
    driver.step(node_io.PeerUp(observer))
    for data in made:
        driver.step(node_io.Received(observer, encode(wire.EnvelopesRelayed((data,)))))
    assert len(driver.all(node_io.CheckEnvelopes)) == 2
    (result,) = submit(driver, made[7])
    assert isinstance(result, node_io.Admitted)


@pytest.mark.parametrize(("code", "charged"), [(INTERNAL_ERROR, 0), (BAD_SIGNATURE, 1)])
def test_a_batch_that_this_node_failed_to_check_is_dropped_and_nobody_is_charged(code: str, charged: int) -> None:
    """L-13: a batch is refused whole; its author answers for what is bad in it, and not for our worker's death."""
    author = one_of_four()
    author.step(node_io.Submit(1, (envelope(author, 1),)))
    author.run(10)
    (batch,) = [record.data for record in author.journal if record.kind == JournalKind.BATCH]
    driver = Driver(author.genesis, member=1)
    driver.start()
    node, peer = driver.node, key(200).public
    node.step(node_io.PeerUp(peer), driver.now)
    effects = node.step(node_io.Received(peer, batch), driver.now)
    (check,) = [effect for effect in effects if isinstance(effect, node_io.CheckBatch)]
    node.step(node_io.BatchChecked(check.job, node_io.Refusal(code, "so it is")), driver.now)
    assert not node.body.jobs
    assert not node.body.batches.held
    assert node.body.counters.get("peer_charged", 0) == charged
    effects = node.step(node_io.Received(peer, batch), driver.now)
    assert any(isinstance(effect, node_io.CheckBatch) for effect in effects), "it may be brought again"


def test_a_truncated_journal_keeps_an_own_proposal_whose_header_was_forgotten() -> None:
    """L-24: headers above the final ones are bounded; the vote in the journal stands without."""
    driver = alone()
    driver.hold_persists = True
    driver.step(node_io.Submit(1, (envelope(driver, 1),)))
    own: list[Own] = []
    while not own:
        driver.sync()
        driver.run(20)
        own = [one for one in driver.node.body.machine.core.own.values() if one.proposal is not None]
    proposal = own[-1].proposal
    assert isinstance(proposal, Proposal)
    assert JournalKind.PROPOSAL in {record.kind for record in driver.node.live_records()}
    del driver.node.body.chain.known[proposal.payload]
    kept = driver.node.live_records()
    votes = [record.data for record in kept if record.kind == JournalKind.VOTE]
    assert own[-1].notarized is not None
    assert encode(own[-1].notarized) in votes
    assert isinstance(own[-1].notarized, Vote)
    assert own[-1].notarized.kind == VoteKind.NOTARIZE


def test_what_would_take_too_long_is_refused_and_what_is_here_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """L-13: with what becomes final of late, what waits would take eight seconds; a busy client hears so at once."""
    monkeypatch.setattr(pace, "MUCH", 4)
    driver = one_of_four()
    (mine, other) = (envelope(driver, 1), envelope(driver, 2))
    assert all(isinstance(result, node_io.Admitted) for result in submit(driver, mine))
    pool, now_ms = driver.node.body.pool, driver.now.monotonic_ms
    pool.pace.counts.extend([(now_ms - 2_000, 0), (now_ms - 1_000, 1)])
    pool.sealed.update({bytes([number]) * 32: pool.waiting[next(iter(pool.waiting))] for number in range(4)})
    (refused,) = submit(driver, other)
    assert isinstance(refused, node_io.Refusal)
    assert (refused.code, "will take" in refused.words) == (POOL_FULL, True)
    assert driver.node.body.counters["envelopes_too_many"] == 1
    pool.pace.counts.append((now_ms - 10, 100))
    assert all(isinstance(result, node_io.Admitted) for result in submit(driver, other)), "it goes faster again"
