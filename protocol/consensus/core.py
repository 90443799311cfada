"""What the machine remembers, and what can be read off it without changing anything.

`Core` holds the state of one instance (one epoch). Its methods are questions; the handlers in
`machine.py`, `voting.py` and `spreading.py` change it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from protocol.consensus.inputs import Timer
from protocol.consensus.pace import Activity, Tempo
from protocol.consensus.rotation import Rotation
from protocol.consensus.statements import Certificate, Proposal, Vote, VoteKind
from protocol.consensus.validators import Validators
from protocol.consensus.votes import VoteKeeper
from protocol.crypto.signing import SigningKey
from protocol.values import frozen


class Phase(StrEnum):
    """Where this validator is in the current view: one axis of the transition table."""

    WAIT = "wait"
    """Nothing signed yet; no proposal in hand. The leader waits here for work or for a parent."""
    BUILD = "build"
    """Leader: the application was asked for a payload."""
    JUDGE = "judge"
    """A proposal is in hand; its certificates or the application's verdict are awaited."""
    VOTED = "voted"
    """A notarize (or, as leader, a proposal) is signed."""
    NULLIFIED = "nullified"
    """A nullify is signed: nothing more is, in this view."""
    FOLLOW = "follow"
    """This node does not vote: an observer, an amnesiac, or held back by a full disk."""


@dataclass(frozen=True, slots=True)
class Instance:
    """What all validators of an epoch agree on before it starts."""

    network_id: bytes
    epoch: int
    validators: Validators
    floor: bytes
    """Payload of the finalized block that the epoch starts on."""


@dataclass(slots=True)
class Own:
    """What this validator has signed in one view (C-7, C-10)."""

    notarized: Vote | None = None
    nullified: Vote | None = None
    finalized: Vote | None = None
    proposal: Proposal | None = None

    def votes(self) -> list[Vote]:
        """All of them, in the order of a view."""
        return [vote for vote in (self.notarized, self.nullified, self.finalized) if vote is not None]


@frozen
class Recalled:
    """What a journal remembered at a start: all that was signed above the vote floor that it begins with (L-24)."""

    votes: frozenset[Vote]


@dataclass(slots=True)
class PeerView:
    """What a peer has shown of itself on this connection."""

    signer: int | None
    said_ms: int
    """When it last said how far it is; at first, when its channel was made."""
    view: int = 0
    final_view: int = 0
    due_view: int = 0
    """The highest final view here when it last spoke: it had the time until now to hear of it."""
    lacks: bool = False
    """By its last word it had not heard of a finalization that it had the time to hear of, and none was sent since."""
    notarized: int = 0
    """Highest view whose notarization it has shown."""
    sent: dict[tuple[int, int], int] = field(default_factory=dict)
    """(kind, view) of certificates sent to it -> when."""
    answers: int = 0
    """Requests answered since the last retry interval."""


