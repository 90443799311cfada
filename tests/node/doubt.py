"""A node that asks what it may have signed (C-24), and answers of the others."""

from __future__ import annotations

from protocol.codec import encode
from protocol.consensus.statements import Certificate, Vote
from protocol.crypto.contexts import Context
from protocol.ledger.genesis import network_id
from protocol.node import interface as node_io
from protocol.node.interface import JournalRecord
from protocol.node.node import Node
from protocol.node.setup import NodeSetup, Recovered
from protocol.wire.memory import LIFE_BYTES, Recollection, RecollectionMessage
from tests.ledger.world import key
from tests.node.driver import Driver, one_of_four

FIRST, SECOND = b"1" * LIFE_BYTES, b"2" * LIFE_BYTES


def asking(journal: tuple[JournalRecord, ...] = (), *, amnesiac: bool = False, forced: bool = False) -> Driver:
    """A node of four that asks, as a daemon's does."""
    driver = one_of_four()
    recovered = Recovered(journal, (), tuple(driver.results), amnesiac=amnesiac, forced=forced)
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
    driver: Driver,
    member: int,
    *,
    life: bytes = FIRST,
    counts: bool = True,
    shown: int = 0,
    standing: int = 0,
    ended: Certificate | None = None,
    statements: tuple[Vote, ...] = (),
) -> None:
    """What another validator answers: in view 1, or in the view after the one that `ended`."""
    mine, its = signer(driver, 0), signer(driver, member)
    view, entered_by = (1, b"") if ended is None else (ended.view + 1, encode(ended))
    found = Recollection(life, 1, mine, 1, view, entered_by, counts, shown, standing, statements, its)
    signature = key(300 + member).sign(Context.RESTORE, network_id(driver.genesis), encode(found))
    driver.step(node_io.Received(key(200 + member).public, encode(RecollectionMessage(found, signature))))


def memory_of(driver: Driver) -> str:
    return driver.node.status().memory
