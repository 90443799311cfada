"""Envelopes for tests of the client."""

from __future__ import annotations

from daemon.client import Account, Sealed, evidence
from daemon.client.sealing import as_operation, seal
from protocol.apps.registry import RULES

NETWORK_ID = bytes(range(32))
RULES_NOW = RULES[max(RULES)]


def account(number: int = 1) -> Account:
    return Account.from_seed(number.to_bytes(32, "big"))


def sealed(number: int, valid_until_ms: int) -> Sealed:
    """Envelope number such and such: the same one for the same number."""
    identifier = number.to_bytes(16, "big")
    statement = evidence.statement_of(identifier)
    operation = as_operation(RULES_NOW, evidence.Record(None, identifier, statement))
    return seal(account(), [operation], network_id=NETWORK_ID, identifier=identifier, valid_until_ms=valid_until_ms)
