"""The samples in configs/: generated from the models, so they cannot differ from what the program reads.

The keys in them are made from their own names, and anyone can make them again: they are for looking at, never for use.
A network of one's own comes from `papilio network create`.

    python -m daemon.config.samples configs    writes them anew; a test compares them
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path as File

from daemon.config.card import CardFile, CardTable
from daemon.config.creation import VOTING_KEY_FILE, assemble
from daemon.config.node import ApiTable, KeysTable, LogTable, MetricsTable, NodeFile, PeersTable, WorkersTable
from daemon.config.texts import Address
from daemon.config.write import to_toml
from protocol.crypto.signing import SigningKey

MEMBERS = ("bank", "customs", "insurer", "port")
CREATED_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""


def _key(*name: str) -> bytes:
    return SigningKey(sha256("/".join(("papilio sample", *name)).encode()).digest()).public


def _card(member: str, *, votes: bool = True, node: str = "node") -> CardTable:
    return CardTable(
        member=member,
        account_keys=(_key(member, "account"),),
        threshold=1,
        node_key=_key(member, node),
        voting_key=_key(member, "voting") if votes else None,
        power=1,
        address=Address(f"{node}.{member}.example", 7100),
    )


def sample_network() -> str:
    """network.toml of four members with a validator each, and an observer."""
    cards = [*(_card(member) for member in MEMBERS), _card("bank", votes=False, node="observer")]
    return to_toml(assemble(cards, "sample", CREATED_MS))


def sample_node() -> str:
    """node.toml of one of its validators; nearly everything is a default."""
    settings = NodeFile(
        network="network.toml",
        data_directory="data",
        keys=KeysTable(node="keys/node.key", voting=VOTING_KEY_FILE),
        peers=PeersTable(listen=Address("0.0.0.0", 7100)),  # noqa: S104 - a sample of a node that others reach
        api=ApiTable(listen=Address("127.0.0.1", 8100)),
        log=LogTable(),
        metrics=MetricsTable(),
        workers=WorkersTable(),
    )
    return to_toml(settings)


def sample_card() -> str:
    """member.toml of one of them."""
    return to_toml(CardFile(card=_card("bank")))


SAMPLES: dict[str, Callable[[], str]] = {"network": sample_network, "node": sample_node, "card": sample_card}
FILES = {"network": "network.toml", "node": "node.toml", "card": "member.toml"}


def main() -> None:
    """Write all samples into the folder that is given."""
    for kind, make in SAMPLES.items():
        (File(sys.argv[1]) / FILES[kind]).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
