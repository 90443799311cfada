"""Clients: what they send, what they were promised, and their patience.

Work comes and goes: bursts in which envelopes are posted to random nodes, and quiet in which nothing is. A
client whose envelope was accepted waits for it to become final anywhere; when that takes longer than its
patience it posts the same bytes again, to another node (L-7: clients retry without fear). Some envelopes live
for a few seconds only, some carry a bad signature and must be refused, some are posted to two nodes at once.

What was accepted and is neither final nor expired is *owed*: liveness is about that. Expired means that the
time of the newest final block has reached `valid_until_ms`.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Protocol

from protocol.apps.evidence.records import SHA256, RecordEvidence, Statement
from protocol.codec import encode
from protocol.crypto.contexts import Context, Domain
from protocol.crypto.hashing import digest
from protocol.crypto.signing import SigningKey
from protocol.ledger.records import Envelope, EnvelopeBody, Operation, account_name
from protocol.node.interface import Admitted, Fate, Outcome, Refusal
from protocol.sim.events import MS_US, Schedule, chance
from protocol.sim.host import Host
from protocol.sim.signatures import Scheme
from protocol.sim.surroundings import WALL_START_MS


@dataclass(frozen=True, slots=True)
class Load:
    """How busy clients are. Times in ms."""

    clients: int = 6
    busy_ms: tuple[int, int] = (200, 1_200)
    quiet_ms: tuple[int, int] = (100, 1_500)
    pause_ms: tuple[int, int] = (20, 250)
    """Between two posts in a burst."""
    envelopes: tuple[int, int] = (1, 3)
    """In one post."""
    patience_ms: int = 1_500
    lifetime_ms: int = 500_000
    short_lifetime_ms: int = 3_000
    short_per_mille: int = 50
    bad_per_mille: int = 20
    twice_per_mille: int = 100


@dataclass(slots=True)
class Posted:
    """An envelope that a client cares about."""

    data: bytes
    valid_until_ms: int
    posted_us: int
    accepted: bool = False


class World(Protocol):
    """What clients see."""

    schedule: Schedule
    hosts: list[Host]
    network_id: bytes

    def chain_time_ms(self) -> int:
        """Time of the newest final block."""
        ...

    def unsound(self, words: str, host: Host) -> None:
        """A node accepted what it must not."""
        ...


class Clients:
    """All clients of a run."""

    def __init__(self, world: World, load: Load, scheme: Scheme, generator: Random) -> None:
        self.world = world
        self.load = load
        self.generator = generator
        self.keys: list[SigningKey] = [scheme.key(f"client {index}") for index in range(load.clients)]
        self.posted: dict[bytes, Posted] = {}
        """Neither final nor expired, by transaction."""
        self.bad: dict[bytes, None] = {}
        self.tickets: dict[tuple[int, int], tuple[bytes, ...]] = {}
        self.final: dict[bytes, None] = {}
        self.counts = {"posted": 0, "accepted": 0, "refused": 0, "final": 0, "expired": 0, "posted again": 0}
        self.codes: dict[str, int] = {}
        self.ended = False
        self._turned_away: dict[bytes, None] = {}
        """Refused where it was posted last, and accepted elsewhere before."""
        self._serial = 0

    def begin(self) -> None:
        """Come and go until `end`."""
        self._burst()

    def end(self) -> None:
        """Post nothing more, but for what `insist` asks."""
        self.ended = True

    # -- Coming and going ---------------------------------------------------------------------------

    def _burst(self) -> None:
        schedule = self.world.schedule
        if self.ended:
            return
        end_us = schedule.now_us + self.generator.randint(*self.load.busy_ms) * MS_US
        self._work(end_us)
        schedule.at(end_us + self.generator.randint(*self.load.quiet_ms) * MS_US, self._burst)

    def _work(self, end_us: int) -> None:
        if self.ended:
            return
        self._look_after()
        up = [host for host in self.world.hosts if host.node is not None]
        if up:
            self.post(self.generator.choice(up), self.generator.randint(*self.load.envelopes))
        pause_us = self.generator.randint(*self.load.pause_ms) * MS_US
        if self.world.schedule.now_us + pause_us < end_us:
            self.world.schedule.after(pause_us, self._work, end_us)

    def post(self, host: Host, count: int) -> None:
        """New envelopes for one node."""
        made = [self._envelope() for _ in range(count)]
        self._submit(host, [transaction for transaction, _ in made], [data for _, data in made])
        others = [other for other in self.world.hosts if other.node is not None and other is not host]
        if others and chance(self.generator, self.load.twice_per_mille):
            other = self.generator.choice(others)
            self._submit(other, [transaction for transaction, _ in made], [data for _, data in made])

    def _submit(self, host: Host, names: list[bytes], envelopes: list[bytes]) -> None:
        self.counts["posted"] += len(envelopes)
        self.tickets[(host.index, host.tickets + 1)] = tuple(names)
        host.submit(tuple(envelopes))

    def _envelope(self) -> tuple[bytes, bytes]:
        load, generator = self.load, self.generator
        self._serial += 1
        key = generator.choice(self.keys)
        now_us = self.world.schedule.now_us
        life_ms = load.short_lifetime_ms if chance(generator, load.short_per_mille) else load.lifetime_ms
        # From the later of our clock and the chain's (L-7), which may be a year ahead of all clocks.
        valid_until_ms = max(WALL_START_MS + now_us // MS_US, self.world.chain_time_ms()) + life_ms
        name, id_ = account_name(key.public), self._serial.to_bytes(16, "big")
        # Now and then under an id that is taken: final, and refused by the application (L-8).
        document = id_ if generator.randrange(10) else (self._serial // 2).to_bytes(16, "big")
        statement = Statement(SHA256, digest(Domain.CLAIM, document), 1_000, "text/plain", "invoice", "", "", None)
        operation = Operation("evidence", "record", encode(RecordEvidence(None, document, statement)))
        signed = encode(EnvelopeBody(self.world.network_id, name, id_, valid_until_ms, (operation,), (key.public,)))
        signature = key.sign(Context.ENVELOPE, self.world.network_id, signed)
        transaction = digest(Domain.TRANSACTION, signed)
        if chance(generator, load.bad_per_mille):
            signature = signature[:-1] + bytes([signature[-1] ^ 1])
            self.bad[transaction] = None
        data = encode(Envelope(signed, (signature,)))
        if transaction not in self.bad:
            self.posted[transaction] = Posted(data, valid_until_ms, now_us)
        return transaction, data

    # -- What comes back ----------------------------------------------------------------------------

    def answered(self, host: Host, ticket: int, results: tuple[Admitted | Refusal, ...]) -> None:
        """A node judged what was posted to it."""
        names = self.tickets.pop((host.index, ticket), ())
        if not names:
            return  # the members' own envelopes
        for transaction, result in zip(names, results, strict=True):
            if isinstance(result, Refusal):
                self.counts["refused"] += 1
                self.codes[result.code] = self.codes.get(result.code, 0) + 1
                self._refused(transaction)
                continue
            if transaction in self.bad and host.honest:
                self.world.unsound(f"transaction {transaction.hex()[:8]} was accepted with a bad signature", host)
            posted = self.posted.get(transaction)
            if posted is not None and host.honest and not posted.accepted:
                posted.accepted = True
                self.counts["accepted"] += 1

    def _refused(self, transaction: bytes) -> None:
        """Nobody promised anything: the client gives up. What another node accepted is still owed."""
        posted = self.posted.get(transaction)
        if posted is not None and not posted.accepted:
            del self.posted[transaction]
        elif posted is not None:
            self._turned_away[transaction] = None

    def executed(self, host: Host, outcomes: tuple[Outcome, ...]) -> None:
        """A node says what became of envelopes."""
        if not host.honest:
            return
        for outcome in outcomes:
            if outcome.fate is not Fate.FINAL:
                continue
            if outcome.transaction in self.bad:
                self.world.unsound(f"transaction {outcome.transaction.hex()[:8]} is final with a bad signature", host)
            if self.posted.pop(outcome.transaction, None) is not None:
                self.final[outcome.transaction] = None
                self.counts["final"] += 1

    def _look_after(self) -> None:
        """Post again what takes too long; forget what has expired."""
        self.forget_expired()
        now_us = self.world.schedule.now_us
        late = [name for name, p in self.posted.items() if now_us - p.posted_us > self.load.patience_ms * MS_US]
        self._again(late[:16])

    def forget_expired(self) -> None:
        """Let go of what can't become final any more."""
        time_ms = self.world.chain_time_ms()
        for name in [name for name, posted in self.posted.items() if posted.valid_until_ms <= time_ms]:
            del self.posted[name]
            self.counts["expired"] += 1

    def _again(self, names: list[bytes]) -> None:
        up = [host for host in self.world.hosts if host.node is not None]
        for name in names if up else ():
            posted = self.posted[name]
            posted.posted_us = self.world.schedule.now_us
            self.counts["posted again"] += 1
            self._submit(self.generator.choice(up), [name], [posted.data])

    def insist(self) -> None:
        """After the last fault: post everything once more, and something new to every honest node."""
        self.forget_expired()
        self._turned_away.clear()
        for name in list(self.posted):
            self._to_an_honest_one(name)
        for host in self.world.hosts:
            if host.honest and host.node is not None:
                self.post(host, 1)

    def ask_elsewhere(self) -> None:
        """After the last fault: who was refused what another node once accepted goes to a third, as a client does."""
        self.forget_expired()
        names, self._turned_away = self._turned_away, {}
        for name in names:
            if name in self.posted:
                self._to_an_honest_one(name)

    def _to_an_honest_one(self, name: bytes) -> None:
        posted = self.posted[name]
        posted.posted_us = self.world.schedule.now_us
        host = self.generator.choice([host for host in self.world.hosts if host.node is not None and host.honest])
        self._submit(host, [name], [posted.data])

    def waiting(self) -> list[bytes]:
        """Posted or accepted, and neither final, refused nor expired."""
        self.forget_expired()
        return list(self.posted)
