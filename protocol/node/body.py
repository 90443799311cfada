"""The node's state, and the small verbs that all its parts use.

`Body` holds the rooms' state machines side by side and the list of effects that a step is gathering. The
parts (`ordering`, `proposing`, `data`, `envelopes`, `talk`) are modules of functions over it: each changes only what
its essay says.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from protocol import limits
from protocol.codec import encode
from protocol.consensus import inputs as agree
from protocol.consensus.core import Instance
from protocol.consensus.machine import Machine
from protocol.consensus.pace import Tempo
from protocol.consensus.statements import Certificate, Proposal, Vote
from protocol.consensus.validators import Validators
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.crypto.signing import SigningKey
from protocol.dissemination import Batches, Wants
from protocol.gossip import Neighbours
from protocol.ledger.genesis import (
    FIRST_EPOCH,
    Parameters,
    ValidatorSet,
    network_id,
    validator_set,
    validators_hash,
)
from protocol.ledger.members import ValidatorNode
from protocol.ledger.records import Executed, Header
from protocol.node.chain import Chain
from protocol.node.interface import (
    CheckSignatures,
    Disconnect,
    Effect,
    Halt,
    JournalKind,
    JournalRecord,
    Note,
    Now,
    Persist,
    Priority,
    Send,
    SignatureItem,
)
from protocol.node.lateness import Lateness
from protocol.node.memory import Memory
from protocol.node.records import VoteFloor
from protocol.node.setup import NodeSetup
from protocol.pool import Pool
from protocol.proofs.finality import voters_of
from protocol.sync import BlockSync, Mending
from protocol.wire.messages import ProposalMessage

VERIFIED_REMEMBERED_MAX: Final = 4_096
"""Hashes of signed messages whose signature was good: what is passed around a ring is checked once."""
JOBS_MAX: Final = 4_096
"""Checks in flight; past it messages that would need one are dropped (they are sent again)."""
CHARGES_MAX: Final = 20
"""Faults after which a peer is disconnected."""
CLOSINGS_REMEMBERED_MAX: Final = 64
"""Closing finalizations at hand for peers in an ended epoch; who is further behind needs block sync anyway."""
FORMER_KEYS_MAX: Final = (CLOSINGS_REMEMBERED_MAX + 1) * limits.VALIDATORS_MAX
"""Voting keys of ended epochs that are known as such; past it only those of the last epoch are."""
VOTING_KEYS_MAX: Final = 256
"""Voting keys that one node holds."""


@dataclass(frozen=True, slots=True)
class Roster:
    """The epoch's validators from all sides: votes, channels, members."""

    validators: Validators
    validators_hash: bytes
    keys: frozenset[bytes]
    node_keys: tuple[bytes, ...]
    """Channel key of each validator, by its place."""
    signer_of: dict[bytes, int]
    """Channel key -> place."""
    node_of: dict[bytes, bytes]
    """Voting key -> channel key."""
    member_of: dict[bytes, str]
    """Voting key -> member."""

    def power_of(self, nodes: Iterable[bytes]) -> int:
        """Power of the validators among these nodes (channel keys, distinct)."""
        return sum(self.validators.powers[self.signer_of[node]] for node in nodes if node in self.signer_of)


def roster_of(validators: ValidatorSet, nodes: Mapping[bytes, ValidatorNode]) -> Roster:
    """The roster of an epoch with this set; `nodes`: whose each voting key is."""
    entries = [(entry, nodes[entry.voting_key]) for entry in validators.validators]
    node_keys = tuple(node.node_key for _, node in entries)
    return Roster(
        voters_of(validators),
        validators_hash(validators),
        frozenset(entry.voting_key for entry, _ in entries),
        node_keys,
        {key: index for index, key in enumerate(node_keys)},
        {entry.voting_key: node.node_key for entry, node in entries},
        {entry.voting_key: node.member for entry, node in entries},
    )


@dataclass(frozen=True, slots=True)
class Closed:
    """The block that closed the present epoch is final and appended; the next begins when its set is known here."""

    header: Header
    hash: bytes
    finalization: Certificate


@dataclass(slots=True)
class Journaled:
    """What the journal holds of one epoch, until that begins here (L-24)."""

    votes: list[Vote] = field(default_factory=list)
    proposals: list[ProposalMessage] = field(default_factory=list)
    certificates: list[Certificate] = field(default_factory=list)


