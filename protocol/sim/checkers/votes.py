"""Votes: what no honest key ever signs (C-7, C-10), over every message ever sent and every disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.consensus.statements import Proposal, VoteKind
from protocol.sim.checkers.checker import Checker
from protocol.sim.facts import Signed
from protocol.sim.host import Host

if TYPE_CHECKING:
    from protocol.sim.bench import Bench


class Votes(Checker):
    """C-10 and C-7: what no honest key ever signs."""

    rule = "votes"

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self.by_view: dict[tuple[bytes, int, int], dict[VoteKind, Proposal | None]] = {}
        """(voting key, epoch, view) -> what was signed."""

    def signed(self, host: Host, fact: Signed) -> None:
        """Compare with what the same key signed in the same view."""
        voting_key = self.bench.facts.voters[fact.epoch].keys[fact.signer]
        if not self.bench.is_honest(voting_key):
            return
        votes = self.by_view.setdefault((voting_key, fact.epoch, fact.view), {})
        who = f"validator {fact.signer} of epoch {fact.epoch} signed in view {fact.view}"
        if fact.kind in votes:
            self.violated(f"{who} two statements {fact.kind.name.lower()}", host)
        votes[fact.kind] = fact.proposal
        if VoteKind.NULLIFY in votes and VoteKind.FINALIZE in votes:
            self.violated(f"{who} nullify and finalize", host)

    def booted(self, host: Host) -> None:
        """Every disk."""
        self.bench.read_journal(host)

    def ended(self) -> None:
        """Every disk, once more."""
        for host in self.bench.honest():
            self.bench.read_journal(host)
