"""Messages between nodes.

A message is one canonical record; its kind says what it is. What a peer may send stands in `MESSAGES`, and
`read` refuses everything else. Bounds are those of the fields; a message never passes
`limits.MESSAGE_BYTES_MAX`.

Deliberately absent: addresses, signatures of the sender (the channel proves who it is; what must convince
others is signed inside), compression.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

from protocol import limits
from protocol.codec import U53, Flag, Hash, Items, Octets, Range, Signature, decode, kind_of, record
from protocol.consensus.statements import Certificate, Proposal, Vote
from protocol.errors import Malformed
from protocol.ledger.records import Batch, Reference
from protocol.wire.memory import ChallengeMessage, RecollectionMessage
from protocol.wire.snapshot import (
    EpochsFound,
    EpochsWanted,
    HeadersBelow,
    HeadersBelowWanted,
    PiecesFound,
    PiecesWanted,
    ReceiptsFound,
    ReceiptsWanted,
    SnapshotOffer,
    SnapshotsWanted,
)

Digests = Annotated[tuple[Hash, ...], Items(1, limits.DIGESTS_REQUESTED_MAX)]


@record(kind=40, bytes_max=limits.HEADER_BYTES_MAX + 1024)
class ProposalMessage:
    """A leader's proposal: its own notarize signature, and the header whose hash is the payload."""

    proposal: Proposal
    signature: Signature
    header: Annotated[bytes, Octets(1, limits.HEADER_BYTES_MAX)]


@record(kind=41, bytes_max=4096)
class CertificatesWanted:
    """Send me the certificates of these views (C-20)."""

    epoch: U53
    views: Annotated[tuple[U53, ...], Items(1, limits.CERTIFICATES_REQUESTED_MAX)]


@record(kind=42, bytes_max=4096)
class BatchesWanted:
    """Send me these batches (L-15)."""

    digests: Digests


@record(kind=43, bytes_max=4096)
class HeadersWanted:
    """Send me the headers of these hashes (L-15)."""

    digests: Digests


@record(kind=44, bytes_max=limits.HEADER_BYTES_MAX + 1024)
class HeaderFound:
    """A header that was asked for."""

    header: Annotated[bytes, Octets(1, limits.HEADER_BYTES_MAX)]


@record(kind=45, bytes_max=limits.HEADER_BYTES_MAX)
class Announcement:
    """Batches that are ready here and not ordered yet (C-15, L-15)."""

    references: Annotated[tuple[Reference, ...], Items(1, limits.REFERENCES_MAX)]


@record(kind=46, bytes_max=128)
class Keepalive:
    """How far the sender is, and from which validators' nodes it hears directly (L-14).

    hears: a bitmap in the order of the set of `epoch`, as in a certificate: everyone says this to everyone all the
    time, so a key for each validator would make the bytes grow with the cube of their number.
    """

    view: U53
    final_view: U53
    final_height: U53
    executed_height: U53
    hears: Annotated[bytes, Octets(1, limits.VALIDATORS_MAX // 8)]
    accepting: Flag
    """False: the sender's pool is full, or its disk; observers pass envelopes to another."""
    epoch: U53 = 1
    """The epoch that the views are of, and the set."""


@record(kind=47, bytes_max=64)
class BlocksWanted:
    """Send me final blocks from this height on (block sync)."""

    first_height: Annotated[int, Range(1, limits.U53_MAX)]
    count: Annotated[int, Range(1, limits.SYNC_BLOCKS_MAX)]


@record(kind=48)
class BlockPart:
    """A part of a final block: header and finalization in the first, as many batches as fit in each.

    `finalization` is empty where none was formed for this very block; a later block's covers it. An answer
    ends with a part of `count` 0 at the height behind its last block.
    """

    height: Annotated[int, Range(1, limits.U53_MAX)]
    index: Annotated[int, Range(0, limits.REFERENCES_MAX)]
    count: Annotated[int, Range(0, limits.REFERENCES_MAX)]
    header: Annotated[bytes, Octets(0, limits.HEADER_BYTES_MAX)]
    finalization: Annotated[bytes, Octets(0, 64 * limits.KIB)]
    batches: Annotated[tuple[Annotated[bytes, Octets(1, limits.BATCH_BYTES_MAX)], ...], Items(0, limits.REFERENCES_MAX)]


@record(kind=49)
class EnvelopesRelayed:
    """An observer passes clients' envelopes on to a validator (L-16)."""

    envelopes: Annotated[tuple[Annotated[bytes, Octets(1, limits.ENVELOPE_BYTES_MAX)], ...], Items(1, 256)]


def heard_bitmap(places: Iterable[int], count: int) -> bytes:
    """`Keepalive.hears` for these places in a set of `count` validators: ceil(count / 8) bytes, spare bits zero."""
    return sum(1 << place for place in places).to_bytes((count + 7) // 8, "little")


def heard_places(bitmap: bytes, count: int) -> list[int]:
    """The places in `Keepalive.hears`, ascending. Raises Malformed if it is not one of a set of `count` validators."""
    bits = int.from_bytes(bitmap, "little")
    if len(bitmap) != (count + 7) // 8 or bits.bit_length() > count:
        raise Malformed("hears", f"expected a bitmap of {count} validators")
    return [place for place in range(count) if bits >> place & 1]


Message = (
    ProposalMessage
    | Vote
    | Certificate
    | CertificatesWanted
    | Batch
    | BatchesWanted
    | HeadersWanted
    | HeaderFound
    | Announcement
    | Keepalive
    | BlocksWanted
    | BlockPart
    | EnvelopesRelayed
    | ChallengeMessage
    | RecollectionMessage
    | SnapshotsWanted
    | SnapshotOffer
    | EpochsWanted
    | EpochsFound
    | PiecesWanted
    | PiecesFound
    | HeadersBelowWanted
    | HeadersBelow
    | ReceiptsWanted
    | ReceiptsFound
)

MESSAGES: Final[dict[int, type[Any]]] = {
    40: ProposalMessage,
    22: Vote,
    23: Certificate,
    41: CertificatesWanted,
    5: Batch,
    42: BatchesWanted,
    43: HeadersWanted,
    44: HeaderFound,
    45: Announcement,
    46: Keepalive,
    47: BlocksWanted,
    48: BlockPart,
    49: EnvelopesRelayed,
    57: ChallengeMessage,
    59: RecollectionMessage,
    80: SnapshotsWanted,
    81: SnapshotOffer,
    82: EpochsWanted,
    83: EpochsFound,
    84: PiecesWanted,
    85: PiecesFound,
    86: HeadersBelowWanted,
    87: HeadersBelow,
    88: ReceiptsWanted,
    89: ReceiptsFound,
}
"""What a peer may send, by kind."""


def read(data: bytes) -> Message:
    """The message in `data`. Raises Malformed."""
    kind = kind_of(data)
    cls = MESSAGES.get(kind) if kind is not None else None
    if cls is None:
        raise Malformed("", f"no message of kind {kind}")
    message: Message = decode(cls, data)
    return message
