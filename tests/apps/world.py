"""Operations against a state in memory, one envelope each; a refusal that wrote anything fails the test (L-8).

`World.run` goes the way execution goes: decode, check, consents, apply. What was refused must not have written even
before the ledger discards: so "error, and nothing changed" is tested of the application alone, and by every refusal in
every test. `World.state()` is all pairs of the state, to compare.
"""

from __future__ import annotations

from typing import Any

import pytest

from protocol.apps.points.audit import audit
from protocol.apps.registry import RULES
from protocol.codec import decode, encode
from protocol.errors import BAD_ARGUMENTS, Refused
from protocol.ledger.added import PAGES, AddedPage, AddedRecord, located, newest, pack_pages, read_page
from protocol.ledger.application import Context, OperationKind, apply_operation
from protocol.ledger.members import MEMBER_ACCOUNTS, MemberName
from protocol.ledger.memory import MemoryTables
from protocol.ledger.records import Operation, account_name
from protocol.ledger.spaces import KeyParts, Space
from protocol.ledger.state import StateReader, StateTransaction
from protocol.ledger.tables import Table

RULES_1 = RULES[1]
KINDS_OF_OPERATION: dict[type[Any], tuple[str, OperationKind]] = {
    kind.arguments: (name, kind)
    for name, application in RULES_1.applications.items()
    for kind in application.operations.values()
}
START_MS = 1_700_000_000_000


def key(name: str) -> bytes:
    """A key's 32 bytes, as a signer; whether it is a point matters to accounts' records only."""
    return name.encode().ljust(32, b".")


def account(name: str) -> bytes:
    """The account whose first key is `key(name)`."""
    return account_name(key(name))


def id16(number: int) -> bytes:
    """An id as clients choose them."""
    return number.to_bytes(16, "big")


class World:
    """A state with two members, `bank` and `city`, and a block time that tests move."""

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.time_ms = START_MS
        self.transactions = 0
        self.kept = 0
        """Changes of the state so far: each is a height of its own to what is added."""
        genesis = StateTransaction(self.tables)
        genesis.writable = frozenset({MEMBER_ACCOUNTS.name})
        for name in ("bank", "city"):
            genesis.put(MEMBER_ACCOUNTS, (account(name),), MemberName(name))
        self._keep(genesis)

    def run(self, sender: str, arguments: Any, *, also: tuple[str, ...] = ()) -> Any:
        """One operation in an envelope of its own, signed by the sender and `also`; its result record or None.

        Raises Refused, after making sure that nothing was written and that the code is among those declared.
        """
        name, kind = KINDS_OF_OPERATION[type(arguments)]
        return self.run_raw(sender, Operation(name, kind.name, encode(arguments)), also=also)

    def run_raw(self, sender: str, operation: Operation, *, also: tuple[str, ...] = ()) -> Any:
        """The same from bytes."""
        kind = RULES_1.applications[operation.app].operations[operation.name]
        self.transactions += 1
        transaction = self.transactions.to_bytes(32, "big")
        signers = tuple(sorted(key(name) for name in (sender, *also)))
        context = Context(bytes(32), 7, self.time_ms, transaction, account(sender), signers, "bank", 0)
        before = self.state()
        state = StateTransaction(self.tables)
        state.writable = RULES_1.writable[operation.app]
        refusal: Refused | None = None
        data = b""
        try:
            data = apply_operation(RULES_1, context, state, operation)
        except Refused as fault:
            refusal = fault
        if refusal is not None:
            self._judge_refusal(kind, refusal, state, before)
            raise refusal
        self._keep(state)
        return None if kind.result is None else decode(kind.result, data)

    def _judge_refusal(
        self, kind: OperationKind, refusal: Refused, state: StateTransaction, before: dict[bytes, bytes]
    ) -> None:
        assert state._envelope == {}, f"{refusal.code} came after a write"
        assert self.state() == before
        declared = (*kind.refusals, BAD_ARGUMENTS)  # which the decoder gives for any operation
        assert refusal.code in declared, f"{kind.name} does not declare {refusal.code}"

    def refuses(self, code: str, sender: str, arguments: Any, *, also: tuple[str, ...] = ()) -> str:
        """The operation is refused with this code and nothing changes; its words."""
        with pytest.raises(Refused) as caught:
            self.run(sender, arguments, also=also)
        assert caught.value.code == code, caught.value.words
        return caught.value.words

    def put(self, space: Space[Any], parts: KeyParts, value: Any) -> None:
        """Write a pair past all rules: for states that would take too long to reach, and for planted damage."""
        state = StateTransaction(self.tables)
        state.writable = frozenset({space.name})
        state.put(space, parts, value)
        self._keep(state)

    def alter(self, space: Space[Any], parts: KeyParts, value: Any) -> None:
        """Damage an added record where it lies."""
        key = space.key(parts)
        found = located(newest(self.tables), key)
        assert found is not None, "it is there"
        place, _ = found
        page = PAGES.key((place.height, place.page))
        records = list(read_page(self.tables.get(Table.STATE, page) or b""))
        records[place.at] = AddedRecord(key, encode(value))
        self.tables.apply({(Table.STATE, page): encode(AddedPage(tuple(records)))})

    def reader(self) -> StateReader:
        """The stored state."""
        return StateReader(self.tables)

    def state(self) -> dict[bytes, bytes]:
        """All pairs of the state."""
        return dict(self.tables.scan(Table.STATE, b"", limit=1_000_000))

    def audited(self) -> None:
        """Every sum of every programme agrees."""
        assert [words for one in audit(self.tables) for words in one.wrong] == []

    def _keep(self, state: StateTransaction) -> None:
        state.keep()
        self.kept += 1
        pages, places = pack_pages(self.kept, state.added())
        self.tables.apply({(Table.STATE, key): value for key, value in (state.changes() | pages).items()})
        self.tables.apply(dict.fromkeys(places, b""))
