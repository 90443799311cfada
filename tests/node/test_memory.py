"""What a validator without its memory believes (C-24)."""

from __future__ import annotations

import pytest

from protocol.codec import encode
from protocol.consensus import memory as recall
from protocol.consensus.statements import VoteKind
from protocol.consensus.validators import Validators
from protocol.ledger.genesis import network_id
from protocol.node import interface as node_io
from protocol.node.interface import JournalKind, JournalRecord
from protocol.node.memory import START_DELTAS
from protocol.node.records import VoteFloor
from tests.ledger.world import key
from tests.node.doubt import answer, asking, memory_of, up
from tests.node.test_forced import old_statement
from tests.proofs.chain import certificate

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


def test_at_the_very_first_start_nobody_is_waited_for_once_all_have_answered() -> None:
    """C-24: no answer counts, and nobody has more to say."""
    driver = asking()
    up(driver)
    for other in (1, 2):
        answer(driver, other, counts=False)
        assert memory_of(driver) == "asking"
    answer(driver, 3, counts=False)
    assert memory_of(driver) == "known"
    suspected = asking()
    up(suspected)
    for other in (1, 2, 3):
        answer(suspected, other, counts=False, standing=1 if other > 1 else 0)
    assert memory_of(suspected) == "asking", "two say that another process may have this key"


def test_at_any_other_start_3_delta_are_waited_though_all_have_answered() -> None:
    """C-24: one is in a later view, or this one has signed before: blocks, or the twin's channels, may tell more."""
    driver = asking()
    up(driver)
    keys = sorted((key(300 + member) for member in range(4)), key=lambda one: one.public)
    ended = certificate(network_id(driver.genesis), b"", kind=VoteKind.NULLIFY, view=4, keys=keys)
    for other in (1, 2, 3):
        answer(driver, other, counts=False, ended=ended if other == 2 else None)
    assert memory_of(driver) == "asking"
    answer(driver, 2, counts=False)
    assert memory_of(driver) == "asking", "an older answer, passed on late, takes nothing back"
    driver.run(START_DELTAS * driver.genesis.parameters.delta_ms + 500)
    assert memory_of(driver) == "known"
    signed = asking((JournalRecord(JournalKind.VOTE, encode(old_statement(driver, 1))),))
    up(signed)
    for other in (1, 2, 3):
        answer(signed, other, counts=False)
    assert memory_of(signed) == "asking"


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
