"""The silent leader: follows, votes, and never proposes. Everyone waits for it, until it counts as inactive (C-13)."""

from __future__ import annotations

from protocol.node.interface import Effect, Send
from protocol.sim.byzantine.actor import Actor, Wrapper, plays
from protocol.sim.facts import PROPOSAL_HEAD


class SilentLeader(Wrapper):
    """Never sends a proposal."""

    def lie(self, send: Send) -> list[Effect]:
        """Proposals vanish."""
        if send.data[:2] != PROPOSAL_HEAD:
            return [send]
        self.did("proposal kept back")
        return []


SILENT_LEADER = Actor("never proposes", plays(SilentLeader), ("proposal kept back",))
