"""Kept blocks as they travel between members: what no header's hash covers is judged here (R-15).

A header is named by the one above it, up to the last kept one, which the reports lead to; and a batch by its digest.
Two things in an encoded block are covered by neither: the signature of each batch's author, and the finalization. A
node that takes blocks from others while it runs checks both; so does who plans a restart with others' holdings, and who
begins with the blocks in a restart's folder. Else one bad copy would stand in the new network's inheritance for ever:
every audit would find it, and nobody would take it.

    is_signed(...)     of a batch from a disk, before it displaces another copy of the same digest
    check_path(...)    of all blocks from the last kept one down to those that the own segments hold

Deliberately absent: signatures of the envelopes. The digest covers them, and a quorum that notarized has checked them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from protocol.codec import decode
from protocol.consensus.statements import Certificate
from protocol.crypto.contexts import Context
from protocol.crypto.signing import signing_message, verify_message
from protocol.errors import RESTART_BAD_BLOCK, Malformed
from protocol.ledger.batch import open_batch
from protocol.ledger.closings import closes
from protocol.ledger.records import Batch, Block, Header, Reference, header_hash
from protocol.proofs.finality import ProofRefused, check_certificate
from protocol.restart.opening import RestartRefused
from protocol.restart.weighing import Weighed


def is_signed(network: bytes, data: bytes) -> bool:
    """Whether an encoded batch is of this network and carries its author's signature."""
    try:
        _, body, signature = open_batch(data)
    except Malformed:
        return False
    message = signing_message(Context.BATCH, network, decode(Batch, data).body)
    return body.network_id == network and verify_message(body.author, message, signature)


def by_height(blocks: Iterable[bytes]) -> dict[int, bytes]:
    """Encoded blocks by the height that their headers say. Raises RestartRefused if one does not read."""
    try:
        return {decode(Header, decode(Block, data).header).height: data for data in blocks}
    except Malformed as fault:
        raise RestartRefused(RESTART_BAD_BLOCK, f"one of the blocks does not read: {fault.words}") from fault


def check_path(weighed: Weighed, blocks: Mapping[int, bytes], above: int) -> bytes:
    """Judge the encoded blocks from the last kept one down to height `above` + 1.

    Gives the hash of the block at height `above` that they stand on. Raises RestartRefused(restart_bad_block).
    """
    hashed = header_hash(weighed.tip)
    for height in range(weighed.tip.height, above, -1):
        header = _check_block(weighed, height, hashed, blocks.get(height))
        hashed = header.parent
    return hashed


def _check_block(weighed: Weighed, height: int, hashed: bytes, data: bytes | None) -> Header:
    if data is None:
        raise _refused(height, "it is missing")
    try:
        block = decode(Block, data)
        header = decode(Header, block.header)
    except Malformed as fault:
        raise _refused(height, fault.words) from fault
    if header_hash(header) != hashed or header.height != height:
        raise _refused(height, "it is not the block that the reports lead to")
    _check_batches(weighed, header, block.batches)
    _check_finalization(weighed, header, block.finalization)
    return header


def _check_batches(weighed: Weighed, header: Header, batches: Sequence[bytes]) -> None:
    """Each is the one referenced, by a validator of the block's epoch, under its signature (L-13, L-18)."""
    voters = weighed.voters.get(header.epoch)
    if voters is None:
        raise _refused(header.height, f"no report shows the validators of its epoch {header.epoch}")
    if len(batches) != len(header.references):
        raise _refused(header.height, f"{len(batches)} batches, its header references {len(header.references)}")
    for index, (reference, data) in enumerate(zip(header.references, batches, strict=True)):
        words = _wrong_batch(weighed.network_id, reference, data)
        if not words and reference.author not in voters.keys:
            words = f"its author {reference.author.hex()} is no validator of epoch {header.epoch}"
        if words:
            raise _refused(header.height, f"batch {index}: {words}")


def _wrong_batch(network: bytes, reference: Reference, data: bytes) -> str:
    """What is wrong with a batch; empty if nothing is."""
    try:
        digest, body, _ = open_batch(data)
    except Malformed as fault:
        return fault.words
    if Reference(body.author, digest, len(data), len(body.envelopes)) != reference:
        return "it is not the one that the header references"
    return "" if is_signed(network, data) else f"it is not signed by its author {reference.author.hex()}"


def _check_finalization(weighed: Weighed, header: Header, data: bytes | None) -> None:
    """A quorum's of the block's epoch; a block that closed an epoch before the newest needs one (C-21)."""
    if data is None:
        if closes(header) and header.epoch < weighed.epoch:
            raise _refused(header.height, f"it closed epoch {header.epoch}, and comes without its finalization")
        return
    try:
        check_certificate(weighed.network_id, weighed.voters[header.epoch], decode(Certificate, data), header)
    except (Malformed, ProofRefused) as fault:
        raise _refused(header.height, f"its finalization: {fault.words}") from fault


def _refused(height: int, words: str) -> RestartRefused:
    return RestartRefused(RESTART_BAD_BLOCK, f"block {height}: {words}")
