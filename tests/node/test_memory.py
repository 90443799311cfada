"""What a validator without its memory believes, and what a peer sees of two processes with one key (C-24)."""

from __future__ import annotations

import pytest

from protocol.codec import encode
from protocol.consensus import memory as recall
from protocol.consensus.validators import Validators
from protocol.crypto.contexts import Context
from protocol.ledger.genesis import network_id
from protocol.node import interface as node_io
from protocol.node.interface import JournalKind, JournalRecord
from protocol.node.lives import ALIVE_RETRIES, LIVES_MAX, RIVAL_RETRIES, Lives
from protocol.node.memory import START_DELTAS
from protocol.node.node import Node
from protocol.node.records import VoteFloor
from protocol.node.setup import NodeSetup, Recovered
from protocol.wire.memory import LIFE_BYTES, Challenge, ChallengeMessage, Recollection, RecollectionMessage
from tests.ledger.world import key
from tests.node.driver import Driver, one_of_four

RETRY = 100
FIRST, SECOND = b"1" * LIFE_BYTES, b"2" * LIFE_BYTES
VALIDATORS = Validators(tuple(bytes([n]) * 32 for n in range(1, 5)), (1, 1, 1, 1))


def test_a_floor_needs_a_quorum_of_answers_and_lies_above_the_highest() -> None:
    """C-24: none its own; one above the highest proven view."""
    assert recall.vote_floor({1: 5, 2: 9}, VALIDATORS, 0) is None
    assert recall.vote_floor({1: 5, 2: 9, 3: 7}, VALIDATORS, 0) == 10
    with pytest.raises(AssertionError, match="none its own"):
        recall.vote_floor({0: 5, 2: 9, 3: 7}, VALIDATORS, 0)


def test_where_the_others_are_fewer_than_a_quorum_all_of_them_are_enough_at_a_start() -> None:
    assert recall.may_be_all(VALIDATORS, 0) == 3
    three = Validators(VALIDATORS.keys[:3], (1, 1, 1))
    assert recall.may_be_all(three, 0) == 2
    assert recall.vote_floor({1: 5, 2: 9}, three, 0) is None, "but an amnesiac among three never comes back by itself"


# -- Lives ------------------------------------------------------------------------------------------


def test_a_process_that_was_started_again_has_no_twin() -> None:
    lives = Lives(RETRY)
    lives.said(FIRST, 0)
    lives.gone(FIRST, 7, 50, 60, replaced=False)
    lives.said(SECOND, 100)
    assert lives.standing(SECOND, 100) == 0
    assert lives.view_of_others(SECOND) == 7
    assert lives.view_of_others(FIRST) == 0


def test_a_channel_that_was_alive_and_gave_way_makes_the_key_suspect_for_a_while() -> None:
    lives = Lives(RETRY)
    lives.said(FIRST, 0)
    lives.gone(FIRST, 1, 900, 1_000, replaced=True)
    lives.said(SECOND, 1_000)
    assert lives.standing(SECOND, 1_000 + RIVAL_RETRIES * RETRY) == 1
    assert lives.standing(SECOND, 1_001 + RIVAL_RETRIES * RETRY) == 0


def test_a_channel_that_was_silent_for_long_gives_way_without_suspicion() -> None:
    """A machine that lost power said no goodbye, and is back."""
    lives = Lives(RETRY)
    lives.said(FIRST, 0)
    lives.gone(FIRST, 1, 0, ALIVE_RETRIES * RETRY + 1, replaced=True)
    lives.said(SECOND, 500)
    assert lives.standing(SECOND, 500) == 0


def test_an_older_process_that_is_heard_again_makes_the_newer_one_a_twin() -> None:
    """The first one is not told, and goes on."""
    lives = Lives(RETRY)
    lives.said(FIRST, 0)
    lives.said(SECOND, 100)
    lives.said(FIRST, 200)
    assert lives.standing(SECOND, 10_000) == 2
    assert lives.standing(FIRST, 10_000) == 0


def test_lives_are_bounded() -> None:
    lives = Lives(RETRY)
    for count in range(50):
        lives.said(count.to_bytes(LIFE_BYTES, "big"), count)
        lives.gone(count.to_bytes(LIFE_BYTES, "big"), count, count, count, replaced=False)
    assert len(lives.heard_ms) == LIVES_MAX
    assert len(lives.views) <= LIVES_MAX


# -- A node -----------------------------------------------------------------------------------------


def asking(journal: tuple[JournalRecord, ...] = (), *, amnesiac: bool = False) -> Driver:
    """A node of four that asks, as a daemon's does."""
    driver = one_of_four()
    recovered = Recovered(journal, (), tuple(driver.results), amnesiac=amnesiac)
    driver.node = Node(NodeSetup(driver.genesis, key(200).public, key(300), life=FIRST), recovered)
    driver.lists.clear()
    driver.journal.clear()
    driver.waiting = driver.durable = 0
    driver.start()
    return driver


def up(driver: Driver) -> None:
    """Channels to the three others."""
    for other in (1, 2, 3):
        driver.step(node_io.PeerUp(key(200 + other).public))


def signer(driver: Driver, member: int) -> int:
    keys = [validator.voting_key for validator in driver.genesis.validators]
    return keys.index(key(300 + member).public)


