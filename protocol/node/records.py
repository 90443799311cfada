"""Records of the journal that are only the node's (kinds 70 to 79). The others stand as they travel."""

from __future__ import annotations

from protocol.codec import U53, record


@record(kind=70)
class VoteFloor:
    """At and below this view of this epoch the validator never signs again (L-24)."""

    epoch: U53
    view: U53
