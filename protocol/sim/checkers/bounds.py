"""Bounds: no queue, pool, cache or table of an honest node passes its limit (C-18, L-13, L-31).

`protocol.sim.tables` finds every table of a node; `BOUNDS` says how large each may be, out of `protocol.limits` and the
constants beside the tables. A table that stands in no line of `BOUNDS` is nobody's: a test fails until it has one.
`SUMS` holds what is counted in bytes. All are looked at several times a second of every run, and once at its end.

Two bounds are of what the network has not made final yet, and grow with that on purpose: certificates and own votes
since the last final view (C-18: all are kept, for nobody else may hold them; what others show of an amnesiac's own may
be ahead of its view), and results of heights that no final header names yet.
"""

from __future__ import annotations

from collections.abc import Callable

from protocol import limits
from protocol.consensus.counting import CHECKS_IN_FLIGHT_MAX
from protocol.dissemination.batches import RECENT_BYTES_MAX
from protocol.dissemination.wants import WANTS_MAX
from protocol.gossip.neighbours import PASSED_REMEMBERED_MAX
from protocol.node.asking import ANSWERED_MAX
from protocol.node.body import (
    CLOSINGS_REMEMBERED_MAX,
    FORMER_KEYS_MAX,
    JOBS_MAX,
    VERIFIED_REMEMBERED_MAX,
    VOTING_KEYS_MAX,
    Body,
)
from protocol.node.chain import HEADERS_MAX
from protocol.node.epochs import AHEAD_MESSAGES_MAX
from protocol.node.lives import LIVES_MAX
from protocol.node.ordering import EXECUTING_BLOCKS_MAX, EXECUTING_BYTES_MAX
from protocol.node.talk import READS_IN_FLIGHT_MAX
from protocol.pool.pace import COUNTS_MAX
from protocol.sim.checkers.checker import Checker
from protocol.sim.checkers.joiner_bounds import JOINER_BOUNDS
from protocol.sim.host import Host
from protocol.sim.tables import sizes
from protocol.sync.blocks import WAITING_BLOCKS_MAX, WAITING_BYTES_MAX

VIEWS_MAX = limits.VIEW_RETENTION + limits.VIEW_LOOKAHEAD + 1
"""Views of which votes are kept..."""
KEPT_VIEWS_MAX = VIEWS_MAX + 1
"""...and the highest notarized one."""
LIVE_BLOCKS_MAX = 4
"""Blocks not final, or proposed a moment ago, whose batches stand beside their author's share (L-13)."""
SEALED_MAX = limits.UNORDERED_BATCHES_PER_AUTHOR_MAX * limits.BATCH_ENVELOPES_MAX
COUNTERS_MAX = 64
JOURNALED_MAX = 4_096
"""Records of a later epoch that a journal holds: it is rotated long before."""
BATCH_BYTES_MIN = 200
"""Keys, signatures and hashes of the smallest batch take more."""

Limit = Callable[[Body], int]


def _fixed(bound: int) -> Limit:
    return lambda _body: bound


def _validators(factor: int = 1) -> Limit:
    return lambda body: factor * len(body.roster.validators.keys)


def _views_not_final(body: Body) -> int:
    core = body.machine.core
    return max(core.view, core.highest_notarized) - core.final_view + 1


def _batches(body: Body) -> int:
    """Of one account: its share, and what live blocks reference."""
    return limits.UNORDERED_BATCHES_PER_AUTHOR_MAX + LIVE_BLOCKS_MAX * body.parameters.block_references_max


def _accounts(body: Body) -> int:
    return len(body.roster.keys) + limits.PEERS_MAX


def _all_batches(body: Body) -> int:
    shares = limits.UNORDERED_BATCHES_PER_AUTHOR_MAX * (len(body.roster.keys) + len(body.neighbours.peers))
    return shares + LIVE_BLOCKS_MAX * body.parameters.block_references_max


def _final_heights(body: Body) -> int:
    return body.parameters.batch_ttl_max + EXECUTING_BLOCKS_MAX + 1


def _sets(body: Body) -> int:
    """Of validators: that of each height that may still be named, and what was recalled at the start."""
    return _final_heights(body) + CLOSINGS_REMEMBERED_MAX + 2


