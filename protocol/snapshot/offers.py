"""Why a snapshot's state is the network's: a chain of headers under a finalization (C-22, L-17).

The first header of an offer's chain names the results at the snapshot's height; each is the parent of the next, and a
quorum of the epoch's validators has finalized the last. Which validators those are follows from genesis over the end of
every epoch before. The offer is refused where an epoch ends in its chain: who takes part then would not be told by
the state at its height alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.codec import decode
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.errors import PROOF_BAD_CHAIN, PROOF_MALFORMED, PROOF_WRONG_PIN, PROOF_WRONG_VALIDATORS, Malformed
from protocol.ledger.closings import Closing, closes
from protocol.ledger.genesis import FIRST_EPOCH, Genesis, ValidatorSet, network_id, validator_set, validators_hash
from protocol.ledger.records import Executed, Header
from protocol.proofs.finality import ProofRefused, verify_closed, verify_header
from protocol.proofs.records import ClosedEpoch
from protocol.wire.snapshot import CHAIN_BYTES_MAX, SnapshotOffer


@dataclass(slots=True)
class EpochChain:
    """How far the chain of ended epochs was followed: the epoch after the last of them, and its set."""

    network_id: bytes
    validators: ValidatorSet
    first: ValidatorSet
    """The set of the first epoch."""
    epoch: int = FIRST_EPOCH
    height: int = 0
    """Of the block that closed the epoch before; 0 in the first."""
    closings: list[Closing] = field(default_factory=list)

    @staticmethod
    def of(genesis: Genesis) -> EpochChain:
        """At the first epoch."""
        validators = validator_set(genesis)
        return EpochChain(network_id(genesis), validators, validators)

    def at(self, epoch: int) -> EpochChain:
        """As it was when it had reached this epoch, which it has."""
        closings = self.closings[: epoch - FIRST_EPOCH]
        if not closings:
            return EpochChain(self.network_id, self.first, self.first)
        last = closings[-1]
        return EpochChain(self.network_id, last.validators, self.first, epoch, last.height, closings)

    def follow(self, closed: ClosedEpoch) -> None:
        """One epoch further. Raises ProofRefused, and nothing changed."""
        header, hashed = verify_closed(self.network_id, self.epoch, self.validators, closed, self.height)
        self.closings.append(Closing(self.epoch, header.height, hashed, closed.validators))
        self.epoch, self.validators, self.height = self.epoch + 1, closed.validators, header.height


@dataclass(frozen=True, slots=True)
class Offered:
    """An offer that was verified: the results at its height, and headers with their hashes, the naming one first."""

    executed: Executed
    headers: tuple[Header, ...]
    hashes: tuple[bytes, ...]

    @property
    def height(self) -> int:
        """Of the state."""
        return self.executed.height

    @property
    def named_by(self) -> Header:
        """The header that names the results."""
        return self.headers[0]

    @property
    def tip(self) -> Header:
        """The one with the finalization: the last block that comes with the snapshot."""
        return self.headers[-1]


def read_offer(offer: SnapshotOffer) -> Offered:
    """What an offer says, its form and its chain of hashes checked and nothing else. Raises Malformed."""
    if offer.height < 1 or not offer.chain or offer.finalization is None:
        raise Malformed("chain", "an offer of nothing")
    if sum(map(len, offer.chain)) > CHAIN_BYTES_MAX:
        raise Malformed("chain", "longer than any that is offered")
    headers = tuple([decode(Header, data) for data in offer.chain])
    hashes = tuple([digest(Domain.HEADER, data) for data in offer.chain])
    for below, hashed, header in zip(headers, hashes, headers[1:], strict=False):
        if header.parent != hashed or header.height != below.height + 1 or header.time_ms <= below.time_ms:
            raise Malformed("chain", f"header {header.height} does not stand on the one before it")
    named = headers[0].executed
    if named.height != offer.height or named.height >= headers[0].height:
        raise Malformed("height", f"the first header names the results of height {named.height}, not {offer.height}")
    return Offered(named, headers, hashes)


def verify_offer(epochs: EpochChain, offer: SnapshotOffer, pinned: tuple[int, bytes] | None = None) -> Offered:
    """The offer, if its last header is final in an epoch that `epochs` has reached. Raises ProofRefused.

    pinned: (height, hash) of a closing header that the operator knows for certain (C-23).
    """
    try:
        offered = read_offer(offer)
    except Malformed as fault:
        raise ProofRefused(PROOF_MALFORMED, fault.words) from fault
    assert offer.finalization is not None, "it was read"
    if not FIRST_EPOCH <= offered.tip.epoch <= epochs.epoch:
        raise ProofRefused(PROOF_WRONG_VALIDATORS, f"how epoch {epochs.epoch} ended is not proven")
    check_not_ended(epochs, offered)
    epochs = epochs.at(offered.tip.epoch)
    named = validators_hash(epochs.validators)
    if any(header.epoch != epochs.epoch or header.validators_hash != named for header in offered.headers):
        raise ProofRefused(PROOF_WRONG_VALIDATORS, f"a header that is not by the validators of epoch {epochs.epoch}")
    verify_header(
        epochs.network_id, epochs.epoch, epochs.validators, offer.chain[-1], offer.finalization, epochs.height
    )
    if offered.named_by.height <= epochs.height or any(closes(header) for header in offered.headers):
        raise ProofRefused(PROOF_BAD_CHAIN, "an epoch ends between the snapshot and its finalization")
    check_pin(epochs, pinned)
    return offered


def check_not_ended(epochs: EpochChain, offered: Offered) -> None:
    """C-23: trust in a set ends with its epoch, whatever its keys still sign. Raises ProofRefused."""
    ended = next((closing for closing in epochs.closings if closing.epoch == offered.tip.epoch), None)
    if ended is not None and offered.tip.height >= ended.height:
        words = f"header {offered.tip.height} is of epoch {ended.epoch}, which ended at height {ended.height}"
        raise ProofRefused(PROOF_WRONG_VALIDATORS, words)


def check_pin(epochs: EpochChain, pinned: tuple[int, bytes] | None) -> None:
    """C-23: the pinned closing header is in the chain. Raises ProofRefused.

    Offers from below it are refused too: validators of long ago could sign any, and nothing would say which is true.
    """
    if pinned is None:
        return
    if epochs.height < pinned[0]:
        raise ProofRefused(PROOF_WRONG_PIN, f"it is from before the pinned header at {pinned[0]}")
    if pinned not in {(closing.height, closing.hash) for closing in epochs.closings}:
        raise ProofRefused(PROOF_WRONG_PIN, f"no ended epoch was closed by header {pinned[1].hex()}")
