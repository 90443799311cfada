"""Shedding: what was fetched for a proposal leaves again when no block can need it (L-13).

A batch that a proposal references is taken beyond its author's share, else a leader could not be followed. Were it
kept until its expiry, a leader could fill everyone's memory turn by turn with batches that only its own, never
notarized, proposals reference. So whenever a view begins, what is *live* is worked out: the references of every header
that something rests on (a certificate, an own vote, what is final), and of proposals of this view and later ones. What
stands beyond its author's share and is not live is dropped, the newest first; a want that is not live counts as
announced only. What is dropped and needed after all (its block was notarized unseen) is wanted and fetched again.
"""

from __future__ import annotations

from protocol.dissemination import State
from protocol.node.body import Body


def shed(body: Body) -> None:
    """A view begins: drop what is beyond a share and not live."""
    crowded = [account for account in body.batches.count_of if body.batches.beyond(account)]
    wanted = [want for want in body.batch_wants.missing.values() if want.needed]
    if not crowded and not wanted:
        return
    live = live_references(body)
    for want in wanted:
        want.needed = want.digest in live
    for digest, held in reversed(list(body.batches.held.items()) if crowded else []):
        # One that is being checked would count on, and be checked again when it comes again.
        if held.state is State.READY and digest not in live and body.batches.beyond(held.account):
            body.batches.drop(digest)
            body.count("batches_shed")


def live_references(body: Body) -> set[bytes]:
    """Digests of batches that a block which can still become final may hold."""
    view = body.machine.core.view
    headers = body.pinned() | {payload for at, payload in body.proposed.items() if at >= view}
    known = [body.chain.known[hashed].header for hashed in sorted(headers) if hashed in body.chain.known]
    return {reference.digest for header in known for reference in header.references}
