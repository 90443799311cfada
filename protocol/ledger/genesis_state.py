"""The state at height 0, written from genesis (L-6, L-12, L-23).

Members with their accounts and quotas, validators, the set that the first headers name, then what each
application begins with, in the order of the rules. Charged to nobody.
"""

from __future__ import annotations

from protocol.crypto import log, trie
from protocol.ledger.accounts import ACCOUNTS, Account
from protocol.ledger.application import Rules
from protocol.ledger.execution import LEDGER_WRITABLE, Execution
from protocol.ledger.genesis import Genesis, GenesisMember, member_account, network_id, validator_set
from protocol.ledger.index import HEIGHT_KEY, INDEXED_FROM_KEY, Roots, number_key, pack_roots, trie_key
from protocol.ledger.members import (
    MEMBER_ACCOUNTS,
    MEMBERS,
    NEXT_VALIDATORS,
    VALIDATORS,
    Member,
    MemberName,
    Validator,
)
from protocol.ledger.memory import MemoryTables
from protocol.ledger.records import Executed
from protocol.ledger.state import StateTransaction
from protocol.ledger.tables import Table, Writes


def genesis_state(genesis: Genesis, rules: Rules) -> Execution:
    """What an empty store has to be filled with; height 0, no receipts.

    Not of a `Succession`: its state is its ancestor's (`protocol.restart.beginning`).
    """
    assert type(genesis) is Genesis, "a network that goes on from another begins with that one's state"
    state = StateTransaction(MemoryTables())
    state.writable = LEDGER_WRITABLE | {ACCOUNTS.name}
    for member in genesis.members:
        _write_member(genesis, member, state)
    for validator in genesis.validators:
        state.put(VALIDATORS, (validator.voting_key,), Validator(validator.member, validator.node_key))
    state.put(NEXT_VALIDATORS, (), validator_set(genesis))
    for name, application in rules.applications.items():
        state.writable = rules.writable[name]
        application.genesis(genesis, state)
    state.keep()
    return _close(genesis, state)


def _write_member(genesis: Genesis, member: GenesisMember, state: StateTransaction) -> None:
    quota = member.state_quota_bytes
    account = member_account(member)
    state.put(
        MEMBERS, (member.name,), Member(account, genesis.parameters.state_quota_bytes if quota is None else quota)
    )
    state.put(MEMBER_ACCOUNTS, (account,), MemberName(member.name))
    state.put(ACCOUNTS, (account,), Account(member.keys, member.threshold))


def _close(genesis: Genesis, state: StateTransaction) -> Execution:
    assert not list(state.added()), "genesis writes ordinary values"
    changes = state.changes()
    root, nodes = trie.update(lambda _position: None, changes)
    executed = Executed(0, root, 0, log.EMPTY_ROOT)
    writes: Writes = {(Table.STATE, key): value for key, value in changes.items()}
    writes |= {(Table.TRIE, trie_key(position)): node for position, node in nodes.items()}
    key = number_key(0)
    writes[Table.ROOTS, key] = pack_roots(Roots(executed, network_id(genesis), genesis.created_ms))
    writes[Table.META, HEIGHT_KEY] = key
    writes[Table.META, INDEXED_FROM_KEY] = number_key(0)
    return Execution(0, executed, writes, (), ())
