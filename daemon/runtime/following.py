"""Which nodes may follow, as the state says (L-16, L-29).

Under rules with the application `members` the state holds every node that may connect; a node of a member that has left
is not let in any more. Under the first rules genesis alone says it.
"""

from __future__ import annotations

from typing import Final

from protocol.apps.members.records import NODES, NodeEntry
from protocol.codec import decode
from protocol.ledger.genesis import Genesis
from protocol.ledger.members import is_member
from protocol.ledger.spaces import parse_state_key
from protocol.ledger.state import StateReader
from protocol.ledger.tables import Reader, Table

NODES_PAGE: Final = 1_000
_PREFIX: Final = NODES.key((bytes(32),))[:-32]


def following_nodes(genesis: Genesis, reader: Reader) -> frozenset[bytes]:
    """Node keys that may follow, validators' among them."""
    state = StateReader(reader)
    found: set[bytes] = set()
    known, start = False, _PREFIX
    while True:
        pairs = list(reader.scan(Table.STATE, _PREFIX, start, NODES_PAGE))
        for key, value in pairs:
            known = True
            entry = decode(NodeEntry, value)
            node_key = parse_state_key(key)[1][0]
            assert isinstance(node_key, bytes)
            if entry.member is None or is_member(entry.member, state):
                found.add(node_key)
        if len(pairs) < NODES_PAGE:
            break
        start = pairs[-1][0] + b"\x00"
    return frozenset(found) if known else frozenset(observer.node_key for observer in genesis.observers)