@dataclass(slots=True)
class Core:
    """The state of the machine."""

    instance: Instance
    tempo: Tempo
    rotation: Rotation
    keeper: VoteKeeper
    activity: Activity
    key: SigningKey | None
    me: int | None
    vote_floor: int = 0
    view: int = 1
    entered_by: Certificate | None = None
    entered_ms: int = 0
    offered_ms: int | None = None
    """When the newest proposal was taken in hand or made here (C-15)."""
    round_ms: int = 0
    """How long the newest proposal that was notarized here took to be."""
    execution_ms: int = 0
    """How long the newest block that was executed here took, from being appended to its result: what it waited for
    (the journal, blocks before it, those that were committed with it) included."""
    phase: Phase = Phase.WAIT
    held_back: bool = False
    """Signs nothing new: disk full (L-28) or amnesiac (C-24)."""
    recalled: Recalled | None = None
    """While a start asks (C-24): what was signed above the vote floor is in the journal, or that is not whole. That a
    view is final excuses nothing, since an older copy catches up, also over restarts."""
    proposal: Proposal | None = None
    """The proposal of the current view in hand."""
    judging: bool = False
    early: dict[int, Proposal] = field(default_factory=dict)
    own: dict[int, Own] = field(default_factory=dict)
    notarizations: dict[int, Certificate] = field(default_factory=dict)
    nullifications: dict[int, Certificate] = field(default_factory=dict)
    finalization: Certificate | None = None
    finalized_ms: int = 0
    """When that one came."""
    equivocated: set[int] = field(default_factory=set)
    work: bool = False
    timers: dict[Timer, int] = field(default_factory=dict)
    peers: dict[bytes, PeerView] = field(default_factory=dict)
    channels: dict[int, bytes] = field(default_factory=dict)
    """Validator -> its channel, where one stands."""
    jobs: int = 0
    vote_checks: dict[int, tuple[int, VoteKind, tuple[Vote, ...]]] = field(default_factory=dict)
    certificate_checks: dict[int, tuple[Certificate, bytes | None]] = field(default_factory=dict)
    evidence_checks: dict[int, tuple[Vote, Vote]] = field(default_factory=dict)

    @property
    def final_view(self) -> int:
        """The highest view known to be final; 0 is the floor."""
        return 0 if self.finalization is None else self.finalization.view

    @property
    def highest_notarized(self) -> int:
        """The highest view whose notarization is held, or the final one."""
        final = 0 if self.finalization is None else self.finalization.view
        return max(final, *self.notarizations) if self.notarizations else final

    @property
    def leader(self) -> int:
        """Leader of the current view."""
        return self.rotation.leader(self.view)

    @property
    def leading(self) -> bool:
        """Whether this validator leads the current view."""
        return self.me is not None and self.me == self.leader

    def own_of(self, view: int) -> Own:
        """What was signed in `view`, for reading and writing."""
        return self.own.setdefault(view, Own())

    def has_signed(self, view: int) -> Own:
        """What was signed in `view`, for reading."""
        return self.own.get(view, _NOTHING)

    def payload_at(self, view: int) -> bytes | None:
        """The payload notarized or final in `view` (0: the floor), if known here."""
        if view == 0:
            return self.instance.floor
        if view == self.final_view and self.finalization is not None and self.finalization.proposal is not None:
            return self.finalization.proposal.payload
        held = self.notarizations.get(view)
        return None if held is None or held.proposal is None else held.proposal.payload

    def parent_to_lead(self) -> tuple[int | None, list[int]]:
        """C-4: the parent view to propose on, or None and the views whose certificates are missing."""
        missing: list[int] = []
        for view in range(self.view - 1, self.final_view, -1):
            if view in self.notarizations:
                return (view, []) if not missing else (None, missing)
            if view not in self.nullifications:
                missing.append(view)
        return (self.final_view, []) if not missing else (None, missing)

    def lacks(self, proposal: Proposal) -> list[int]:
        """C-6: views whose certificates are missing before this proposal can be judged."""
        missing = [
            view
            for view in range(max(proposal.parent_view, self.final_view) + 1, proposal.view)
            if view not in self.nullifications
        ]
        if self.payload_at(proposal.parent_view) is None:
            missing.append(proposal.parent_view)
        return missing

    def hopeless(self, proposal: Proposal) -> bool:
        """Whether a proposal can never become valid: it skips what is final."""
        return proposal.parent_view < self.final_view

    def held(self, view: int) -> list[Certificate]:
        """The certificates of one view above the final one."""
        found = (self.notarizations.get(view), self.nullifications.get(view))
        return [certificate for certificate in found if certificate is not None]

    def peer_of(self, signer: int) -> bytes | None:
        """The channel of a validator, if one stands."""
        return self.channels.get(signer)

    def may_sign(self, view: int) -> bool:
        """Whether anything may be signed in `view`: above the vote floor and the final view."""
        return (
            self.me is not None
            and self.key is not None
            and not self.held_back
            and view > self.vote_floor
            and view > self.final_view
        )


_NOTHING = Own()
