"""member.toml: the public card of one node, which its operator sends to whoever assembles the network.

A card holds public keys and addresses only. It says nothing that its reader has to believe: each operator compares
the keys in the network file they get with their own card (`papilio node join` does), and all compare the network id.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from daemon.config.values import AddressText, NameText, PublicKey, Table, bounded
from protocol import limits


class CardTable(Table):
    """One node and the member it belongs to."""

    member: Annotated[NameText, Field(description="The member's name.")]
    account_keys: Annotated[
        tuple[PublicKey, ...],
        Field(
            min_length=1,
            max_length=limits.ACCOUNT_KEYS_MAX,
            description="Public keys of the member's account, the same on every card of this member.",
        ),
    ]
    threshold: int = bounded(1, limits.SIGNERS_MAX, "How many of these keys must sign together.")
    node_key: Annotated[PublicKey, Field(description="Key of the node's channel.")]
    voting_key: Annotated[
        PublicKey | None, Field(description="Key of its votes; without it the node is an observer.")
    ] = None
    power: int = bounded(1, limits.U53_MAX, "Voting power that it asks for.", default=1)
    address: Annotated[AddressText | None, Field(description="Where other nodes reach it, if they can.")] = None


class CardFile(Table):
    """The public card of one node. Send it to whoever assembles the network; it holds no secret."""

    card: Annotated[CardTable, Field(description="One node and the member it belongs to.")]
