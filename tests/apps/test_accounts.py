"""The application `accounts` (L-6)."""

from __future__ import annotations

import pytest

from protocol.apps.accounts import SetKeys
from protocol.crypto.signing import SigningKey
from protocol.errors import BAD_ARGUMENTS
from protocol.ledger.accounts import Account, authorised, read_account
from tests.apps.world import World, account, key

KEYS = tuple(sorted(SigningKey(number.to_bytes(32, "big")).public for number in range(1, 6)))


def test_new_keys_act_and_the_first_key_never_again() -> None:
    """L-6: keys can be replaced without changing the name, and a record once written is never removed."""
    world = World()
    assert authorised(account("ann"), (key("ann"),), world.reader())
    assert world.run("ann", SetKeys(KEYS[:3], 2)) is None
    assert read_account(account("ann"), world.reader()) == Account(KEYS[:3], 2)
    assert authorised(account("ann"), KEYS[:2], world.reader())
    assert not authorised(account("ann"), KEYS[:1], world.reader())
    assert not authorised(account("ann"), (key("ann"),), world.reader()), "the replaced key acts no more"


def test_keys_are_replaced_again_under_the_same_name() -> None:
    world = World()
    world.run("ann", SetKeys(KEYS[:1], 1))
    world.run("ann", SetKeys(KEYS[1:], 4))
    assert read_account(account("ann"), world.reader()) == Account(KEYS[1:], 4)


@pytest.mark.parametrize(
    "keys, threshold, words",
    [
        ((KEYS[1], KEYS[0]), 1, "keys: must be distinct and ascending"),
        ((KEYS[0], KEYS[0]), 1, "keys: must be distinct and ascending"),
        (KEYS[:2], 3, "threshold: 3 is more than the 2 keys"),
        ((bytes(32),), 1, "keys[0]: not a usable Ed25519 public key (L-3)"),
        ((KEYS[0], b"\xff" * 32), 1, "keys[1]: not a usable Ed25519 public key (L-3)"),
    ],
)
def test_keys_that_could_not_act_are_refused(keys: tuple[bytes, ...], threshold: int, words: str) -> None:
    """Error, and nothing changed."""
    world = World()
    assert world.refuses(BAD_ARGUMENTS, "ann", SetKeys(keys, threshold)) == words
    assert read_account(account("ann"), world.reader()) is None