@dataclass(slots=True)
class Body:
    """All state of one node."""

    setup: NodeSetup
    network_id: bytes
    parameters: Parameters
    roster: Roster
    machine: Machine
    chain: Chain
    neighbours: Neighbours
    sync: BlockSync
    batch_wants: Wants
    header_wants: Wants
    now: Now
    mending: Mending = field(default_factory=Mending)
    pool: Pool = field(default_factory=Pool)
    batches: Batches = field(default_factory=Batches)
    out: list[Effect] = field(default_factory=list)
    inbox: deque[agree.Input] = field(default_factory=deque)
    jobs: dict[int, Any] = field(default_factory=dict)
    job_count: int = 0
    persist_count: int = 0
    undurable: deque[tuple[int, agree.Input | VoteFloor]] = field(default_factory=deque)
    """(number of the Persist, what consensus hears, or which vote floor holds, when it is durable), in order."""
    verified: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    proposed: dict[int, bytes] = field(default_factory=dict)
    """View -> hash of the first header proposed in it: one each, whatever a leader signs."""
    target: Certificate | None = None
    """The highest finalization; the chain advances to its block."""
    covering: tuple[int, int] = (0, 0)
    """(height of the newest final header with its own finalization, height that its *executed* covers)."""
    judging: tuple[Proposal, bytes] | None = None
    building: agree.Build | None = None
    turn_nullified: bool = False
    """Whether this validator's previous turn to lead was nullified (L-18)."""
    lateness: Lateness = field(default_factory=Lateness)
    work_stale: bool = True
    executed_before_start: int = 0
    keys: dict[bytes, SigningKey] = field(default_factory=dict)
    """Voting keys of this node, by their public halves; one is erased when its epoch has ended."""
    nodes: dict[bytes, ValidatorNode] = field(default_factory=dict)
    """Voting key -> whose it is: of all sets that matter here, former ones too."""
    sets: dict[bytes, ValidatorSet] = field(default_factory=dict)
    """Sets by their hash: the present one, and those that the state has named since."""
    next_sets: list[tuple[int, bytes]] = field(default_factory=list)
    """(height, hash of the set that the state names next from there on), ascending."""
    closings: OrderedDict[int, Certificate] = field(default_factory=OrderedDict)
    """Ended epoch -> its closing finalization, of the last ones."""
    former: set[bytes] = field(default_factory=set)
    """Voting keys of ended epochs, as far as known here."""
    closed: Closed | None = None
    journaled: dict[int, Journaled] = field(default_factory=dict)
    vote_floor: tuple[int, int] = (0, 0)
    """(epoch, view) at and below which nothing is signed, from the journal."""
    ahead: dict[bytes, list[bytes]] = field(default_factory=dict)
    """Peer -> its first messages of the next epoch, kept until that begins here."""
    checking_envelopes: int = 0
    checking_bytes: int = 0
    """Envelopes that wait for their verdict, and their bytes: they count for the pool."""
    disk_full: bool = False
    halted: bool = False
    memory: Memory = field(default_factory=Memory)
    behind_since_ms: int | None = None
    housekeeping_ms: int = 0
    said: bytes = b""
    said_ms: int = 0
    """The keepalive that was sent last, and when."""
    rejudge_ms: int | None = None
    seal_after_ms: int | None = None
    """Nothing that waits may be sealed before then (L-11)."""
    relays: OrderedDict[bytes, tuple[int, int]] = field(default_factory=OrderedDict)
    """Observer: transaction -> (when passed on, how often)."""
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """The present epoch."""
        return self.machine.core.instance.epoch

    @property
    def key(self) -> SigningKey | None:
        """The key that this node votes and seals with in the present epoch; None if it is no validator of it."""
        return self.machine.core.key

    def next_at(self, height: int) -> bytes | None:
        """Hash of the next set that the state at this height names; None if that is not known here (yet)."""
        if height > self.chain.executed_height:
            return None
        return next((named for since, named in reversed(self.next_sets) if since <= height), None)

    # -- Verbs --------------------------------------------------------------------------------------

    def emit(self, effect: Effect) -> None:
        """Add an effect to this step's list."""
        self.out.append(effect)

    def persist(
        self, kind: JournalKind, data: bytes, then: agree.Input | VoteFloor | None = None, *, patient: bool = False
    ) -> None:
        """Make a journal record durable; consensus hears `then`, or the vote floor holds (C-24), when it is."""
        self.persist_count += 1
        if then is not None:
            self.undurable.append((self.persist_count, then))
        self.emit(Persist(JournalRecord(kind, data), patient))

    def send(self, to: tuple[bytes, ...], priority: Priority, data: bytes) -> None:
        """Send to peers, if any."""
        if to:
            self.emit(Send(to, priority, data))

    @property
    def amnesiac(self) -> bool:
        """Whether something may have been signed that is not remembered (C-24)."""
        return self.memory.forgetful

    @property
    def held_back(self) -> bool:
        """Whether nothing new may be signed: a full disk (L-28), an uncertain memory (C-24), a closed epoch (C-21)."""
        return self.disk_full or self.memory.silent or self.closed is not None

    def pass_on(self, data: bytes, origin: bytes, sender: bytes) -> None:
        """L-14: pass a verified message of consensus on to those who do not hear its origin."""
        to = self.neighbours.pass_on(message_hash(data), origin, sender, self.now.monotonic_ms)
        self.send(to, Priority.CONSENSUS, data)

    def check_message(self, purpose: Any, items: tuple[tuple[bytes, bytes, bytes], ...]) -> None:
        """Have the signatures of a message checked, unless too many checks are in flight: it is sent again."""
        if len(self.jobs) < JOBS_MAX:
            self.check(purpose, items)

    def everyone(self) -> tuple[bytes, ...]:
        """All connected peers."""
        return tuple(self.neighbours.peers)

    def job(self, purpose: Any) -> int:
        """A number under which an answer comes back to `purpose`."""
        self.job_count += 1
        self.jobs[self.job_count] = purpose
        return self.job_count

    def check(self, purpose: Any, items: tuple[tuple[bytes, bytes, bytes], ...]) -> None:
        """Have signatures checked."""
        self.emit(CheckSignatures(self.job(purpose), tuple(SignatureItem(*item) for item in items)))

    def note(self, name: str, **facts: int | str | bytes | bool | None) -> None:
        """Say something worth a log line, and count it."""
        self.count(name)
        self.emit(Note(name, facts))

    def count(self, name: str, by: int = 1) -> None:
        """Count something."""
        self.counters[name] = self.counters.get(name, 0) + by

    def charge(self, peer: bytes | None, words: str) -> None:
        """A peer did something that no honest node does. Often enough, and its channel is closed."""
        self.note("peer_charged", peer=peer, words=words)
        neighbour = None if peer is None else self.neighbours.peers.get(peer)
        if peer is None or neighbour is None:
            return
        neighbour.charges += 1
        if neighbour.charges > CHARGES_MAX:
            neighbour.charges = 0
            self.emit(Disconnect(peer, words))

    def halt(self, code: str, words: str) -> None:
        """Stop: nothing more is signed or written (L-22)."""
        self.halted = True
        self.out.clear()
        self.emit(Halt(code, words))

    def pinned(self) -> set[bytes]:
        """Hashes of headers that something rests on: a certificate, an own vote, and all below these."""
        core = self.machine.core
        tips = [certificate.proposal for certificate in core.notarizations.values()]
        tips += [own.notarized.proposal for own in core.own.values() if own.notarized is not None]
        tips += [certificate.proposal for certificate in (core.finalization, self.target) if certificate is not None]
        kept: set[bytes] = set()
        for tip in tips:
            hashed = b"" if tip is None else tip.payload
            while hashed in self.chain.known and hashed not in kept:
                kept.add(hashed)
                hashed = self.chain.known[hashed].header.parent
        return kept

    def remember_verified(self, message: bytes) -> None:
        """Note that the signature in this message (named by its hash) was good."""
        self.verified[message] = None
        if len(self.verified) > VERIFIED_REMEMBERED_MAX:
            self.verified.popitem(last=False)


