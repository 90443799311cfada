"""A member that never gives up its voting keys, and goes on voting with them after they were replaced (C-23).

It ignores `EraseKey`. On every vote that it hears it signs the opposite with each key that it ever had: as the place
in the set that the key had when it was in one, in the vote's epoch and in the one before. So it stands for a removed
node that goes on, and for a thief of keys after their epoch. Whoever takes such a statement for a validator's would
count votes that nobody may cast.
"""

from __future__ import annotations

from random import Random

from protocol.codec import decode, encode
from protocol.consensus.statements import CONTEXTS, Proposal, Vote, VoteKind, statement_bytes
from protocol.crypto.signing import SigningKey
from protocol.node.interface import Effect, EraseKey, Input, KeyFound, Now, Priority, Send
from protocol.node.setup import NodeSetup
from protocol.sim.byzantine import Wrapper
from protocol.sim.events import chance
from protocol.sim.facts import VOTE_HEAD
from protocol.sim.services import AnyNode

HEEDED_PER_MILLE = 200
"""Of the votes that it hears it answers so many."""


class Revenant(Wrapper):
    """See the essay."""

    def __init__(self, inner: AnyNode, setup: NodeSetup, generator: Random) -> None:
        super().__init__(inner, setup, generator)
        self.keys: dict[bytes, SigningKey] = {key.public: key for key in (self.key, *setup.more_voting_keys)}

    def step(self, given: Input, now: Now) -> list[Effect]:
        """As the real node, and remember every key."""
        if isinstance(given, KeyFound):
            self.keys[given.key.public] = given.key
        return super().step(given, now)

    def _changed(self, effects: list[Effect]) -> list[Effect]:
        return [effect for effect in super()._changed(effects) if not isinstance(effect, EraseKey)]

    def heard(self, data: bytes) -> list[Effect]:
        """The opposite of what was said, by all keys, in two epochs."""
        if data[:2] != VOTE_HEAD or not chance(self.generator, HEEDED_PER_MILLE) or not self.peers:
            return []
        vote = decode(Vote, data)
        sends: list[Effect] = []
        for key in self.keys.values():
            for epoch in (vote.epoch, max(1, vote.epoch - 1)):
                for signer in (vote.signer, self.generator.randrange(8)):
                    opposite = self._opposite(vote, epoch, signer, key)
                    sends.append(Send(tuple(self.peers), Priority.CONSENSUS, opposite))
        return sends

    def _opposite(self, vote: Vote, epoch: int, signer: int, key: SigningKey) -> bytes:
        if vote.proposal is None:
            proposal = Proposal(epoch, vote.view, vote.view - 1, self.generator.randbytes(32))
            kind = VoteKind.FINALIZE
        else:
            proposal, kind = None, VoteKind.NULLIFY
        payload = statement_bytes(kind, epoch, vote.view, proposal)
        signature = key.sign(CONTEXTS[kind], self.network_id, payload)
        return encode(Vote(int(kind), epoch, vote.view, proposal, signer, signature))
