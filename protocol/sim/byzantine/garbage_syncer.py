"""The garbage syncer: says that it is far ahead, and answers who asks for blocks with anything but them.

Wrong blocks, truncated ranges, a chain of its own with forged finalizations, parts without end, nothing. A node that
catches up believes only what proves itself, keeps no more than the bounds of sync allow, and turns to another peer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from protocol import limits
from protocol.codec import decode, encode
from protocol.consensus.statements import Certificate, Proposal, VoteKind
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.ledger.records import Batch, Block, Header
from protocol.node.interface import Effect, Priority, Send
from protocol.node.setup import NodeSetup
from protocol.sim.byzantine.actor import Actor, Stage, Wrapper, encoded_or_none, plays
from protocol.sim.facts import BLOCK_PART_HEAD, BLOCKS_WANTED_HEAD, KEEPALIVE_HEAD
from protocol.sim.services import AnyNode
from protocol.sync import end_of_answer, parts_of
from protocol.wire.messages import BlockPart, BlocksWanted, Keepalive

BOAST = 100
"""Heights that it claims to be ahead."""
DRIP_TURNS = 30
"""Turns from one drop to the next: just often enough not to be given up (four retry intervals)."""
SHOWN_MAX = 12
"""Blocks of one answer: the rest is left out anyway."""


class GarbageSyncer(Wrapper):
    """Answers sync with garbage."""

    PAUSE_MS = 15

    def __init__(self, inner: AnyNode, setup: NodeSetup, stage: Stage) -> None:
        super().__init__(inner, setup, stage)
        self.endless: dict[bytes, tuple[int, bool]] = {}
        """Peers that get parts without end: the height that they want, and whether to go beyond all bounds."""
        self.dripping: dict[bytes, int] = {}
        """Peers that get a block now and then, and which is next."""
        self.turn = 0
        self.heights: dict[bytes, int] = {}
        """Final height that each peer told."""

    def lie(self, send: Send) -> list[Effect]:
        """Boast before who is behind, and now and then before others; keep true answers back."""
        if send.data[:2] != KEEPALIVE_HEAD:
            return [] if send.data[:2] == BLOCK_PART_HEAD else [send]
        told = decode(Keepalive, send.data)
        fooled = tuple(peer for peer in send.to if self._is_behind(peer, told) or not self.generator.randrange(30))
        others = tuple(peer for peer in send.to if peer not in fooled)
        boast = encode(replace(told, final_height=told.final_height + BOAST))
        if fooled:
            self.did("boasts")
        return [replace(send, to=to, data=data) for to, data in ((fooled, boast), (others, send.data)) if to]

    def _is_behind(self, peer: bytes, told: Keepalive) -> bool:
        return self.heights.get(peer, told.final_height) < told.final_height - 2

    def heard(self, peer: bytes, data: bytes) -> list[Effect]:
        """Whoever asks gets garbage."""
        if data[:2] == KEEPALIVE_HEAD:
            self.heights[peer] = decode(Keepalive, data).final_height
        if data[:2] != BLOCKS_WANTED_HEAD:
            return []
        first = decode(BlocksWanted, data).first_height
        self.endless.pop(peer, None)
        if self.dripping.pop(peer, None) is not None and self.generator.randrange(2):
            self.dripping[peer] = first
            return []
        found = self.pick(_OF_TRUE_BLOCKS if self.true_blocks(first) else _ANSWERS, self, peer, first)
        if found is None:
            return []
        self.did(found[0])
        return [Send((peer,), Priority.SYNC, part) for part in found[1]]

    def act(self) -> list[Effect]:
        """More of what has no end: parts of blocks that never get whole, the same again and again, or too far on."""
        self.turn += 1
        effects: list[Effect] = []
        for peer, (first, wide) in list(self.endless.items()):
            if peer not in self.peers:
                del self.endless[peer]
                continue
            height = first + 1 + self.turn % (limits.SYNC_BLOCKS_MAX * 2 if wide else limits.SYNC_BLOCKS_MAX - 2)
            filler = self.generator.randbytes(2_000)
            part = encode(BlockPart(height, 0, 1, filler, b"", ()))
            more = encode(BlockPart(first, 1 + self.turn % 60, limits.REFERENCES_MAX, b"", b"", (filler,)))
            effects += [Send((peer,), Priority.SYNC, part), Send((peer,), Priority.SYNC, more)]
        return effects + self._drops()

    def _drops(self) -> list[Effect]:
        """One true block at a time, slower than the chain grows."""
        effects: list[Effect] = []
        for peer, height in list(self.dripping.items()):
            block = self.true_blocks(height)[:1]
            if peer not in self.peers:
                del self.dripping[peer]
            elif block and self.turn % DRIP_TURNS == 0:
                self.dripping[peer] = height + 1
                effects += [Send((peer,), Priority.SYNC, part) for part in parts_of(height, block[0])]
        return effects

    def true_blocks(self, first: int) -> list[bytes]:
        """What an honest node would send."""
        blocks = self.stage.host.disk.blocks
        heights = range(max(first, 0), first + SHOWN_MAX)
        return [stored.data for stored in map(blocks.at, heights) if stored is not None]


Parts = list[bytes]


def _nothing(_actor: GarbageSyncer, _peer: bytes, _first: int) -> Parts | None:
    return []


def _ends_at_once(_actor: GarbageSyncer, _peer: bytes, first: int) -> Parts | None:
    return [end_of_answer(first)]


def _no_end(actor: GarbageSyncer, _peer: bytes, first: int) -> Parts | None:
    blocks = actor.true_blocks(first)[:2]
    return [part for offset, data in enumerate(blocks) for part in parts_of(first + offset, data)] or None


def _hole(actor: GarbageSyncer, _peer: bytes, first: int) -> Parts | None:
    blocks = actor.true_blocks(first)
    parts = [part for offset, data in enumerate(blocks) if offset != 1 for part in parts_of(first + offset, data)]
    return [*parts, end_of_answer(first + len(blocks))] if len(blocks) > 1 else None


def _changed(actor: GarbageSyncer, first: int, change: Callable[[Block], Block | None]) -> Parts | None:
    """True blocks, the first that `change` can do something with changed."""
    parts: Parts = []
    done = False
    blocks = actor.true_blocks(first)
    for offset, data in enumerate(blocks):
        changed = None if done else change(decode(Block, data))
        done = done or changed is not None
        encoded = data if changed is None else encoded_or_none(changed)
        parts += [] if encoded is None else parts_of(first + offset, encoded)
    return [*parts, end_of_answer(first + len(blocks))] if done else None


def _header_changed(actor: GarbageSyncer, _peer: bytes, first: int) -> Parts | None:
    def change(block: Block) -> Block | None:
        header = decode(Header, block.header)
        return replace(block, header=encode(replace(header, time_ms=header.time_ms + 1)))

    return _changed(actor, first, change)


def _batch_changed(actor: GarbageSyncer, _peer: bytes, first: int) -> Parts | None:
    """The author's signature, which no digest covers."""

    def change(block: Block) -> Block | None:
        if not block.batches:
            return None
        batch = decode(Batch, block.batches[0])
        broken = replace(batch, signature=actor.generator.randbytes(64))
        return replace(block, batches=(encode(broken), *block.batches[1:]))

    return _changed(actor, first, change)


