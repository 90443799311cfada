"""What an actor is, and the wrapper that most of them are.

`Actor` is an entry of the registry: words, how it takes the stage, and which *deeds* it can do. A deed is one piece
of mischief, counted when it is done: an actor that did nothing has tested nothing, and a test asks for every deed.

`Stage` is what an actor may touch: its machine (or machines), the network and the schedule, a generator of its own,
the count of its deeds, and a memory that outlives the crashes of its machine.

`Wrapper` steps the real node and changes what leaves it. So an actor follows the protocol in everything but its lie,
which is what makes it dangerous. Lies that are signed are made durable by nobody: an actor has no shame. It lies with
the key that it has in the present epoch's set, and, once it is in none, with its last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, ClassVar, TypeVar

from protocol.codec import encode
from protocol.consensus.statements import CONTEXTS, Proposal, Vote, VoteKind, statement_bytes
from protocol.crypto.contexts import Context, Domain
from protocol.crypto.hashing import digest
from protocol.crypto.signing import SigningKey
from protocol.errors import BrokenInvariant
from protocol.ledger.genesis import network_id
from protocol.ledger.records import Batch, BatchBody, Header
from protocol.node.interface import (
    Effect,
    Input,
    JournalRecord,
    Now,
    PeerDown,
    PeerUp,
    Priority,
    Received,
    Send,
    TakePart,
)
from protocol.node.setup import NodeSetup, NodeStatus, Recovered
from protocol.sim.events import Schedule
from protocol.sim.host import Host
from protocol.sim.network import Network
from protocol.sim.services import AnyNode
from protocol.wire.messages import ProposalMessage

T = TypeVar("T")
RAW_BYTES_MAX = 900 * 1024
"""Largest message that an actor makes by hand: the channel carries no larger ones, honest or not."""


@dataclass(slots=True)
class Stage:
    """What one actor may touch."""

    hosts: list[Host]
    """Its machines, the first one being the validator's; more than one only for twins."""
    network: Network
    schedule: Schedule
    generator: Random
    present: Callable[[Host, bytes], None]
    """Show an encoded `ReceiptProof` to a client of that machine."""
    deeds: dict[str, int] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    """What the actor remembers across the lives of its machine."""

    @property
    def host(self) -> Host:
        """Its first machine."""
        return self.hosts[0]

    def did(self, deed: str) -> None:
        """One more of this deed."""
        self.deeds[deed] = self.deeds.get(deed, 0) + 1


@dataclass(frozen=True, slots=True)
class Actor:
    """A liar that scenarios can name."""

    words: str
    play: Callable[[Stage], None]
    """Take the stage: before the first boot, once."""
    deeds: tuple[str, ...]
    machines: int = 1
    """How many machines share its keys."""


