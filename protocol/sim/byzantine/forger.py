"""The forger: certificates, votes and proposals that nobody signed, made of what others did sign.

Whatever it hears it keeps, and puts together again wrongly: too few signers, one signature in several places, bits
moved, notarize votes passed off as finalize, signatures of another view or epoch, another payload. It votes and
proposes in others' names. None of it may be believed (C-19, L-4), and what is honest must get through beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from protocol.codec import decode
from protocol.consensus.statements import Certificate, Proposal, Vote, VoteKind
from protocol.node.interface import Effect, Priority, Send
from protocol.node.setup import NodeSetup
from protocol.sim.byzantine.actor import Actor, Stage, Wrapper, encoded_or_none, plays
from protocol.sim.facts import CERTIFICATE_HEAD, PROPOSAL_HEAD, VOTE_HEAD
from protocol.sim.services import AnyNode
from protocol.wire.messages import ProposalMessage

REMEMBERED = 48


class Forger(Wrapper):
    """Forges out of what it heard."""

    PAUSE_MS = 25

    def __init__(self, inner: AnyNode, setup: NodeSetup, stage: Stage) -> None:
        super().__init__(inner, setup, stage)
        self.votes: list[Vote] = []
        self.certificates: list[Certificate] = []
        self.proposals: list[ProposalMessage] = []
        powers = [validator.power for validator in setup.genesis.validators]
        self.count, self.quorum = len(powers), 2 * sum(powers) // 3 + 1

    def heard(self, peer: bytes, data: bytes) -> list[Effect]:
        """Keep votes, certificates, proposals."""
        del peer
        self._keep(data)
        return []

    def lie(self, send: Send) -> list[Effect]:
        """Keep what the real node says as well."""
        self._keep(send.data)
        return [send]

    def _keep(self, data: bytes) -> None:
        head = data[:2]
        if head == VOTE_HEAD:
            self.votes = [*self.votes[-REMEMBERED:], decode(Vote, data)]
        elif head == CERTIFICATE_HEAD:
            self.certificates = [*self.certificates[-REMEMBERED:], decode(Certificate, data)]
        elif head == PROPOSAL_HEAD:
            self.proposals = [*self.proposals[-REMEMBERED:], decode(ProposalMessage, data)]

    def act(self) -> list[Effect]:
        """One forgery, to everyone or to one."""
        found = self.pick(_FORGERIES, self)
        data = None if found is None else encoded_or_none(found[1])
        if found is None or data is None:
            return []
        self.did(found[0])
        to_whom = self.to_all if self.generator.randrange(2) else self.to_one
        return to_whom(Priority.CONSENSUS, data)

    def genuine(self) -> Certificate | None:
        """A certificate that was heard, or one put together of votes that were heard: good, to begin with."""
        if self.certificates and self.generator.randrange(2):
            return self.generator.choice(self.certificates)
        if not self.votes:
            return None
        like = self.generator.choice(self.votes[-8:])
        same = {v.signer: v for v in self.votes if _statement(v) == _statement(like) and v.signer < self.count}
        return _certificate(like, {signer: vote.signature for signer, vote in same.items()}, self.count)

    def missing_signers(self, certificate: Certificate) -> list[int]:
        """Validators whose bit is not set, in random order."""
        bits = int.from_bytes(certificate.signers, "little")
        found = [index for index in range(self.count) if not bits >> index & 1]
        self.generator.shuffle(found)
        return found


def _statement(vote: Vote) -> tuple[int, int, int, Proposal | None]:
    return vote.kind, vote.epoch, vote.view, vote.proposal


def _signatures(certificate: Certificate) -> dict[int, bytes]:
    bits = int.from_bytes(certificate.signers, "little")
    signers = [index for index in range(bits.bit_length()) if bits >> index & 1]
    return dict(zip(signers, certificate.signatures, strict=False))


def _certificate(like: Vote | Certificate, signatures: dict[int, bytes], count: int) -> Certificate:
    bits = sum(1 << signer for signer in signatures)
    ordered = tuple(signatures[signer] for signer in sorted(signatures))
    bitmap = bits.to_bytes((count + 7) // 8, "little")
    return Certificate(like.kind, like.epoch, like.view, like.proposal, bitmap, ordered)


def _too_few(actor: Forger) -> Certificate | None:
    genuine = actor.genuine()
    if genuine is None:
        return None
    kept = dict(list(_signatures(genuine).items())[: actor.generator.randrange(1, max(2, len(genuine.signatures)))])
    powers = [validator.power for validator in actor.genesis.validators]
    return _certificate(genuine, kept, actor.count) if sum(powers[s] for s in kept) < actor.quorum else None


def _one_signer_twice(actor: Forger) -> Certificate | None:
    genuine = actor.genuine()
    if genuine is None:
        return None
    signature = actor.generator.choice(genuine.signatures)
    return _certificate(genuine, dict.fromkeys(range(actor.count), signature), actor.count)


def _filled_up(actor: Forger) -> Certificate | None:
    genuine = actor.genuine()
    if genuine is None:
        return None
    made_up = {signer: actor.generator.randbytes(64) for signer in actor.missing_signers(genuine)}
    return _certificate(genuine, {**_signatures(genuine), **made_up}, actor.count) if made_up else None


def _bits_moved(actor: Forger) -> Certificate | None:
    genuine = actor.genuine()
    missing = [] if genuine is None else actor.missing_signers(genuine)
    if genuine is None or not missing:
        return None
    signatures = _signatures(genuine)
    signatures[missing[0]] = signatures.pop(actor.generator.choice(list(signatures)))
    return _certificate(genuine, signatures, actor.count)


def _spare_bits(actor: Forger) -> Certificate | None:
    genuine = actor.genuine()
    if genuine is None:
        return None
    if actor.generator.randrange(2):
        return replace(genuine, signers=genuine.signers + b"\x00")
    bits = int.from_bytes(genuine.signers, "little") | 1 << actor.count
    wide = bits.to_bytes(actor.count // 8 + 1, "little")
    return replace(genuine, signers=wide, signatures=(*genuine.signatures, actor.generator.choice(genuine.signatures)))


def _more_bits_than_signatures(actor: Forger) -> Certificate | None:
    genuine = actor.genuine()
    full = (2**actor.count - 1).to_bytes((actor.count + 7) // 8, "little")
    return None if genuine is None or genuine.signers == full else replace(genuine, signers=full)


def _notarize_as_finalize(actor: Forger) -> Certificate | None:
    genuine = actor.genuine()
    wrong = genuine is None or genuine.kind != VoteKind.NOTARIZE
    return None if wrong or genuine is None else replace(genuine, kind=int(VoteKind.FINALIZE))


def _another_view(actor: Forger) -> Certificate | None:
    genuine = actor.genuine()
    if genuine is None:
        return None
    view = max(1, genuine.view + actor.generator.choice((-1, 1, 2, 50, 10**6)))
    proposal = None if genuine.proposal is None else replace(genuine.proposal, view=view, parent_view=view - 1)
    return replace(genuine, view=view, proposal=proposal) if view != genuine.view else None


def _another_payload(actor: Forger) -> Certificate | None:
    genuine = actor.genuine()
    if genuine is None or genuine.proposal is None:
        return None
    return replace(genuine, proposal=replace(genuine.proposal, payload=actor.generator.randbytes(32)))


def _another_epoch(actor: Forger) -> Certificate | None:
    genuine = actor.genuine()
    if genuine is None:
        return None
    epoch = genuine.epoch + actor.generator.choice((-1, 1))
    proposal = None if genuine.proposal is None else replace(genuine.proposal, epoch=epoch)
    return replace(genuine, epoch=epoch, proposal=proposal)


def _vote_in_anothers_name(actor: Forger) -> Vote | None:
    if not actor.votes:
        return None
    vote = actor.generator.choice(actor.votes[-8:])
    other = replace(vote, signer=actor.generator.randrange(actor.count), kind=actor.generator.randrange(3))
    if other.signer == actor.signer or (other.kind == VoteKind.NULLIFY) != (other.proposal is None):
        return None
    return replace(other, signature=actor.generator.choice((vote.signature, actor.generator.randbytes(64))))


def _own_vote_badly_signed(actor: Forger) -> Vote | None:
    if not actor.votes:
        return None
    return replace(actor.votes[-1], signer=actor.signer, signature=actor.generator.randbytes(64))


def _proposal_in_anothers_name(actor: Forger) -> ProposalMessage | None:
    if not actor.proposals:
        return None
    message = actor.proposals[-1]
    proposal = replace(message.proposal, view=message.proposal.view + actor.generator.randrange(1, 4))
    return replace(message, proposal=proposal)


Forgery = Certificate | Vote | ProposalMessage
_FORGERIES: dict[str, Callable[[Forger], Forgery | None]] = {
    "too few signers": _too_few,
    "one signer twice": _one_signer_twice,
    "signatures made up": _filled_up,
    "signers exchanged": _bits_moved,
    "spare bits": _spare_bits,
    "more bits than signatures": _more_bits_than_signatures,
    "notarize as finalize": _notarize_as_finalize,
    "another view's signatures": _another_view,
    "another payload's signatures": _another_payload,
    "another epoch's signatures": _another_epoch,
    "vote in another's name": _vote_in_anothers_name,
    "own vote badly signed": _own_vote_badly_signed,
    "proposal in another's name": _proposal_in_anothers_name,
}

FORGER = Actor("forges certificates, votes and proposals", plays(Forger), tuple(_FORGERIES))
