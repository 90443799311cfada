"""Whether the bytes of a block are a final block of this network, at this height, on this parent.

The checks of a segment's frames find what a disk changes. They do not find what a program wrote wrongly, a file that
was put together by hand, or a block that another node sent. So a block is judged by what it says itself: its header
names its height and, by hash, the block below; each batch has the digest, length, author and number of envelopes that
the header references, under its author's signature; a finalization, where there is one, is a quorum's over exactly
this header, and a block that closes its epoch has one. What stands on genesis in an unbroken chain below a finalization
is final, whoever gave it.

**Epochs.** The first set is genesis'. The sets of later epochs are told by whoever makes the judge, with the block that
closed each epoch before (`closings`, from the state); a block of such an epoch has to name that set, and the block at
such a height has to be that block, so the chain of closing blocks is judged with the rest (C-22), and a state that
tells something else is found. Of an epoch whose set is not known here nothing is certified: then only what good blocks
above stand on is believed.

Clients' signatures are not checked again: a digest covers them, and a quorum stands for it. Execution is not repeated
here either (`state`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.codec import decode
from protocol.consensus.statements import Certificate
from protocol.consensus.validators import Validators
from protocol.crypto.contexts import Context
from protocol.crypto.signing import signing_message, verify_message
from protocol.errors import Malformed, PapilioError
from protocol.ledger.closings import Closing, closes
from protocol.ledger.genesis import FIRST_EPOCH, Genesis, network_id, validator_set, validators_hash
from protocol.ledger.records import Batch, BatchBody, Block, Header, Reference, batch_digest, header_hash
from protocol.ledger.succession import beginning_height
from protocol.proofs.finality import ProofRefused, check_certificate, voters_of


class NotFinal(PapilioError):
    """These bytes are not the block that they should be; the words say in what."""

    code = "peer_fault"


@dataclass(frozen=True, slots=True)
class Judged:
    """A block that holds together. certified: whether its own finalization stands under it."""

    height: int
    hash: bytes
    parent: bytes
    certified: bool
    block: Block
    header: Header


class Judge:
    """Judges blocks of one network. `genesis`: all that is believed. closings: of its ended epochs, as far as known."""

    def __init__(self, genesis: Genesis, closings: Sequence[Closing] = ()) -> None:
        self.network_id = network_id(genesis)
        self.beginning = beginning_height(genesis)
        """The height that the network begins at: 0, or where the one before it ended."""
        first = validator_set(genesis)
        self._sets: dict[int, tuple[bytes, Validators]] = {FIRST_EPOCH: (validators_hash(first), voters_of(first))}
        self._closings: dict[int, Closing] = {}
        for closing in closings:
            self._closings[closing.epoch] = closing
            self._sets[closing.epoch + 1] = validators_hash(closing.validators), voters_of(closing.validators)

    def judge(self, height: int, data: bytes) -> Judged:
        """The block of `height`, judged by itself: on which parent it stands is told, not judged. Raises NotFinal."""
        try:
            block = decode(Block, data)
            header = decode(Header, block.header)
            certificate = None if block.finalization is None else decode(Certificate, block.finalization)
            if header.height != height:
                raise NotFinal(f"its header says height {header.height}")
            if len(block.batches) != len(header.references):
                raise NotFinal(f"it has {len(block.batches)} batches where its header names {len(header.references)}")
            for at, (reference, batch) in enumerate(zip(header.references, block.batches, strict=True)):
                self._check_batch(at, reference, batch)
            certified = self._check_epoch(header, certificate)
        except Malformed as fault:
            raise NotFinal(f"it cannot be read: {fault.words}") from fault
        except ProofRefused as fault:
            raise NotFinal(f"its certificate: {fault.words}") from fault
        return Judged(height, header_hash(header), header.parent, certified, block, header)

    def _check_epoch(self, header: Header, certificate: Certificate | None) -> bool:
        """Whether the certificate stands under the block. Raises NotFinal, ProofRefused."""
        named, voters = self._sets.get(header.epoch, (header.validators_hash, None))
        if header.validators_hash != named:
            raise NotFinal(f"it is not by the validators of epoch {header.epoch}")
        closing = self._closings.get(header.epoch)
        if closing is not None and header.height > closing.height:
            raise NotFinal(f"epoch {header.epoch} ended at height {closing.height}")
        if closing is not None and header.height == closing.height and header_hash(header) != closing.hash:
            raise NotFinal(f"another block closed epoch {header.epoch}")
        if closes(header) and certificate is None:
            raise NotFinal("it closes its epoch and has no certificate of its own")
        if certificate is None or voters is None:
            return False
        check_certificate(self.network_id, voters, certificate, header)
        return True

    def _check_batch(self, at: int, reference: Reference, data: bytes) -> None:
        batch = decode(Batch, data)
        body = decode(BatchBody, batch.body)
        named = (reference.digest, reference.bytes, reference.author, reference.count)
        if (batch_digest(batch.body), len(data), body.author, len(body.envelopes)) != named:
            raise NotFinal(f"batch {at} is not the one that its header names")
        message = signing_message(Context.BATCH, self.network_id, batch.body)
        if not verify_message(reference.author, message, batch.signature):
            raise NotFinal(f"the author's signature of batch {at} is bad")

    def chain(self, first: int, blocks: Sequence[bytes], below: bytes | None, above: bytes | None) -> list[Judged]:
        """As many of `blocks`, from height `first` on, as prove to be final.

        below: hash of the block under them, None if that is not known. above: the parent that the block over all of
        them names, None if there is none; then they are final up to the last that has a certificate.

        Raises NotFinal for the first that does not fit. None at all is no lie: the certificate may stand higher up.
        """
        judged: list[Judged] = []
        for offset, data in enumerate(blocks):
            try:
                one = self.judge(first + offset, data)
            except NotFinal as fault:
                raise NotFinal(f"block {first + offset}: {fault.words}") from fault
            if below is not None and one.parent != below:
                raise NotFinal(f"block {one.height} does not stand on the one below it")
            below = one.hash
            judged.append(one)
        if above is not None:
            if judged and judged[-1].hash != above:
                raise NotFinal(f"block {judged[-1].height} is not the one on which the block above it stands")
            return judged
        while judged and not judged[-1].certified:
            judged.pop()
        return judged