def message_hash(data: bytes) -> bytes:
    """Name of a message on its way."""
    return digest(Domain.MESSAGE, data)


def make_body(setup: NodeSetup, genesis_executed: Executed, now: Now) -> Body:
    """A node without memory."""
    genesis, parameters = setup.genesis, setup.genesis.parameters
    network, first = network_id(genesis), validator_set(genesis)
    nodes = {v.voting_key: ValidatorNode(v.voting_key, v.member, v.node_key) for v in genesis.validators}
    roster = roster_of(first, nodes)
    keys = {key.public: key for key in (setup.voting_key, *setup.more_voting_keys) if key is not None}
    machine = make_machine(parameters, Instance(network, FIRST_EPOCH, roster.validators, network), keys, now)
    retry = parameters.retry_interval_ms
    return Body(
        setup,
        network,
        parameters,
        roster,
        machine,
        Chain(network, genesis.created_ms, genesis_executed, parameters.batch_ttl_max),
        Neighbours(retry),
        BlockSync(retry),
        Wants(retry),
        Wants(retry),
        now,
        keys=keys,
        nodes=nodes,
        sets={roster.validators_hash: first},
        next_sets=[(0, roster.validators_hash)],
    )


def make_machine(parameters: Parameters, instance: Instance, keys: Mapping[bytes, SigningKey], now: Now) -> Machine:
    """Consensus of one epoch, signing with the one of these keys that is in its set, if there is one."""
    tempo = Tempo(
        parameters.delta_ms, parameters.idle_interval_ms, parameters.retry_interval_ms, parameters.backoff_max
    )
    key = next((keys[voting_key] for voting_key in instance.validators.keys if voting_key in keys), None)
    return Machine(instance, tempo, key, now.monotonic_ms)


def encoded(value: Any) -> bytes:
    """Shorthand for `encode`, so that parts need not import the codec."""
    return encode(value)
