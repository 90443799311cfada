"""Where the demonstration signs: operations in, signed envelopes out, for one network.

Signing is the client library's; this only holds what stays the same from envelope to envelope, and makes the wrong ones
that a client library has no words for.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from daemon.client.account import Account
from daemon.client.sealing import ID_BYTES, Sealed, as_operation, seal
from protocol.apps.registry import rules_at
from protocol.codec import decode, encode
from protocol.ledger.application import Rules
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.records import Envelope

VALIDITY_MS: Final = 300_000
"""How long an envelope of the demonstration may take to become final: as long as anything in it."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Signs for one network."""

    network_id: bytes
    rules: Rules

    @classmethod
    def of(cls, genesis: Genesis) -> Desk:
        """For the network of this genesis."""
        return cls(network_id(genesis), rules_at(genesis, 1))

    def sign(
        self,
        account: Account,
        operations: Sequence[Any],
        *,
        consents: Iterable[Account] = (),
        identifier: bytes | None = None,
        validity_ms: int = VALIDITY_MS,
        network: bytes | None = None,
    ) -> Sealed:
        """An envelope of the account, valid for so long from now on; identifier: 16 bytes, random if not given.

        network: of another network, on purpose; then only its bytes and identity count.
        """
        prepared = [as_operation(self.rules, operation) for operation in operations]
        return seal(
            account,
            prepared,
            network_id=network or self.network_id,
            identifier=identifier or secrets.token_bytes(ID_BYTES),
            valid_until_ms=time.time_ns() // 1_000_000 + validity_ms,
            consents=consents,
        )


def with_bad_signature(sealed: Sealed) -> Sealed:
    """The same envelope with one bit of its last signature turned over."""
    envelope = decode(Envelope, sealed.data)
    last = envelope.signatures[-1]
    altered = Envelope(envelope.body, (*envelope.signatures[:-1], last[:-40] + bytes([last[-40] ^ 1]) + last[-39:]))
    return replace(sealed, data=encode(altered))


def cut_short(sealed: Sealed) -> Sealed:
    """The same envelope without its last byte."""
    return replace(sealed, data=sealed.data[:-1])
