"""The state that a network begins with when it goes on from another, copied into an empty store (decision 0014).

`inherited/state` holds it for ever, so that a state that was lost is made anew from there and the blocks. It is not
believed: the trie is built again from the values, and the log from the receipts, and both roots have to be those that
the genesis states; where added records lie follows from the values. Other tables that no root covers (places of
transactions, the replay window, who sent what) are copied as they are.

A copy that was interrupted leaves a store without a height, which is filled from the start again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from daemon.store.errors import StateDamaged
from daemon.store.rows import StateReader
from daemon.store.tables import StateStore
from protocol import limits
from protocol.apps.registry import rules_at
from protocol.crypto import log, trie
from protocol.errors import Malformed, OperatorFault
from protocol.ledger.added import place_rows
from protocol.ledger.genesis import network_id
from protocol.ledger.index import log_getter, log_rows, number_of, read_roots, trie_getter, trie_key
from protocol.ledger.spaces import Space
from protocol.ledger.succession import Succession
from protocol.ledger.tables import Table, Writes

ROWS_AT_ONCE: Final = 20_000
BYTES_AT_ONCE: Final = 4 * limits.MIB
_ROWS_READ: Final = 1_000
_COPIED: Final = (Table.META, Table.ROOTS, Table.TRANSACTION, Table.SEEN, Table.SEEN_EXPIRY, Table.HISTORY)
_Rows = list[tuple[bytes, bytes]]


def inherit(state: StateStore, genesis: Succession, directory: Path) -> None:
    """Fill the empty `state` from the store in `directory`. Raises StateDamaged, DiskFull, StoreFailed."""
    state.clear()
    try:
        source = StateStore.open(directory, network_id(genesis), writer=False, alone=True)
    except OperatorFault as fault:
        raise StateDamaged(_words(directory, fault.words)) from fault
    with closing(source), source.reader() as reader:
        begins = genesis.begins
        roots = read_roots(reader, begins.height)
        if reader.height != begins.height or roots is None or roots.executed != begins:
            raise StateDamaged(_words(directory, "it stands at another height, or has other results"))
        try:
            root = _copy_state(state, reader, rules_at(genesis, begins.height).spaces)
        except Malformed as fault:
            raise StateDamaged(_words(directory, fault.words)) from fault
        size, log_root = _copy_receipts(state, reader)
        if (root, size, log_root) != (begins.state_root, begins.log_size, begins.log_root):
            raise StateDamaged(_words(directory, "its values or receipts are others than the network began with"))
        for table in _COPIED:
            for rows in _pages(reader, table):
                state.fill({(table, key): value for key, value in rows})
    state.commit([{}], begins.height)


def _words(directory: Path, words: str) -> str:
    return (
        f"{directory}, what this network began with, cannot be used: {words}; begin the node again from the old "
        "network's directory (papilio restart begin)"
    )


def _copy_state(state: StateStore, source: StateReader, spaces: Mapping[str, Space[Any]]) -> bytes:
    root = trie.EMPTY_ROOT
    for rows in _pages(source, Table.STATE):
        with state.reader() as done:
            root, nodes = trie.update(trie_getter(done), dict(rows))
        writes: Writes = {(Table.STATE, key): value for key, value in rows}
        state.fill(writes | {(Table.TRIE, trie_key(position)): node for position, node in nodes.items()})
        places: Writes = {}
        for key, value in rows:
            places |= dict.fromkeys(place_rows(spaces, key, value), b"")
            if len(places) >= ROWS_AT_ONCE:
                state.fill(places)
                places = {}
        state.fill(places)
    return root


def _copy_receipts(state: StateStore, source: StateReader) -> tuple[int, bytes]:
    size = 0
    for rows in _pages(source, Table.RECEIPT):
        if [number_of(key) for key, _ in rows] != list(range(size, size + len(rows))):
            return size, log.EMPTY_ROOT  # a receipt is missing
        with state.reader() as done:
            size, subtrees = log.append(log_getter(done), size, [log.leaf_hash(value) for _, value in rows])
        writes: Writes = {(Table.RECEIPT, key): value for key, value in rows}
        state.fill({**writes, **log_rows(subtrees)})
    with state.reader() as done:
        return size, log.root(log_getter(done), size)


def _pages(source: StateReader, table: Table) -> Iterator[_Rows]:
    """All of a table, so many rows or bytes at once."""
    start, rows, size = b"", list[tuple[bytes, bytes]](), 0
    while page := source.scan(table, b"", start, _ROWS_READ):
        rows += page
        size += sum(len(key) + len(value) for key, value in page)
        start = page[-1][0] + b"\0"
        if len(rows) >= ROWS_AT_ONCE or size >= BYTES_AT_ONCE:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows
