"""The revenant never gives up its voting keys, and goes on voting with them after they were replaced (C-23).

It ignores `EraseKey`. On every vote that it hears it signs the opposite with each key that it ever had: as the place
in the set that the key had when it was in one, in the vote's epoch and in the one before. So it stands for a removed
node that goes on, and for a thief of keys after their epoch. Whoever takes such a statement for a validator's would
count votes that nobody may cast.
"""

from __future__ import annotations

from protocol.codec import decode, encode
from protocol.consensus.statements import CONTEXTS, Proposal, Vote, VoteKind, statement_bytes
from protocol.crypto.signing import SigningKey
from protocol.node.interface import Effect, EraseKey, Input, KeyFound, Now, Priority
from protocol.node.setup import NodeSetup
from protocol.sim.byzantine.actor import Actor, Stage, Wrapper, plays
from protocol.sim.events import chance
from protocol.sim.facts import VOTE_HEAD
from protocol.sim.services import AnyNode

HEEDED_PER_MILLE = 200
"""Of the votes that it hears it answers so many."""


class Revenant(Wrapper):
    """Keeps every key, and votes with all of them."""

    def __init__(self, inner: AnyNode, setup: NodeSetup, stage: Stage) -> None:
        super().__init__(inner, setup, stage)
        self.keys: dict[bytes, SigningKey] = stage.memory.setdefault("keys", {})
        self.keys.update({key.public: key for key in (self.key, *setup.more_voting_keys)})

    def step(self, given: Input, now: Now) -> list[Effect]:
        """As the real node, and remember every key."""
        if isinstance(given, KeyFound):
            self.keys[given.key.public] = given.key
        return super().step(given, now)

    def _changed(self, effects: list[Effect]) -> list[Effect]:
        kept: list[Effect] = [effect for effect in super()._changed(effects) if not isinstance(effect, EraseKey)]
        if len(kept) < len(effects):
            self.did("key not erased")
        return kept

    def heard(self, peer: bytes, data: bytes) -> list[Effect]:
        """The opposite of what was said, by all keys, in two epochs."""
        del peer
        if data[:2] != VOTE_HEAD or not chance(self.generator, HEEDED_PER_MILLE) or not self.peers:
            return []
        vote = decode(Vote, data)
        sends: list[Effect] = []
        for key in self.keys.values():
            for epoch in dict.fromkeys((vote.epoch, max(1, vote.epoch - 1))):
                self.did("vote of this epoch" if epoch == vote.epoch else "vote of an ended epoch")
                for signer in (vote.signer, self.generator.randrange(8)):
                    sends += self.to_all(Priority.CONSENSUS, self._opposite(vote, epoch, signer, key))
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


REVENANT = Actor(
    "never gives up its voting keys, and votes with all of them",
    plays(Revenant),
    ("key not erased", "vote of this epoch", "vote of an ended epoch"),
)