def _batch_missing(actor: GarbageSyncer, _peer: bytes, first: int) -> Parts | None:
    return _changed(actor, first, lambda block: replace(block, batches=block.batches[1:]) if block.batches else None)


def _finalization_changed(actor: GarbageSyncer, _peer: bytes, first: int) -> Parts | None:
    def change(block: Block) -> Block | None:
        if block.finalization is None:
            return None
        certificate = decode(Certificate, block.finalization)
        signatures = (actor.generator.randbytes(64), *certificate.signatures[1:])
        forged = actor.generator.choice(
            (b"\x00", encode(replace(certificate, signatures=signatures)), encode(replace(certificate, kind=0)))
        )
        return replace(block, finalization=forged)

    return _changed(actor, first, change)


def _other_heights(actor: GarbageSyncer, _peer: bytes, first: int) -> Parts | None:
    blocks = actor.true_blocks(1)
    return [part for offset, data in enumerate(blocks) for part in parts_of(first + offset, data)] if blocks else None


def _another_chain(actor: GarbageSyncer, _peer: bytes, first: int) -> Parts | None:
    """Blocks of its own on the asker's tip, each well linked, the last under a finalization that it signed alone."""
    below = actor.true_blocks(first - 1)[:1] if first > 1 else []
    like = actor.true_blocks(first)[:1]
    if not like or (first > 1 and not below):
        return None
    header = decode(Header, decode(Block, like[0]).header)
    parent = digest(Domain.HEADER, decode(Block, below[0]).header) if below else actor.network_id
    parts: Parts = []
    for offset in range(SHOWN_MAX):
        own = replace(header, height=first + offset, parent=parent, references=(), time_ms=header.time_ms + 7 * offset)
        data = encode(own)
        parent = digest(Domain.HEADER, data)
        finalization = _alone(actor, parent, first + offset) if offset == SHOWN_MAX - 1 else None
        parts += parts_of(first + offset, encode(Block(data, (), finalization)))
    return [*parts, end_of_answer(first + SHOWN_MAX)]


def _alone(actor: GarbageSyncer, payload: bytes, view: int) -> bytes:
    proposal = Proposal(1, view + 1, view, payload)
    signature = actor.sign(VoteKind.FINALIZE, 1, view + 1, proposal)
    count = len(actor.genesis.validators)
    everyone = (2**count - 1).to_bytes((count + 7) // 8, "little")
    return encode(Certificate(int(VoteKind.FINALIZE), 1, view + 1, proposal, everyone, (signature,) * count))


def _without_end(actor: GarbageSyncer, peer: bytes, first: int) -> Parts | None:
    actor.endless[peer] = (first, actor.generator.randrange(2) == 1)
    return []


def _drip(actor: GarbageSyncer, peer: bytes, first: int) -> Parts | None:
    actor.dripping[peer] = first
    return []


def _counts_that_differ(actor: GarbageSyncer, _peer: bytes, first: int) -> Parts | None:
    filler = actor.generator.randbytes(50)
    return [
        encode(BlockPart(first, index, count, filler, b"", (filler,)))
        for index, count in ((1, 3), (0, 64), (2, 5), (5, 5), (1, 2))
    ]


_ANSWERS: dict[str, Callable[[GarbageSyncer, bytes, int], Parts | None]] = {
    "nothing": _nothing,
    "ends at once": _ends_at_once,
    "blocks of other heights": _other_heights,
    "parts without end": _without_end,
    "counts that differ": _counts_that_differ,
}
_OF_TRUE_BLOCKS: dict[str, Callable[[GarbageSyncer, bytes, int], Parts | None]] = {
    "a drop at a time": _drip,
    "no end": _no_end,
    "a hole": _hole,
    "header changed": _header_changed,
    "batch changed": _batch_changed,
    "batch missing": _batch_missing,
    "finalization changed": _finalization_changed,
    "another chain": _another_chain,
}
"""What needs blocks that the asker lacks and this node has."""

GARBAGE_SYNCER = Actor(
    "answers who catches up with garbage", plays(GarbageSyncer), ("boasts", *_ANSWERS, *_OF_TRUE_BLOCKS)
)
