"""Who acts in the demonstration.

Members are the network's: their accounts are in genesis, their keys in their nodes' directories. The others are
ordinary accounts with new keys, which need no registration: the operator of the bicycles, a shop that takes points, and
riders. The trips' data holds no riders, and must not: these are made up, and trips are dealt out to them in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from daemon.client.account import Account
from daemon.config.creation import ACCOUNT_KEY_FILE

RIDERS: Final = 100
ISSUER: Final = "city"
"""The member whose programme it is."""


@dataclass(frozen=True, slots=True)
class People:
    """All accounts. members: by name. operator: issues points for trips. shop: redeems them. stranger: has no role."""

    members: Mapping[str, Account]
    operator: Account
    shop: Account
    riders: tuple[Account, ...]
    stranger: Account

    @property
    def issuer(self) -> Account:
        """The member whose programme it is."""
        return self.members[ISSUER]

    def rider_of(self, trip: int) -> Account:
        """Who is said to have ridden the trip at this place of the file."""
        return self.riders[trip % len(self.riders)]


def gather(directories: Mapping[str, Path], riders: int = RIDERS) -> People:
    """Read the members' keys from their nodes' directories, and make the others'. Raises ConfigurationFault."""
    members = {name: Account.read(directory / ACCOUNT_KEY_FILE) for name, directory in directories.items()}
    others = [Account.new() for _ in range(riders + 3)]
    return People(members, others[0], others[1], tuple(others[3:]), others[2])
