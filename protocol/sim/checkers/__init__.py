"""Checkers: what must hold, judged from what nodes persisted and said; each rule in a file of its own.

Independent of the code they check: bytes are decoded by the record classes and nothing else; quorums, signers,
hashes of headers and names of transactions are computed again (`protocol.sim.facts`). `Bench` is the watcher of all
hosts: it decodes a message once, establishes which key signed which statement, and asks every checker. The first
violation ends the run.

    agreement   no two honest nodes final on different blocks; nothing final undone; equal roots at equal heights
    validity    every final block valid; every root, outcome and receipt what an independent execution gives
    votes       no honest key ever signed what C-10 and C-7 forbid: every message, every disk
    durability  what was acknowledged as final is in the segments of every honest node in the end
    soundness   no honest node halts, fails, or breaks the order of its effects
    snapshots   what a joiner installs is the network's state, log and window; no node lacks a block that it needs
    bounds      no queue, pool, cache or table past its limit
    proofs      receipts verify offline; altered in one byte they do not; a liar's never do
    liveness    judged by the world, which knows when the last fault was: within a bound after it everything
                accepted is final or expired, on every honest node

`naive_ledger` and `naive_roots` are what validity and proofs compare with: the rules once more, as plainly as possible.

A statement counts as signed when its signature verifies, whoever said it: in a vote, a proposal, or a
certificate. Members that are byzantine in a run are held to nothing.

A new checker: a file with a class, a line in `CHECKERS`, and a planted bug in `tests/sim/test_planted.py` that it
catches: a checker that never fired is not trusted.
"""

from protocol.sim.checkers.agreement import Agreement
from protocol.sim.checkers.bounds import Bounds
from protocol.sim.checkers.checker import Checker
from protocol.sim.checkers.durability import Durability
from protocol.sim.checkers.proofs import Proofs
from protocol.sim.checkers.snapshots import Snapshots
from protocol.sim.checkers.soundness import Soundness
from protocol.sim.checkers.validity import Validity
from protocol.sim.checkers.votes import Votes

__all__ = ["CHECKERS", "Checker"]

CHECKERS: tuple[type[Checker], ...] = (Agreement, Validity, Votes, Durability, Soundness, Snapshots, Bounds, Proofs)
"""All that look on."""
