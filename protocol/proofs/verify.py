"""Verification of proof files, offline, with the network's genesis alone (L-21).

    verify_receipt_proof(genesis_bytes, proof_bytes) -> VerifiedReceipt
    verify_state_proof(genesis_bytes, proof_bytes) -> VerifiedState

Every byte counts: a proof is one canonical record, every field of it is checked against something signed by a
quorum or by the sender, and every signature in it is verified. What comes back says what was proven and nothing
else; in particular a receipt of a *failed* envelope is proven as failed (`VerifiedReceipt.ok` is False).

A proof of *absence* holds for every key whose path through the trie ends at the same empty place: such a file with
another key in it may verify, and then says something else that is true. Compare the key with the one you asked for.
What is no key of a space as the network's rules declare it, is always absent, and is refused: whoever reads a key in
words cannot see of which types its parts are.

**Networks that go on from another** (`ledger.succession`): one log of receipts runs through all of them, so a proof
under the newer network's headers may be of a receipt of an earlier one. Its envelope then has to name that earlier
network.

Not proven, and so not said: that the signers could act for the account at that time (execution decided it, the
quorum stands for it), and the position of anything outside the proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from protocol.apps.registry import rules_at
from protocol.codec import decode
from protocol.crypto import log, trie
from protocol.crypto.signing import verify_message
from protocol.errors import (
    OK,
    PROOF_BAD_ENVELOPE,
    PROOF_BAD_GENESIS,
    PROOF_MALFORMED,
    PROOF_NOT_IN_LOG,
    PROOF_NOT_IN_STATE,
    PROOF_WRONG_NETWORK,
    PROOF_WRONG_RECEIPT,
    Malformed,
    OperatorFault,
    Refused,
)
from protocol.ledger.added import PAGES, AddedPage, AddedRecord
from protocol.ledger.envelope import ParsedEnvelope, parse_envelope, signature_items
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.records import Receipt
from protocol.ledger.spaces import Space, is_added_key, parse_state_key
from protocol.ledger.succession import ancestors_of, decode_genesis, home_of
from protocol.proofs.finality import FinalHeader, ProofRefused, verify_finality
from protocol.proofs.records import ReceiptProof, StateProof

T = TypeVar("T")
Spaces = Mapping[str, Space[Any]]


class VerifiedReceipt(NamedTuple):
    """What a receipt proof has proven."""

    network: str
    network_id: bytes
    envelope: ParsedEnvelope
    receipt: Receipt
    log_index: int
    final: FinalHeader

    @property
    def ok(self) -> bool:
        """Whether the operations were applied; False means that they were refused and changed nothing."""
        return self.receipt.code == OK


class VerifiedState(NamedTuple):
    """What a state proof has proven: `value` at `height`, None meaning that there was none."""

    network: str
    network_id: bytes
    height: int
    key: bytes
    value: bytes | None
    final: FinalHeader


def verify_receipt_proof(genesis_bytes: bytes, proof_bytes: bytes, pinned: bytes | None = None) -> VerifiedReceipt:
    """What the encoded `ReceiptProof` proves on the network of the encoded `Genesis`.

    pinned: hash of a closing header that must be in its chain, or None. Raises ProofRefused.
    """
    genesis, proof = _open(genesis_bytes, ReceiptProof, proof_bytes)
    _check_network(genesis, proof.network_id)
    envelope = _verify_envelope(proof.envelope, home_of(genesis, proof.log_index))
    receipt = _decode(Receipt, proof.receipt, "receipt")
    if receipt.transaction != envelope.transaction:
        raise ProofRefused(PROOF_WRONG_RECEIPT, "the receipt is of another transaction than the envelope's")
    final = verify_finality(genesis, proof.finality, pinned)
    executed = final.header.executed
    if receipt.height > executed.height:
        words = f"the receipt is of height {receipt.height}, the header covers heights up to {executed.height}"
        raise ProofRefused(PROOF_WRONG_RECEIPT, words)
    leaf = log.leaf_hash(proof.receipt)
    if not log.verify_inclusion(leaf, proof.log_index, executed.log_size, proof.path, executed.log_root):
        raise ProofRefused(PROOF_NOT_IN_LOG, "the audit path does not lead from the receipt to the header's log root")
    return VerifiedReceipt(genesis.name, proof.network_id, envelope, receipt, proof.log_index, final)


def verify_state_proof(
    genesis_bytes: bytes, proof_bytes: bytes, pinned: bytes | None = None, *, spaces: Spaces | None = None
) -> VerifiedState:
    """What the encoded `StateProof` proves on the network of the encoded `Genesis`; parameters as above.

    spaces: of the state, by name; None: those of the network's rules at that height.
    """
    genesis, proof = _open(genesis_bytes, StateProof, proof_bytes)
    _check_network(genesis, proof.network_id)
    final = verify_finality(genesis, proof.finality, pinned)
    executed = final.header.executed
    _check_key(proof.key, _spaces_at(genesis, executed.height) if spaces is None else spaces)
    key, value = _key_and_value(proof)
    if value is None:
        shown = trie.verify_absence(executed.state_root, key, proof.proof)
    else:
        shown = trie.verify_inclusion(executed.state_root, key, value, proof.proof)
    if not shown:
        what = "the absence of a value" if value is None else "this value"
        raise ProofRefused(PROOF_NOT_IN_STATE, f"the trie proof does not show {what} under the header's state root")
    return VerifiedState(genesis.name, proof.network_id, executed.height, proof.key, proof.value, final)


def _spaces_at(genesis: Genesis, height: int) -> Spaces:
    try:
        return rules_at(genesis, height).spaces
    except OperatorFault as fault:
        raise ProofRefused(PROOF_BAD_GENESIS, fault.words) from fault


def _check_key(key: bytes, spaces: Spaces) -> None:
    """Raises ProofRefused unless this is the key of a space, as the space makes it."""
    try:
        name, parts = parse_state_key(key)
    except Malformed as fault:
        raise ProofRefused(PROOF_MALFORMED, fault.words) from fault
    space = spaces.get(name)
    if space is None or not space.fits(parts) or space.key(parts) != key:
        words = f"{key.hex()} is no key of a space of this network: nothing ever stands there, and that says nothing"
        raise ProofRefused(PROOF_MALFORMED, words)


def _key_and_value(proof: StateProof) -> tuple[bytes, bytes | None]:
    """What the trie has to show: the pair itself, or the page that holds it. Raises ProofRefused."""
    within = proof.within
    if is_added_key(proof.key) != (within is not None):
        words = (
            "a record that is only ever added is proven by its page, and only that it is there; other values are not"
        )
        raise ProofRefused(PROOF_NOT_IN_STATE, words)
    if within is None:
        return proof.key, proof.value
    page = _decode(AddedPage, within.value, "page")
    if proof.value is None or AddedRecord(proof.key, proof.value) not in page.records:
        raise ProofRefused(PROOF_NOT_IN_STATE, "the page does not hold this record")
    return PAGES.key((within.height, within.page)), within.value


def _open(genesis_bytes: bytes, cls: type[T], proof_bytes: bytes) -> tuple[Genesis, T]:
    try:
        genesis = decode_genesis(genesis_bytes)
    except (Malformed, OperatorFault) as fault:
        raise ProofRefused(PROOF_BAD_GENESIS, f"genesis: {fault.words}") from fault
    return genesis, _decode(cls, proof_bytes, "proof")


def _decode(cls: type[T], data: bytes, what: str) -> T:
    try:
        return decode(cls, data)
    except Malformed as fault:
        raise ProofRefused(PROOF_MALFORMED, f"{what}: {fault.words}") from fault


def _check_network(genesis: Genesis, claimed: bytes) -> None:
    expected = network_id(genesis)
    if claimed != expected:
        words = f"the proof is of network {claimed.hex()}, the genesis given is of {expected.hex()}"
        followed = next((a for a in ancestors_of(genesis) if a.network_id == claimed), None)
        if followed is not None:
            words += (
                f", which goes on from it above block {followed.executed.height} of {followed.header.hex()}: "
                "verify the proof with the network.toml of that earlier network"
            )
        raise ProofRefused(PROOF_WRONG_NETWORK, words)


def _verify_envelope(data: bytes, network: bytes) -> ParsedEnvelope:
    try:
        envelope = parse_envelope(data, network)
    except Refused as fault:
        raise ProofRefused(PROOF_BAD_ENVELOPE, fault.words) from fault
    for item in signature_items(envelope):
        if not verify_message(*item):
            raise ProofRefused(PROOF_BAD_ENVELOPE, f"the sender's signature by key {item.public.hex()} is bad")
    return envelope
