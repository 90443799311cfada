"""What enters and leaves the consensus machine: closed lists, plain data.

Peers are opaque names (node keys). Times are monotonic milliseconds. What the machine is given as
`verified` was checked under L-3 by whoever gives it.
"""

from __future__ import annotations

from enum import Enum, StrEnum

from protocol.consensus.statements import Certificate, Proposal, Vote
from protocol.values import frozen


class Verdict(Enum):
    """What the application says of a payload (C-6). *later* is said by silence: the verdict comes when it can."""

    VALID = "valid"
    INVALID = "invalid"


class Timer(StrEnum):
    """The machine's timers."""

    LEADER = "leader"
    VIEW = "view"
    IDLE = "idle"
    """The leader proposes an empty block when it fires (C-15)."""
    RETRY = "retry"
    FORWARD = "forward"
    """Certificates go to peers that have not shown them (C-12)."""


# -- Inputs -----------------------------------------------------------------------------------------


@frozen
class ProposalReceived:
    """A leader's proposal with its own notarize signature, verified."""

    proposal: Proposal
    signature: bytes
    peer: bytes | None


@frozen
class VoteReceived:
    """A vote: over its signer's own channel, or verified already (C-19)."""

    vote: Vote
    peer: bytes | None
    verified: bool


@frozen
class VoteDurable:
    """An own vote, or the notarize inside an own proposal, has reached the disk: now it counts here too."""

    vote: Vote


@frozen
class CertificateReceived:
    """A certificate from a peer, not verified yet."""

    certificate: Certificate
    peer: bytes | None


@frozen
class RequestReceived:
    """A peer asks for the certificates of these views."""

    views: tuple[int, ...]
    peer: bytes


@frozen
class SignaturesVerified:
    """Answer to `Verify`."""

    job: int
    good: tuple[bool, ...]


@frozen
class PayloadOffered:
    """Answer to `Build`: what to propose, on the parent that it was built for."""

    view: int
    parent_view: int
    payload: bytes


@frozen
class PayloadJudged:
    """Answer to `Judge`."""

    proposal: Proposal
    verdict: Verdict


@frozen
class TimerFired:
    """A timer's time has come."""

    timer: Timer


@frozen
class WorkChanged:
    """Whether there is something to agree on (C-15)."""

    work: bool


@frozen
class PayloadExecuted:
    """A final payload was executed, so long after it was appended here (C-15)."""

    took_ms: int


@frozen
class PeerJoined:
    """A channel to a peer stands; `signer` is its place in the set if it is a validator."""

    peer: bytes
    signer: int | None


@frozen
class PeerLeft:
    """The channel is gone."""

    peer: bytes


@frozen
class PeerShown:
    """A peer says how far it is: its current view, and its highest final one."""

    peer: bytes
    view: int
    final_view: int


Input = (
    ProposalReceived
    | VoteReceived
    | VoteDurable
    | CertificateReceived
    | RequestReceived
    | SignaturesVerified
    | PayloadOffered
    | PayloadJudged
    | TimerFired
    | WorkChanged
    | PayloadExecuted
    | PeerJoined
    | PeerLeft
    | PeerShown
)


# -- Effects ----------------------------------------------------------------------------------------


@frozen
class PersistVote:
    """Make this own vote durable; `VoteDurable` follows."""

    vote: Vote


@frozen
class PersistProposal:
    """Make this own proposal, with the notarize that it is, durable (C-5); `VoteDurable` follows with that notarize."""

    proposal: Proposal
    vote: Vote


@frozen
class PersistCertificate:
    """Make this certificate durable."""

    certificate: Certificate


@frozen
class SendProposal:
    """Send the proposal to these peers, or to all."""

    proposal: Proposal
    signature: bytes
    to: tuple[bytes, ...] | None


@frozen
class SendVote:
    """Send an own vote to these peers, or to all."""

    vote: Vote
    to: tuple[bytes, ...] | None


@frozen
class SendCertificate:
    """Send a certificate to these peers."""

    certificate: Certificate
    to: tuple[bytes, ...]


@frozen
class SendRequest:
    """Ask these peers for the certificates of these views."""

    views: tuple[int, ...]
    to: tuple[bytes, ...]


@frozen
class Verify:
    """Check signatures: (public key, message, signature) of each."""

    job: int
    items: tuple[tuple[bytes, bytes, bytes], ...]


@frozen
class Build:
    """The leader needs a payload on top of `parent_payload`."""

    view: int
    parent_view: int
    parent_payload: bytes


@frozen
class Judge:
    """Is this proposal's payload valid on top of `parent_payload`? Its certificates are in order."""

    proposal: Proposal
    parent_payload: bytes


@frozen
class Entered:
    """A new view began."""

    view: int
    leader: int
    by: Certificate | None


@frozen
class Notarized:
    """A notarization is held here that was not before."""

    certificate: Certificate


@frozen
class NullifiedView:
    """A nullification is held here that was not before."""

    certificate: Certificate


@frozen
class Finalized:
    """The proposal and all its ancestors are final (C-9)."""

    certificate: Certificate


@frozen
class Evidence:
    """Two statements of one validator that C-10 forbids, both verified (C-17)."""

    first: Vote
    second: Vote


@frozen
class Forked:
    """Two finalizations of one view that state different proposals: more than the tolerated power is faulty."""

    first: Certificate
    second: Certificate


@frozen
class Charge:
    """This validator, or this peer, sent something bad."""

    signer: int | None
    peer: bytes | None
    words: str


@frozen
class Twin:
    """A statement by our own key, above the vote floor, that we do not remember (C-24): a twin's, or our memory has
    a hole. Whoever knows which of the two decides."""

    vote: Vote


Effect = (
    PersistVote
    | PersistProposal
    | PersistCertificate
    | SendProposal
    | SendVote
    | SendCertificate
    | SendRequest
    | Verify
    | Build
    | Judge
    | Entered
    | Notarized
    | NullifiedView
    | Finalized
    | Evidence
    | Forked
    | Charge
    | Twin
)
