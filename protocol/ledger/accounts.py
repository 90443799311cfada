"""Accounts: who acts, and by which keys (L-6).

An account is named by the hash of its first key. Until it has a record in the state, that key alone acts for
it; so a new account needs no registration. Its record, once there is one, says which keys may act and how many
distinct ones must; the name stays. A record is never removed: else the first key, perhaps lost or stolen and
therefore replaced, would rule again.

The operations that write records are an application's (`protocol.apps.accounts`); the space and its rules
stand here because execution judges every envelope by them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Final

from protocol import limits
from protocol.codec import Items, Key, Range, record
from protocol.crypto.signing import is_valid_key
from protocol.errors import BAD_ARGUMENTS, Refused
from protocol.ledger.records import account_name
from protocol.ledger.spaces import Part, Space
from protocol.ledger.state import State, StateView


@record(kind=10)
class Account:
    """Which keys may act (distinct, ascending), and how many of them must sign."""

    keys: Annotated[tuple[Key, ...], Items(1, limits.ACCOUNT_KEYS_MAX)]
    threshold: Annotated[int, Range(1, limits.SIGNERS_MAX)]


ACCOUNTS: Final = Space(
    "accounts.account",
    Account,
    (Part("account", "bytes", "the account's name: hash of its first key"),),
    "the keys that act for an account, once it has changed them or genesis has set them",
)


def authorised(account: bytes, signers: tuple[bytes, ...], state: StateView) -> bool:
    """Whether these signers (distinct keys, whose signatures are good) may act for the account."""
    known = state.get(ACCOUNTS, (account,))
    if known is None:
        return any(account_name(signer) == account for signer in signers)
    return sum(key in known.keys for key in signers) >= known.threshold


def read_account(account: bytes, state: StateView) -> Account | None:
    """The account's record, None if its first key alone acts for it."""
    return state.get(ACCOUNTS, (account,))


def check_account(record: Account) -> None:
    """Raises Refused(bad_arguments) unless keys are distinct, ascending and usable, and suffice for the threshold."""
    if any(low >= high for low, high in pairwise(record.keys)):
        raise Refused(BAD_ARGUMENTS, "keys: must be distinct and ascending")
    if record.threshold > len(record.keys):
        raise Refused(BAD_ARGUMENTS, f"threshold: {record.threshold} is more than the {len(record.keys)} keys")
    for index, key in enumerate(record.keys):
        if not is_valid_key(key):
            raise Refused(BAD_ARGUMENTS, f"keys[{index}]: not a usable Ed25519 public key (L-3)")


def write_account(account: bytes, record: Account, state: State) -> None:
    """Set the account's record; only for a writer of the space `accounts.account`. Raises as `check_account`."""
    check_account(record)
    state.put(ACCOUNTS, (account,), record)