def answer(
    driver: Driver, member: int, *, life: bytes = FIRST, counts: bool = True, shown: int = 0, standing: int = 0
) -> None:
    """What another validator answers in view 1."""
    mine, its = signer(driver, 0), signer(driver, member)
    found = Recollection(life, 1, mine, 1, 1, b"", counts, shown, standing, (), its)
    signature = key(300 + member).sign(Context.RESTORE, network_id(driver.genesis), encode(found))
    driver.step(node_io.Received(key(200 + member).public, encode(RecollectionMessage(found, signature))))


def memory_of(driver: Driver) -> str:
    return driver.node.status().memory


def test_a_start_asks_on_every_channel_and_signs_nothing_meanwhile() -> None:
    driver = asking()
    up(driver)
    sent = [effect.data for effect in driver.all(node_io.Send)]
    challenge = Challenge(FIRST, 1, 1, 0, True, signer(driver, 0))
    signature = key(300).sign(Context.RESTORE, network_id(driver.genesis), encode(challenge))
    assert sent.count(encode(ChallengeMessage(challenge, signature))) >= 3
    driver.run(60_000)
    assert driver.journal == [], "nobody answered: its vote would complete nothing"
    assert memory_of(driver) == "asking"
    assert len(driver.node.status().memory_missing) == 3


def test_a_quorum_of_answers_ends_it() -> None:
    driver = asking()
    up(driver)
    answer(driver, 1)
    answer(driver, 2)
    assert memory_of(driver) == "asking"
    answer(driver, 3)
    assert memory_of(driver) == "known"
    assert driver.node.status().voting


def test_after_3_delta_power_that_makes_a_quorum_with_its_own_is_enough_if_it_answered_in_any_way() -> None:
    """C-24: all were restarted at once, and nobody's answer counts yet."""
    driver = asking()
    up(driver)
    answer(driver, 1, counts=False)
    driver.run(START_DELTAS * driver.genesis.parameters.delta_ms + 1_000)
    assert memory_of(driver) == "asking", "one other and itself are no quorum"
    answer(driver, 2, counts=False)
    driver.run(1_000)
    assert memory_of(driver) == "known"


def test_an_answer_to_an_earlier_process_is_none() -> None:
    driver = asking()
    up(driver)
    for member in (1, 2, 3):
        answer(driver, member, life=SECOND)
    assert memory_of(driver) == "asking"


def test_one_who_lies_of_a_later_view_or_a_twin_is_not_believed_and_two_are() -> None:
    """C-24: more than (P-1)//3 of the power has to say it."""
    driver = asking()
    up(driver)
    answer(driver, 1, counts=False, shown=50)
    driver.run(300)
    assert memory_of(driver) == "asking"
    answer(driver, 2, counts=False, shown=9)
    assert memory_of(driver) == "amnesiac"
    assert [record.kind for record in driver.journal] == [JournalKind.FORGOTTEN]
    other = asking()
    up(other)
    answer(other, 1, standing=2)
    assert not other.all(node_io.Halt)
    answer(other, 2, standing=2)
    assert "twin" in other.all(node_io.Halt)[0].words


def test_a_suspect_key_waits_with_a_quorum_of_answers_too() -> None:
    driver = asking()
    up(driver)
    for member in (1, 2, 3):
        answer(driver, member, standing=1)
    driver.run(30_000)
    assert memory_of(driver) == "asking"
    assert not driver.node.status().voting


def test_an_amnesiac_makes_its_floor_durable_and_looks_on() -> None:
    driver = asking(amnesiac=True)
    up(driver)
    for member in (1, 2, 3):
        answer(driver, member)
    assert [record.kind for record in driver.journal] == [JournalKind.RESTORED]
    assert (memory_of(driver), driver.node.status().vote_floor) == ("probation", 2)
    driver.run(30_000)
    assert [record.kind for record in driver.journal] == [JournalKind.RESTORED], "nothing is signed at or below it"


@pytest.mark.parametrize(
    ("kinds", "phase"),
    [
        ((JournalKind.RESTORED,), "asking"),
        ((JournalKind.FORGOTTEN,), "amnesiac"),
        ((JournalKind.FORGOTTEN, JournalKind.RESTORED), "asking"),
        ((JournalKind.RESTORED, JournalKind.FORGOTTEN), "amnesiac"),
    ],
)
def test_a_hole_and_the_way_back_are_remembered(kinds: tuple[JournalKind, ...], phase: str) -> None:
    """C-24: the later of the two records counts, also where the journal's header says that memory was lost."""
    records = tuple(JournalRecord(kind, encode(VoteFloor(1, 6))) for kind in kinds)
    driver = asking(records, amnesiac=JournalKind.RESTORED in kinds and phase == "asking")
    assert memory_of(driver) == phase
    assert driver.node.status().vote_floor == (6 if JournalKind.RESTORED in kinds else 0)
    kept = [record.kind for record in driver.node.live_records()]
    assert (JournalKind.FORGOTTEN in kept) == (phase == "amnesiac")


def test_an_answer_without_the_certificate_of_its_view_is_charged() -> None:
    driver = asking(amnesiac=True)
    up(driver)
    found = Recollection(FIRST, 1, signer(driver, 0), 1, 99, b"", True, 0, 0, (), signer(driver, 1))
    signature = key(301).sign(Context.RESTORE, network_id(driver.genesis), encode(found))
    driver.step(node_io.Received(key(201).public, encode(RecollectionMessage(found, signature))))
    assert driver.notes("peer_charged")
    assert memory_of(driver) == "amnesiac"
