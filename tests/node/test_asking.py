"""What a validator in doubt asks, and which answers it takes (C-24)."""

from __future__ import annotations

from protocol.codec import decode, encode, kind_of
from protocol.crypto.contexts import Context
from protocol.ledger.genesis import network_id
from protocol.node import asking as asked
from protocol.node import interface as node_io
from protocol.wire.memory import Challenge, ChallengeMessage, Recollection, RecollectionMessage
from tests.ledger.world import key
from tests.node.doubt import FIRST, SECOND, answer, asking, memory_of, signer, up
from tests.node.driver import Driver

RECOLLECTION = 59


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


def test_an_answer_to_an_earlier_process_is_none() -> None:
    driver = asking()
    up(driver)
    for member in (1, 2, 3):
        answer(driver, member, life=SECOND)
    assert memory_of(driver) == "asking"


def test_an_answer_without_the_certificate_of_its_view_is_charged() -> None:
    driver = asking(amnesiac=True)
    up(driver)
    found = Recollection(FIRST, 1, signer(driver, 0), 1, 99, b"", True, 0, 0, (), signer(driver, 1))
    signature = key(301).sign(Context.RESTORE, network_id(driver.genesis), encode(found))
    driver.step(node_io.Received(key(201).public, encode(RecollectionMessage(found, signature))))
    assert driver.notes("peer_charged")
    assert memory_of(driver) == "amnesiac"


def ask(driver: Driver, member: int, life: bytes) -> int:
    """Another validator's question over its own channel; how many answers it got."""
    challenge = Challenge(life, 1, 1, 0, True, signer(driver, member))
    signature = key(300 + member).sign(Context.RESTORE, network_id(driver.genesis), encode(challenge))
    before = len(driver.all(node_io.Send))
    driver.step(node_io.Received(key(200 + member).public, encode(ChallengeMessage(challenge, signature))))
    sent = [effect for effect in driver.all(node_io.Send)[before:] if kind_of(effect.data) == RECOLLECTION]
    assert all(decode(RecollectionMessage, effect.data).recollection.life == life for effect in sent)
    return len(sent)


def test_one_askers_questions_push_out_no_others() -> None:
    """L-31: who asks under ever new lives makes the node forget its own questions, and answer nobody else's again."""
    driver = asking()
    up(driver)
    assert ask(driver, 1, FIRST) == 1
    assert ask(driver, 1, FIRST) == 0, "answered a moment ago"
    for number in range(1_100):
        assert ask(driver, 2, number.to_bytes(16, "big")) == 1
    assert ask(driver, 1, FIRST) == 0, "it is still known to be answered"
    marks = driver.node.body.memory.answered
    assert len(marks[signer(driver, 2)]) == asked.ANSWERED_MAX
    assert ask(driver, 2, bytes(16)) == 1, "its own first question is forgotten"
    assert ask(driver, 2, (1_099).to_bytes(16, "big")) == 0
    assert set(marks) == {signer(driver, 1), signer(driver, 2)}
