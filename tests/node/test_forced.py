"""A statement from before the loss, shown too late: what it does after the operator's command, and what helps (C-24).

More validators than are tolerated have lost their journals, and were made to vote. So a quorum of answers proves too
little: the floor of who comes back by them lies below what it signed before its own loss.
"""

from __future__ import annotations

from dataclasses import replace

from protocol import limits
from protocol.codec import decode, encode
from protocol.consensus.statements import CONTEXTS, Proposal, Vote, VoteKind, statement_bytes
from protocol.errors import BROKEN_INVARIANT
from protocol.ledger.genesis import network_id
from protocol.node import interface as node_io
from protocol.node.interface import JournalKind
from protocol.node.memory import FORCED_RETRIES
from tests.ledger.world import key
from tests.node.doubt import answer, asking, memory_of, signer, up
from tests.node.driver import Driver
from tests.proofs.chain import certificate

OLD_VIEW = 9
"""In which our key signed before it lost its memory; the answers prove view 1, so the floor is 2."""


def old_statement(driver: Driver, view: int = OLD_VIEW) -> Vote:
    """Our own nullify of that view."""
    network = network_id(driver.genesis)
    payload = statement_bytes(int(VoteKind.NULLIFY), 1, view, None)
    signature = key(300).sign(CONTEXTS[VoteKind.NULLIFY], network, payload)
    return Vote(int(VoteKind.NULLIFY), 1, view, None, signer(driver, 0), signature)


def show(driver: Driver, view: int = OLD_VIEW) -> None:
    """A peer that was away sends it on: over a channel that is not its signer's, so its signature is checked."""
    driver.step(node_io.Received(key(201).public, encode(old_statement(driver, view))))


def restored() -> Driver:
    """It came back by answers of a quorum, and nobody showed the old statement."""
    driver = asking(amnesiac=True)
    up(driver)
    for member in (1, 2, 3):
        answer(driver, member)
    assert (memory_of(driver), driver.node.status().vote_floor) == ("probation", 2)
    return driver


def halts(driver: Driver) -> str:
    halt = driver.all(node_io.Halt)[-1]
    assert halt.code == BROKEN_INVARIANT
    return halt.words


def test_an_old_statement_above_the_floor_stops_it_as_a_twins_would_and_the_words_say_what_it_may_be() -> None:
    """A statement has no time: whether somebody signs now, or this key signed before, nothing in it tells."""
    driver = restored()
    show(driver)
    words = halts(driver)
    assert f"(view {OLD_VIEW}): a twin" in words
    assert "force-vote" in words
    assert "After force-vote" in words


def test_who_never_lost_its_memory_is_told_of_a_twin_and_of_nothing_else() -> None:
    driver = asking()
    up(driver)
    for member in (1, 2, 3):
        answer(driver, member)
    show(driver)
    assert halts(driver).endswith("a twin")


def again(journal: list[node_io.JournalRecord]) -> Driver:
    """The next start, from what the one before left."""
    driver = asking(tuple(journal), amnesiac=True)
    up(driver)
    return driver


def votes(driver: Driver) -> list[Vote]:
    """What its journal says that it signed."""
    return [decode(Vote, record.data) for record in driver.journal if record.kind == JournalKind.VOTE]


def test_started_again_it_takes_the_statement_as_its_own_and_is_not_stopped_by_it_again() -> None:
    """Also where the others wait below that view, and the floor is below it once more."""
    driver = restored()
    show(driver)
    second = again(driver.journal)
    assert memory_of(second) == "asking"
    show(second)
    assert memory_of(second) == "amnesiac"
    assert [record.kind for record in second.journal] == [JournalKind.FORGOTTEN, JournalKind.VOTE]
    assert votes(second) == [old_statement(second)]
    show(second)
    for member in (1, 2, 3):
        answer(second, member)
    assert (memory_of(second), second.node.status().vote_floor) == ("probation", 2)
    show(second)
    assert not second.all(node_io.Halt)
    third = again([*driver.journal, *second.journal])
    show(third)
    assert memory_of(third) == "asking", "it is remembered"
    for member in (1, 2, 3):
        answer(third, member)
    assert (memory_of(third), third.node.status().voting) == ("known", True)


def test_a_twin_that_lives_stops_it_again_by_its_next_statement() -> None:
    driver = restored()
    show(driver)
    second = again(driver.journal)
    show(second)
    for member in (1, 2, 3):
        answer(second, member)
    show(second, OLD_VIEW + 1)
    assert f"(view {OLD_VIEW + 1}): a twin" in halts(second)


def test_the_others_are_beyond_that_view_and_the_floor_is_above_it() -> None:
    second = again(restored().journal)
    show(second)
    keys = sorted((key(300 + member) for member in range(4)), key=lambda one: one.public)
    ended = certificate(network_id(second.genesis), b"", kind=VoteKind.NULLIFY, view=OLD_VIEW + 2, keys=keys)
    for member in (1, 2, 3):
        answer(second, member, ended=ended)
    assert (memory_of(second), second.node.status().vote_floor) == ("probation", OLD_VIEW + 4)


def test_what_is_far_above_is_a_hole_and_not_taken_unless_by_command() -> None:
    """C-18: memory is bounded; so far ahead the others' answers put the floor above it."""
    far = OLD_VIEW + limits.VIEW_LOOKAHEAD
    driver = asking()
    up(driver)
    answer(driver, 1, statements=(old_statement(driver, far),))
    assert (memory_of(driver), votes(driver)) == ("amnesiac", [])
    forced = asking(amnesiac=True, forced=True)
    up(forced)
    answer(forced, 1, statements=(old_statement(forced, far),))
    assert votes(forced) == [old_statement(forced, far)]


def test_under_the_command_it_is_taken_too_and_the_validator_votes() -> None:
    driver = asking(amnesiac=True, forced=True)
    up(driver)
    show(driver)
    driver.run((FORCED_RETRIES + 2) * driver.genesis.parameters.retry_interval_ms)
    assert (memory_of(driver), driver.node.status().voting) == ("known", True)
    assert votes(driver)[0] == old_statement(driver)
    show(driver)
    assert not driver.all(node_io.Halt)


def test_what_excludes_an_own_statement_is_not_taken_beside_it() -> None:
    """C-10: a journal never holds both; that our key signed both is evidence, and not memory."""
    machine = asking(amnesiac=True).node.body.machine
    place, proposal = machine.core.me, Proposal(1, OLD_VIEW, OLD_VIEW - 1, bytes(32))
    assert place is not None
    nullify, finalize, notarize = (
        Vote(int(kind), 1, OLD_VIEW, None if kind is VoteKind.NULLIFY else proposal, place, bytes(64))
        for kind in (VoteKind.NULLIFY, VoteKind.FINALIZE, VoteKind.NOTARIZE)
    )
    assert machine.adopt(nullify)
    assert not machine.adopt(finalize)
    assert machine.adopt(notarize), "C-11: a nullify after it is allowed"
    assert not machine.adopt(replace(notarize, proposal=replace(proposal, payload=bytes([1]) * 32)))
    assert machine.core.own[OLD_VIEW].votes() == [notarize, nullify]