class Wrapper:
    """A node whose sends are changed.

    Subclasses override `lie` (what is sent in place of a message), `heard` (what is said on hearing one), and `act`
    (what is said unasked, every `PAUSE_MS`), and count what they do with `did`.
    """

    PAUSE_MS: ClassVar[int | None] = None
    """Between two calls of `act`; None: never."""

    def __init__(self, inner: AnyNode, setup: NodeSetup, stage: Stage) -> None:
        first = stage.memory.setdefault("first key", setup.voting_key)
        assert first is not None, "actors are validators"
        self.inner = inner
        self.stage = stage
        self.did = stage.did
        self.generator = stage.generator
        self.genesis = setup.genesis
        self.key: SigningKey = first
        self.signer = [v.voting_key for v in setup.genesis.validators].index(first.public)
        self.network_id = network_id(setup.genesis)
        self.peers: dict[bytes, None] = {}
        self.act_ms: int | None = None

    @property
    def wake_at_ms(self) -> int | None:
        """As the real node, or when it is time to act."""
        times = [time for time in (self.inner.wake_at_ms, self.act_ms) if time is not None]
        return min(times, default=None)

    def start(self, now: Now) -> list[Effect]:
        """As the real node, changed."""
        if self.PAUSE_MS is not None:
            self.act_ms = now.monotonic_ms + self.PAUSE_MS
        return self._changed(self.inner.start(now))

    def step(self, given: Input, now: Now) -> list[Effect]:
        """As the real node, changed."""
        if type(given) is PeerUp:
            self.peers[given.peer] = None
        elif type(given) is PeerDown:
            self.peers.pop(given.peer, None)
        effects = self._changed(self.inner.step(given, now))
        if type(given) is Received:
            effects += self.heard(given.peer, given.data)
        if self.act_ms is not None and self.PAUSE_MS is not None and now.monotonic_ms >= self.act_ms:
            self.act_ms = now.monotonic_ms + self.PAUSE_MS
            effects += self.act() if self.peers else []
        return effects

    def status(self) -> NodeStatus:
        """As the real node."""
        return self.inner.status()

    def live_records(self) -> list[JournalRecord]:
        """As the real node."""
        return self.inner.live_records()

    def _changed(self, effects: list[Effect]) -> list[Effect]:
        changed: list[Effect] = []
        for effect in effects:
            if type(effect) is TakePart:
                self._follow()
            changed += self.lie(effect) if type(effect) is Send else [effect]
        return changed

    def _follow(self) -> None:
        """Who votes may have changed, and with which keys (C-21); those of ended epochs are erased (C-23)."""
        setup = self.stage.host.setup
        held = {key.public: key for key in (setup.voting_key, *setup.more_voting_keys) if key is not None}
        keys = [node.voting_key for node, _ in self.inner.status().validators]
        mine = next((key for key in keys if key in held), None)
        if mine is not None:
            self.key, self.signer = held[mine], keys.index(mine)

    # -- For subclasses to override -----------------------------------------------------------------

    def lie(self, send: Send) -> list[Effect]:
        """What to send in place of `send`."""
        return [send]

    def heard(self, peer: bytes, data: bytes) -> list[Effect]:
        """What to say on hearing `data` from `peer`, besides what the real node says."""
        del peer, data
        return []

    def act(self) -> list[Effect]:
        """What to say unasked; at least one peer is connected."""
        return []

    # -- Tools --------------------------------------------------------------------------------------

    def to_all(self, priority: Priority, data: bytes) -> list[Effect]:
        """Send to every peer."""
        return [Send(tuple(self.peers), priority, data)]

    def to_one(self, priority: Priority, data: bytes) -> list[Effect]:
        """Send to one peer, whichever."""
        return [Send((self.generator.choice(list(self.peers)),), priority, data)]

    def halves(self) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """The peers, split in two at random; each part may be empty."""
        left = tuple(peer for peer in self.peers if self.generator.randrange(2))
        return left, tuple(peer for peer in self.peers if peer not in left)

    def some(self, peers: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """A random part of these peers: never all, and some only if there are two."""
        chosen = list(peers)
        self.generator.shuffle(chosen)
        return tuple(chosen[: self.generator.randrange(len(chosen))] if chosen else ())

    def pick(self, table: Mapping[str, Callable[..., T | None]], *arguments: Any) -> tuple[str, T] | None:
        """A random deed of a table and what it gives, those done least first; None if none finds anything to do now."""
        names = list(table)
        self.generator.shuffle(names)
        for name in sorted(names, key=lambda name: self.stage.deeds.get(name, 0)):
            found = table[name](*arguments)
            if found is not None:
                return name, found
        return None

    def sign(self, kind: VoteKind, epoch: int, view: int, proposal: Proposal | None) -> bytes:
        """Our signature of a statement, whatever we signed before."""
        return self.key.sign(CONTEXTS[kind], self.network_id, statement_bytes(kind, epoch, view, proposal))

    def vote(self, kind: VoteKind, epoch: int, view: int, proposal: Proposal | None) -> bytes:
        """A vote of our own, encoded."""
        return encode(Vote(int(kind), epoch, view, proposal, self.signer, self.sign(kind, epoch, view, proposal)))

    def proposal(self, like: Proposal, header: Header) -> bytes:
        """A proposal of our own for this header, in place and on the parent of `like`, encoded."""
        encoded = encode(header)
        proposal = replace(like, payload=digest(Domain.HEADER, encoded))
        return encode(ProposalMessage(proposal, self.sign(VoteKind.NOTARIZE, like.epoch, like.view, proposal), encoded))

    def batch(self, envelopes: tuple[bytes, ...], expiry_height: int, author: bytes | None = None) -> bytes:
        """A batch, encoded, signed by us in whatever author's name, of whatever is said to be envelopes."""
        content = encode(BatchBody(self.network_id, author or self.key.public, expiry_height, envelopes))
        return encode(Batch(content, self.key.sign(Context.BATCH, self.network_id, content)))


def plays(cls: type[Wrapper]) -> Callable[[Stage], None]:
    """How a wrapper takes the stage: around the real node of every life of its machine."""

    def play(stage: Stage) -> None:
        host = stage.host
        honest = host.factory

        def make(setup: NodeSetup, recovered: Recovered) -> AnyNode:
            return cls(honest(setup, recovered), setup, stage)

        host.factory = make

    return play


def encoded_or_none(value: Any) -> bytes | None:
    """The record's bytes, or None where what an actor put together is more than a record can say."""
    try:
        return encode(value)
    except BrokenInvariant:
        return None
