"""The replayer: says again what was said before, by itself and by others, on this and on other connections.

Old votes, certificates, proposals, batches, keepalives, answers of sync: nothing of it may be taken for news, count
twice, or keep a silent leader active (C-13, C-18, L-14). Its memory outlives its crashes.
"""

from __future__ import annotations

from collections import deque

from protocol.node.interface import Effect, Priority, Send
from protocol.node.setup import NodeSetup
from protocol.sim.byzantine.actor import Actor, Stage, Wrapper, plays
from protocol.sim.facts import BATCH_HEAD, BLOCK_PART_HEAD
from protocol.sim.services import AnyNode

REMEMBERED = 1_500
AT_ONCE = 5

_PRIORITIES = {BATCH_HEAD: Priority.BATCHES, BLOCK_PART_HEAD: Priority.SYNC}


class Replayer(Wrapper):
    """Repeats."""

    PAUSE_MS = 20

    def __init__(self, inner: AnyNode, setup: NodeSetup, stage: Stage) -> None:
        super().__init__(inner, setup, stage)
        memory = stage.memory
        self.former: deque[tuple[bytes, bytes]] = deque(memory.get("said", ()), maxlen=REMEMBERED)
        """What former lives heard."""
        self.said: deque[tuple[bytes, bytes]] = deque(maxlen=REMEMBERED)
        """(who said it, message), of this life; our own under our own key."""
        memory["said"] = self.said
        self.name = setup.node_key

    def heard(self, peer: bytes, data: bytes) -> list[Effect]:
        """Keep it."""
        self.said.append((peer, data))
        return []

    def lie(self, send: Send) -> list[Effect]:
        """Keep our own as well."""
        self.said.append((self.name, send.data))
        return [send]

    def act(self) -> list[Effect]:
        """A few old messages, each to some peer or to all."""
        effects: list[Effect] = []
        for _ in range(AT_ONCE):
            old = self.former and not self.generator.randrange(4)
            source = self.former if old else self.said
            if not source:
                continue
            who, data = source[self.generator.randrange(len(source))]
            to = tuple(self.peers) if self.generator.randrange(4) == 0 else (self.generator.choice(list(self.peers)),)
            self.did(self._deed(bool(old), who, to))
            effects.append(Send(to, _PRIORITIES.get(data[:2], Priority.CONSENSUS), data))
        return effects

    def _deed(self, old: bool, who: bytes, to: tuple[bytes, ...]) -> str:
        if old:
            return "of a former life"
        if who == self.name:
            return "own again"
        return "back to its sender" if to == (who,) else "another's again"


REPLAYER = Actor(
    "says old messages again, its own and others'",
    plays(Replayer),
    ("own again", "another's again", "back to its sender", "of a former life"),
)
