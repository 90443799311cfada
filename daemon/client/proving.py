"""Verifying proof files offline: nothing but the file and the network's own file, no node and no network.

    from daemon.client import in_words, verify_proof
    print(in_words(verify_proof("network.toml", data)))

What is believed is network.toml alone; compare its network id once with the other members'.
"""

from __future__ import annotations

from pathlib import Path

from protocol.codec import encode
from protocol.codec.records import KINDS, kind_of
from protocol.ledger.genesis import Genesis
from protocol.proofs.explain import explain
from protocol.proofs.records import StateProof
from protocol.proofs.verify import VerifiedReceipt, VerifiedState, verify_receipt_proof, verify_state_proof

Verified = VerifiedReceipt | VerifiedState


def verify_proof(network: Genesis | str | Path, data: bytes) -> Verified:
    """What a proof file proves on the network, whose file (or genesis) is given.

    A receipt of a refused transaction is proven as refused: look at `ok`. Raises ProofRefused, with the code of what is
    wrong; ConfigurationFault if the network's file is.
    """
    genesis = encode(network if isinstance(network, Genesis) else load_genesis(network))
    if is_state_proof(data):
        return verify_state_proof(genesis, data)
    return verify_receipt_proof(genesis, data)


def in_words(verified: Verified) -> str:
    """What was proven, for a person."""
    return explain(verified)


def load_genesis(file: str | Path) -> Genesis:
    """The genesis in a network file. Raises ConfigurationFault."""
    from daemon.config.network import load_network

    return load_network(Path(file)).genesis


def is_state_proof(data: bytes) -> bool:
    """Whether it calls itself a proof of state; else it is read as one of a receipt."""
    kind = kind_of(data)
    return kind is not None and KINDS.get(kind) is StateProof