BOUNDS: dict[str, Limit] = {
    "out": _fixed(0),
    "inbox": _fixed(0),
    "jobs": _fixed(
        JOBS_MAX + 2 * CHECKS_IN_FLIGHT_MAX + 3 * KEPT_VIEWS_MAX + READS_IN_FLIGHT_MAX + 1 + limits.POOL_ENVELOPES_MAX
    ),
    "undurable": lambda body: _all_batches(body) + 3 * _views_not_final(body) + 3 * VIEWS_MAX,
    "verified": _fixed(VERIFIED_REMEMBERED_MAX),
    "lateness.authors": lambda body: body.parameters.block_references_max,
    "lateness.asked": _validators(),
    "lateness.late": _validators(),
    "proposed": _fixed(VIEWS_MAX),
    "keys": _fixed(VOTING_KEYS_MAX),
    "nodes": lambda body: _sets(body) * limits.VALIDATORS_MAX,
    "sets": _sets,
    "next_sets": lambda body: _final_heights(body) + 1,
    "closings": _fixed(CLOSINGS_REMEMBERED_MAX),
    "former": _fixed(FORMER_KEYS_MAX),
    "journaled": _fixed(CLOSINGS_REMEMBERED_MAX),
    "journaled[].votes": _fixed(JOURNALED_MAX),
    "journaled[].proposals": _fixed(JOURNALED_MAX),
    "journaled[].certificates": _fixed(JOURNALED_MAX),
    "ahead": _fixed(limits.PEERS_MAX),
    "ahead[]": _fixed(AHEAD_MESSAGES_MAX),
    "relays": _fixed(limits.POOL_ENVELOPES_MAX + SEALED_MAX),
    "counters": _fixed(COUNTERS_MAX),
    "pool.waiting": _fixed(limits.POOL_ENVELOPES_MAX + SEALED_MAX),
    "pool.sealed": _fixed(SEALED_MAX),
    "pool.names": lambda body: len(body.pool.waiting) + len(body.pool.sealed),
    "pool.queues": lambda body: len(body.pool.waiting),
    "pool.queues[]": lambda body: len(body.pool.waiting),
    "pool.finals": _fixed(limits.FINALS_REMEMBERED_MAX),
    "pool.refused": _fixed(limits.REFUSED_REMEMBERED_MAX),
    "pool.pace.counts": _fixed(COUNTS_MAX),
    "batches.held": _all_batches,
    "batches.held[].announced_by": _validators(),
    "jobs[][].announced_by": _validators(),
    "batches.count_of": _accounts,
    "batches.bytes_of": _accounts,
    "batches.recent": _fixed(RECENT_BYTES_MAX // BATCH_BYTES_MIN),
    "batches.sealed_elsewhere": lambda body: sum(len(held.transactions) for held in body.batches.held.values()),
    "batch_wants.missing": _fixed(WANTS_MAX),
    "batch_wants.missing[].candidates": _fixed(limits.PEERS_MAX),
    "header_wants.missing": _fixed(WANTS_MAX),
    "header_wants.missing[].candidates": _fixed(limits.PEERS_MAX),
    "chain.known": _fixed(HEADERS_MAX),
    "chain.recent": _fixed(limits.VIEW_LOOKAHEAD),
    "chain.claims": _fixed(EXECUTING_BLOCKS_MAX),
    "chain.executing": _fixed(EXECUTING_BLOCKS_MAX),
    "chain.final_hashes": _final_heights,
    "chain.final_used": _final_heights,
    "chain.used": lambda body: _final_heights(body) * body.parameters.block_references_max,
    "chain.results": _final_heights,
    "memory.answered": _validators(),
    "memory.answered[]": _fixed(ANSWERED_MAX),
    "memory.answers": _validators(),
    "memory.life_of": _fixed(limits.PEERS_MAX),
    "memory.lives": _validators(),
    "memory.lives[].heard_ms": _fixed(LIVES_MAX),
    "memory.lives[].twins": _fixed(LIVES_MAX),
    "memory.lives[].views": _fixed(LIVES_MAX),
    "mending.avoid": _fixed(limits.PEERS_MAX),
    "mending.wanted": _fixed(limits.MEND_WANTED_MAX),
    "neighbours.peers": _fixed(limits.PEERS_MAX),
    "neighbours.peers[].hears": _fixed(limits.VALIDATORS_MAX),
    "neighbours.passed": _fixed(PASSED_REMEMBERED_MAX),
    "sync.parts": _fixed(limits.SYNC_BLOCKS_MAX),
    "sync.parts[]": _fixed(limits.REFERENCES_MAX),
    "sync.pending": _fixed(WAITING_BLOCKS_MAX),
    "sync.pending[].batches": _fixed(limits.REFERENCES_MAX),
    "sync.avoid": _fixed(limits.PEERS_MAX),
    "machine.core.activity.highest": _validators(),
    "machine.core.activity.risen_ms": _validators(),
    "machine.core.channels": _validators(),
    "machine.core.certificate_checks": _fixed(CHECKS_IN_FLIGHT_MAX),
    "machine.core.evidence_checks": _fixed(CHECKS_IN_FLIGHT_MAX),
    "machine.core.vote_checks": _fixed(3 * KEPT_VIEWS_MAX),
    "machine.core.early": _fixed(limits.VIEW_LOOKAHEAD + 1),
    "machine.core.equivocated": _fixed(VIEWS_MAX),
    "machine.core.keeper.proven": _validators(KEPT_VIEWS_MAX),
    "machine.core.keeper.views": _fixed(KEPT_VIEWS_MAX),
    "machine.core.keeper.views[].checking": _fixed(3),
    "machine.core.keeper.views[].powers": _fixed(3),
    "machine.core.keeper.views[].slots[]": _validators(),
    "machine.core.notarizations": _views_not_final,
    "machine.core.nullifications": _views_not_final,
    "machine.core.own": lambda body: _views_not_final(body) + limits.VIEW_LOOKAHEAD,
    "machine.core.peers": _fixed(limits.PEERS_MAX),
    "machine.core.peers[].sent": lambda body: 3 * (_views_not_final(body) + VIEWS_MAX),
    "machine.core.timers": _fixed(5),
}
"""Path of a table -> the most entries that it may have, in this node now."""

SUMS: dict[str, tuple[Callable[[Body], int], Limit]] = {
    "pool.waiting_bytes": (
        lambda body: body.pool.waiting_bytes + body.checking_bytes,
        _fixed(2 * limits.POOL_BYTES_MAX),
    ),
    "batches.recent_bytes": (lambda body: body.batches.recent_bytes, _fixed(RECENT_BYTES_MAX)),
    "batches.count_of[]": (lambda body: max(body.batches.count_of.values(), default=0), _batches),
    "batches.bytes_of[]": (
        lambda body: max(body.batches.bytes_of.values(), default=0),
        lambda body: limits.UNORDERED_BYTES_PER_AUTHOR_MAX + LIVE_BLOCKS_MAX * body.parameters.block_bytes_max,
    ),
    "chain.executing_bytes": (
        lambda body: body.chain.executing_bytes,
        _fixed(EXECUTING_BYTES_MAX + limits.BLOCK_BYTES_MAX + limits.MIB),
    ),
    "sync.waiting_bytes": (
        lambda body: body.sync.waiting_bytes,
        _fixed(WAITING_BYTES_MAX + limits.BLOCK_BYTES_MAX + limits.MESSAGE_BYTES_MAX),
    ),
}
"""What -> (how much it is, the most that it may be)."""


class Bounds(Checker):
    """Every table within its limit."""

    rule = "bounds"

    def sampled(self, host: Host) -> None:
        """Look at all tables of an honest node, or of what joins in its place."""
        if host.joiner is not None and host.honest:
            joining = host.joiner.machine
            for path, size in sizes(joining).items():
                if path in JOINER_BOUNDS:
                    self._compare(host, f"joining {path}", size, JOINER_BOUNDS[path](joining))
        body = getattr(host.node, "body", None)
        if body is None or not host.honest:
            return
        for path, size in sizes(body).items():
            limit = BOUNDS.get(path)
            if limit is not None:
                self._compare(host, path, size, limit(body))
        for name, (measure, limit) in SUMS.items():
            self._compare(host, name, measure(body), limit(body))

    def _compare(self, host: Host, name: str, size: int, bound: int) -> None:
        if size > bound:
            self.violated(f"{name} is {size}, more than {bound}", host)
