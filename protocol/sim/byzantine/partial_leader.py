"""The partial leader: whatever it signs goes to some only, another part each time.

So one part of the network sees a proposal, a vote, a certificate that the other never hears of from it. What C-12 sends
again, and headers and batches that are asked for (L-15), have to make up for it.
"""

from __future__ import annotations

from dataclasses import replace

from protocol.node.interface import Effect, Send
from protocol.sim.byzantine.actor import Actor, Wrapper, plays
from protocol.sim.facts import CERTIFICATE_HEAD, PROPOSAL_HEAD, VOTE_HEAD

_NAMES = {PROPOSAL_HEAD: "proposal", VOTE_HEAD: "vote", CERTIFICATE_HEAD: "certificate"}


class PartialLeader(Wrapper):
    """Sends to some only."""

    def lie(self, send: Send) -> list[Effect]:
        """Proposals always to a part, votes and certificates often."""
        name = _NAMES.get(send.data[:2])
        if name is None or (name != "proposal" and self.generator.randrange(2)):
            return [send]
        to = self.some(send.to)
        self.did(f"{name} to some")
        return [replace(send, to=to)] if to else []


PARTIAL_LEADER = Actor(
    "sends what it signs to some only",
    plays(PartialLeader),
    ("proposal to some", "vote to some", "certificate to some"),
)
