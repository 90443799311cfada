"""What a validator in doubt asks, and which answers it takes (C-24)."""

from __future__ import annotations

from protocol.codec import encode
from protocol.crypto.contexts import Context
from protocol.ledger.genesis import network_id
from protocol.node import interface as node_io
from protocol.wire.memory import Challenge, ChallengeMessage, Recollection, RecollectionMessage
from tests.ledger.world import key
from tests.node.doubt import FIRST, SECOND, answer, asking, memory_of, signer, up


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
