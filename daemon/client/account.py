"""Accounts as their owner holds them: a name, and the keys at hand (L-6).

An account is named by the hash of its first key; a new one needs no registration. When its keys were replaced, or k of
n of them must sign, the name stays and says nothing about the keys, so it is given beside them:

    alice = Account.new()                           # a new account with a new key
    alice = Account.read("alice.key")               # of a key file, as `papilio key new` makes it
    board = Account([key_a, key_b], name=board_name)  # two of the keys that act for an account

All keys that an `Account` holds sign. No text or copy of an account shows a secret, and it cannot be pickled.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn, Self

from protocol import limits
from protocol.crypto.signing import SEED_BYTES, SigningKey
from protocol.ledger.records import account_name


class Account:
    """An account and the secret keys that sign for it here.

    name: 32 bytes. keys: 1 to 8, ascending by public key.
    """

    __slots__ = ("keys", "name")

    def __init__(self, keys: Sequence[SigningKey], name: bytes | None = None) -> None:
        """With these keys; without a name, the account that the one key names. Raises ValueError."""
        ordered = sorted(keys, key=lambda key: key.public)
        if not 1 <= len(ordered) <= limits.SIGNERS_MAX:
            raise ValueError(f"an account signs with 1 to {limits.SIGNERS_MAX} keys, not {len(ordered)}")
        if len({key.public for key in ordered}) != len(ordered):
            raise ValueError("the same key twice counts once")
        if name is None and len(ordered) > 1:
            raise ValueError("several keys do not say which account they act for: give its name")
        if name is not None and len(name) != 32:
            raise ValueError(f"an account's name has 32 bytes, not {len(name)}")
        self.keys = tuple(ordered)
        self.name = account_name(ordered[0].public) if name is None else bytes(name)

    @classmethod
    def new(cls) -> Self:
        """A new account with a new random key, which exists in this process only. See also `create`."""
        return cls([SigningKey(secrets.token_bytes(SEED_BYTES))])

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The account of the key with this seed: 32 secret bytes (RFC 8032, 5.1.5). Raises ValueError."""
        return cls([SigningKey(seed)])

    @classmethod
    def create(cls, file: str | Path) -> Self:
        """A new account whose key is in a new file, readable by its owner alone, durable on return.

        Raises ConfigurationFault if the file exists.
        """
        from daemon.config.keyfiles import create_key

        return cls([create_key(Path(file), "account").key])

    @classmethod
    def read(cls, *files: str | Path, name: bytes | None = None) -> Self:
        """The account of one key file, or with `name` of several. Raises ConfigurationFault, ValueError."""
        from daemon.config.keyfiles import load_key

        return cls([load_key(str(file), "account", Path()).key for file in files], name)

    @property
    def signers(self) -> tuple[bytes, ...]:
        """Public keys, distinct and ascending."""
        return tuple(key.public for key in self.keys)

    def __repr__(self) -> str:
        return f"Account(account:{self.name.hex()}, {len(self.keys)} key{'s' if len(self.keys) > 1 else ''})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an account is never pickled or copied: its keys would travel unnoticed")


def signing_keys(accounts: Iterable[Account]) -> tuple[SigningKey, ...]:
    """The keys of all these accounts, each once, ascending. Raises ValueError past the signers of one envelope."""
    by_public = {key.public: key for account in accounts for key in account.keys}
    if len(by_public) > limits.SIGNERS_MAX:
        raise ValueError(f"{len(by_public)} keys would sign; an envelope has at most {limits.SIGNERS_MAX} signers")
    return tuple(by_public[public] for public in sorted(by_public))
