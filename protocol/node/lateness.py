"""Lateness: authors whose late batches made a view of this leader fail (L-15).

A leader may reference any batch that is ready here, and most are everywhere by then. An author that sends its batches
to the leader only, or so late that the others have to ask for them while the view's timer runs, would make every view
fail whose leader references them. The leader sees it: while its own proposal stands, a validator that lacks one of
its batches asks the leader for it, first of all. If the view is then nullified, the authors of the batches that were
asked for are *late*. Such an author's batches are referenced by this leader only once announcements show them ready
at quorum power, or with every validator that it is connected to, where these are fewer (in a ring or a star no node
hears a quorum announce); batches not ordered are announced each retry interval. One that has been here for four retry
intervals is referenced in any case: announcements and questions have carried it to whoever takes it. It lasts until a
proposal of this leader that references the author is notarized.

Whoever asks without need can at most make this leader wait for the announcement of what it references: other leaders
do not, and a view whose proposal is notarized makes nobody late. The proposals of a validator are its own turns, so one
proposal is remembered. Deliberately absent: charging the author (the network may be what is late).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from protocol.ledger.records import Reference


@dataclass(slots=True)
class Lateness:
    """What this leader's last proposal referenced, whose batches of it were asked for, and who is late."""

    view: int = 0
    """View of the last own proposal; 0: none."""
    authors: dict[bytes, bytes] = field(default_factory=dict)
    """Digest of each batch that it references -> voting key of the author."""
    asked: set[bytes] = field(default_factory=set)
    """Authors of those of them that a validator asked for."""
    late: set[bytes] = field(default_factory=set)
    """Authors that are held back."""

    def proposed(self, view: int, references: Iterable[Reference]) -> None:
        """This node proposes, as the leader of `view`."""
        self.view = view
        self.authors = {reference.digest: reference.author for reference in references}
        self.asked = set()

    def wanted(self, digest: bytes) -> None:
        """A validator lacks this batch."""
        author = self.authors.get(digest)
        if author is not None:
            self.asked.add(author)

    def nullified(self, view: int) -> None:
        """An own view failed: who was asked for is late."""
        if view == self.view:
            self.late |= self.asked

    def notarized(self, view: int) -> None:
        """An own proposal was notarized: a quorum holds what it references."""
        if view == self.view:
            self.late.difference_update(self.authors.values())
