"""The vote keeper: bounded slots, lazy checking, quorums (C-8, C-9, C-17 to C-19).

One slot for each (view, kind, validator). A vote that came over its signer's own channel may wait in its
slot unverified; the keeper asks for signatures to be checked only when the votes for one statement could
make a quorum, all of them together, one check in flight for each view and kind. A bad one is taken out
and its sender charged; the rest stay. A verified vote displaces an unverified one. Two different
statements that C-10 forbids are evidence once both signatures are known to be good.

Deliberately absent: any opinion on what a quorum means. The machine decides that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.consensus.statements import Certificate, Proposal, Vote, VoteKind
from protocol.consensus.validators import Validators

_OPPOSITES = (None, VoteKind.FINALIZE, VoteKind.NULLIFY)
"""Of each kind, by its number, the one that C-10 forbids beside it in one view."""


@dataclass(slots=True)
class Slot:
    """A vote in its place, and whether its signature was checked."""

    vote: Vote
    verified: bool


@dataclass(slots=True)
class ViewVotes:
    """The votes of one view: by kind, then by signer. `checking` are kinds with a check in flight."""

    slots: tuple[dict[int, Slot], dict[int, Slot], dict[int, Slot]] = field(default_factory=lambda: ({}, {}, {}))
    powers: list[int] = field(default_factory=lambda: [0, 0, 0])
    """Power behind any statement of each kind: below a quorum there is nothing to count."""
    checking: set[int] = field(default_factory=set)


class VoteKeeper:
    """All votes of the views in reach."""

    def __init__(self, validators: Validators) -> None:
        self.validators = validators
        self.views: dict[int, ViewVotes] = {}
        self.proven: set[tuple[int, int]] = set()
        """(signer, view) for which evidence was found: once is enough."""

    def add(self, vote: Vote, *, verified: bool) -> Vote | None:
        """Put a vote in its slot. Returns a vote that conflicts with it, if one is held: possible evidence."""
        votes = self.views.get(vote.view)
        if votes is None:
            votes = self.views[vote.view] = ViewVotes()
        slots = votes.slots[vote.kind]
        held = slots.get(vote.signer)
        conflict = self.conflict_of(vote, vote.signer)
        if held is None:
            slots[vote.signer] = Slot(vote, verified)
            votes.powers[vote.kind] += self.validators.powers[vote.signer]
        elif same_statement(held.vote, vote):
            if verified and not held.verified:
                slots[vote.signer] = Slot(vote, verified)
        elif verified and not held.verified:
            slots[vote.signer] = Slot(vote, verified)
        return conflict

    def conflict_of(self, stated: Vote | Certificate, signer: int) -> Vote | None:
        """A held vote of this signer in that view that C-10 forbids together with what it `stated`."""
        votes = self.views.get(stated.view)
        if votes is None or (self.proven and (signer, stated.view) in self.proven):
            return None
        held = votes.slots[stated.kind].get(signer)
        if held is not None and held.vote.proposal != stated.proposal:
            return held.vote
        opposite = _OPPOSITES[stated.kind]
        other = None if opposite is None else votes.slots[opposite].get(signer)
        return None if other is None else other.vote

    def power_of(self, view: int, kind: VoteKind) -> int:
        """Power behind any statement of this kind in this view, checked or not."""
        votes = self.views.get(view)
        return 0 if votes is None else votes.powers[kind]

    def group(self, view: int, kind: VoteKind) -> list[Slot]:
        """The votes for the statement of this kind with most power, ordered by signer; empty below a quorum."""
        votes = self.views.get(view)
        if votes is None or votes.powers[kind] < self.validators.quorum:
            return []
        groups: dict[Proposal | None, list[Slot]] = {}
        for signer in sorted(votes.slots[kind]):
            slot = votes.slots[kind][signer]
            groups.setdefault(slot.vote.proposal, []).append(slot)
        for slots in groups.values():
            if self._power(slots) >= self.validators.quorum:
                return slots
        return []

    def _power(self, slots: list[Slot]) -> int:
        return sum(self.validators.powers[slot.vote.signer] for slot in slots)

    def certificate(self, view: int, kind: VoteKind) -> Certificate | None:
        """A certificate if verified votes for one statement make a quorum; no more signatures than it needs."""
        chosen: list[Slot] = []
        power = 0
        for slot in self.group(view, kind):
            if not slot.verified or power >= self.validators.quorum:
                continue
            chosen.append(slot)
            power += self.validators.powers[slot.vote.signer]
        if power < self.validators.quorum:
            return None
        first = chosen[0].vote
        bitmap = bytearray((len(self.validators.keys) + 7) // 8)
        for slot in chosen:
            bitmap[slot.vote.signer // 8] |= 1 << (slot.vote.signer % 8)
        signatures = tuple(slot.vote.signature for slot in chosen)
        return Certificate(int(kind), first.epoch, view, first.proposal, bytes(bitmap), signatures)

    def unchecked(self, view: int, kind: VoteKind) -> list[Vote]:
        """Votes to be checked now: those of a possible quorum, unless a check is in flight."""
        votes = self.views.get(view)
        if votes is None or kind in votes.checking:
            return []
        return [slot.vote for slot in self.group(view, kind) if not slot.verified]

    def settle(self, vote: Vote, *, good: bool) -> bool:
        """Note the result of a check. Returns True if a bad vote was taken out of its slot."""
        votes = self.views.get(vote.view)
        slot = None if votes is None else votes.slots[vote.kind].get(vote.signer)
        if votes is None or slot is None or slot.vote != vote:
            return False
        if good:
            slot.verified = True
            return False
        del votes.slots[vote.kind][vote.signer]
        votes.powers[vote.kind] -= self.validators.powers[vote.signer]
        return True

    def prune(self, lowest: int, keep: int) -> None:
        """Forget views below `lowest`, but for `keep` (the highest notarized view)."""
        for view in [view for view in self.views if view < lowest and view != keep]:
            del self.views[view]
        if self.proven:
            self.proven = {entry for entry in self.proven if entry[1] >= lowest}


def same_statement(first: Vote, second: Vote) -> bool:
    """Whether two votes of one signer state the same."""
    return first.kind == second.kind and first.view == second.view and first.proposal == second.proposal
