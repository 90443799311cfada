"""The state that a new network begins with: the old one's at the last kept block, and who takes part from now on.

The changes are those of the application `members` (`apps.members.changes`), carried out without a vote of the ledger:
the members' signatures stand under the whole document instead. Only their own spaces are written, so balances,
records and accounts are the old ones, byte for byte.

What an ended network alone needs goes: undo below the beginning, and how its epochs were closed. Receipts, the log,
places and the replay window stay: a transaction of the old network is answered as before, and an (account, id) that
was final there stays taken.

`taking_part` reads back from such a state what the new genesis says; whoever begins a node compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from protocol import limits
from protocol.apps.members.changes import carry_out, read_change
from protocol.apps.members.records import NODES, SPACES
from protocol.codec import decode
from protocol.crypto import trie
from protocol.errors import RESTART_BAD_DOCUMENT, Refused
from protocol.ledger.accounts import ACCOUNTS
from protocol.ledger.closings import closing_key
from protocol.ledger.genesis import GenesisObserver, GenesisValidator, KeptMember
from protocol.ledger.index import Roots, number_key, pack_roots, read_head, trie_getter, trie_key
from protocol.ledger.members import (
    GOVERNED_SPACES,
    MEMBERS,
    VALIDATORS,
    is_member,
    member_by_name,
    next_validators,
)
from protocol.ledger.records import Executed
from protocol.ledger.spaces import KeyPart, Space, parse_state_key
from protocol.ledger.state import StateReader, StateTransaction
from protocol.ledger.tables import Reader, Table, Writes
from protocol.restart.opening import RestartRefused

_WRITABLE = frozenset(space.name for space in (*SPACES, *GOVERNED_SPACES))
_PAGE = 256


class TakingPart(NamedTuple):
    """Who takes part in a state, as genesis lists it."""

    members: tuple[KeptMember, ...]
    validators: tuple[GenesisValidator, ...]
    observers: tuple[GenesisObserver, ...]


def changed_state(reader: Reader, changes: Iterable[bytes]) -> tuple[Writes, Executed]:
    """What these changes (encoded) do to the state at its height, and the results then. Raises RestartRefused."""
    head = read_head(reader).executed
    state = StateTransaction(reader)
    state.writable = _WRITABLE
    encoded = list(changes)
    if encoded:
        try:
            carry_out([read_change(data) for data in encoded], state)
        except Refused as fault:
            raise RestartRefused(RESTART_BAD_DOCUMENT, f"changes: {fault.code}: {fault.words}") from fault
    state.keep()
    changed = state.changes()
    if not changed:
        return {}, head
    root, nodes = trie.update(trie_getter(reader), changed)
    writes: Writes = {(Table.STATE, key): value for key, value in changed.items()}
    writes |= {(Table.TRIE, trie_key(position)): node for position, node in nodes.items()}
    return writes, Executed(head.height, root, head.log_size, head.log_root)


def beginning(network: bytes, created_ms: int, reader: Reader, changes: Iterable[bytes]) -> tuple[Writes, Executed]:
    """All that turns the old state at the kept height into the one that the network `network` begins with."""
    writes, begins = changed_state(reader, changes)
    writes |= {(Table.TRIE_UNDO, key): None for key, _ in _all(reader, Table.TRIE_UNDO, b"")}
    writes |= {(Table.META, key): None for key, _ in _all(reader, Table.META, closing_key(0)[:-8])}
    writes[Table.ROOTS, number_key(begins.height)] = pack_roots(Roots(begins, network, created_ms))
    return writes, begins


def taking_part(reader: Reader) -> TakingPart:
    """Who takes part, as this state says. Raises RestartRefused beyond what a genesis can list."""
    state = StateReader(reader)
    validators = []
    for entry in next_validators(state).validators:
        known = state.get(VALIDATORS, (entry.voting_key,))
        assert known is not None, "a validator of the set has a record"
        validators.append(GenesisValidator(known.member, known.node_key, entry.voting_key, entry.power))
    observers = [
        GenesisObserver(entry.member, parts[0])
        for parts, entry in _records(reader, NODES)
        if entry.voting_key is None and (entry.member is None or is_member(entry.member, state))
    ]
    if len(observers) > limits.OBSERVERS_MAX:
        raise RestartRefused(RESTART_BAD_DOCUMENT, f"a genesis lists at most {limits.OBSERVERS_MAX} observers")
    return TakingPart(
        tuple(sorted(_members(reader, state), key=lambda member: member.name.encode())),
        tuple(validators),
        tuple(sorted(observers, key=lambda observer: observer.node_key)),
    )


def member_names(reader: Reader) -> list[str]:
    """Names of all who are or were members in the newest state, ascending by their bytes."""
    return sorted((str(parts[0]) for parts, _ in _records(reader, MEMBERS)), key=str.encode)


def _members(reader: Reader, state: StateReader) -> Iterator[KeptMember]:
    for name in member_names(reader):
        member = member_by_name(name, state)
        if member is None or not is_member(name, state):
            continue
        account = state.get(ACCOUNTS, (member.account,))
        keys, threshold = ((), 1) if account is None else (account.keys, account.threshold)
        yield KeptMember(name, keys, threshold, member.state_quota_bytes, member.account)


def _records(reader: Reader, space: Space[Any]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """All of a space with keys of one part: (parts, record)."""
    empty: dict[str, KeyPart] = {"bytes": b"", "text": "", "integer": 0}
    sample = space.key(tuple(empty[part.kind] for part in space.parts))
    prefix = sample[: sample.index(space.name.encode()) + len(space.name.encode())]
    for key, value in _all(reader, Table.STATE, prefix):
        name, parts = parse_state_key(key)
        if name == space.name:
            yield parts, decode(space.record, value)


def _all(reader: Reader, table: Table, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = b""
    while True:
        page = list(reader.scan(table, prefix, start, _PAGE))
        yield from page
        if len(page) < _PAGE:
            return
        start = page[-1][0] + b"\0"
