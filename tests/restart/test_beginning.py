"""The state that a new network begins with, blocks on top of it, and proofs of what was recorded before (0014)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol import errors
from protocol.codec import decode, encode
from protocol.ledger.closings import closings
from protocol.ledger.genesis import network_id, validator_set, validators_hash
from protocol.ledger.index import locate, read_head, read_roots, read_seen, receipt_at
from protocol.ledger.records import Header, account_name, header_hash
from protocol.ledger.succession import Succession, home_at, home_of
from protocol.ledger.tables import Table
from protocol.proofs.build import envelope_at, finality_of, receipt_proof
from protocol.proofs.explain import explain
from protocol.proofs.finality import ProofRefused
from protocol.proofs.records import ReceiptProof
from protocol.proofs.verify import verify_receipt_proof
from protocol.restart.beginning import beginning, taking_part
from protocol.restart.document import open_document
from tests.ledger.world import World, key
from tests.proofs.chain import certificate
from tests.restart.made import Old


class Begun(World):
    """The new network on the old one's state."""

    def __init__(self, old: Old) -> None:
        opened = open_document(old.document())
        self.genesis: Succession = opened.succession
        self.network_id = network_id(self.genesis)
        self.rules = old.rules
        self.tables = old.tables.copy()
        decided = opened.document.decided
        writes, begins = beginning(self.network_id, decided.created_ms, self.tables, decided.changes)
        self.tables.apply(writes)
        self.executed = [begins]
        self.headers, self.blocks = [], []
        self.keys = old.voters[:2]

    def proof(self, old: Old, log_index: int) -> bytes:
        """Of a receipt of the old network, under the newest header of the new one."""
        header: Header = self.header()
        final = certificate(self.network_id, header_hash(header), (0, 1), keys=self.keys)
        envelope = envelope_at(old.blocks[log_index][1], 0)
        return receipt_proof(self.genesis, self.tables, log_index, envelope, finality_of(header, final))


@pytest.fixture
def old() -> Old:
    return Old()


@pytest.fixture
def begun(old: Old) -> Begun:
    return Begun(old)


def test_it_begins_where_the_old_one_ended(old: Old, begun: Begun) -> None:
    head = read_head(begun.tables)
    assert head.executed == begun.genesis.begins
    assert head.header_hash == begun.network_id, "the parent of the first block"
    assert (head.executed.height, head.executed.log_root) == (6, old.executed[-1].log_root)
    part = taking_part(begun.tables)
    assert part == (begun.genesis.members, begun.genesis.validators, begun.genesis.observers)
    assert not closings(begun.tables)
    assert not list(begun.tables.scan(Table.TRIE_UNDO, b""))
    assert read_roots(begun.tables, 3) == read_roots(old.tables, 3)


def test_only_who_takes_part_has_changed(old: Old, begun: Begun) -> None:
    """Every value of the state but those of members and validators is the old one, byte for byte."""
    before, after = (dict(world.tables.scan(Table.STATE, b"", limit=10_000)) for world in (old, begun))
    changed = {k for k in before.keys() | after.keys() if before.get(k) != after.get(k)}
    assert changed
    assert all(b"ledger." in k[:10] or b"members." in k[:10] for k in changed)


def test_the_new_network_records_on(old: Old, begun: Begun) -> None:
    """Heights and log go on; an old envelope is of another network; an old (account, id) stays taken."""
    done = begun.run(begun.put(90, "new"))
    assert (done.executed.height, done.executed.log_size) == (7, 7)
    again = begun.run(begun.put(1, "twice"))
    assert [outcome.code for outcome in again.outcomes] == [errors.CONFLICT]
    account = account_name(key(1).public)
    seen = read_seen(begun.tables, account, (1).to_bytes(16, "big"))
    assert seen is not None
    receipt = receipt_at(begun.tables, seen.log_index)
    assert receipt is not None
    place = locate(begun.tables, receipt.transaction)
    assert place is not None
    assert place.height == 1


def test_an_old_receipt_is_proven_under_the_new_network(old: Old, begun: Begun) -> None:
    """L-21: one log for all: also what no header of the old network covers."""
    assert (home_of(begun.genesis, 5), home_of(begun.genesis, 6)) == (old.network_id, begun.network_id)
    assert (home_at(begun.genesis, 6), home_at(begun.genesis, 7)) == (old.network_id, begun.network_id)
    verified = verify_receipt_proof(encode(begun.genesis), begun.proof(old, 5))
    assert verified.ok
    assert old.network_id.hex() in explain(verified)


def test_an_old_envelope_in_the_new_part_of_the_log_proves_nothing(old: Old, begun: Begun) -> None:
    """An envelope of the old network must stand in the old part, and the other way round."""
    begun.run(begun.put(91))
    header = begun.header()
    final = certificate(begun.network_id, header_hash(header), (0, 1), keys=begun.keys)
    data = receipt_proof(begun.genesis, begun.tables, 6, envelope_at(begun.blocks[0][1], 0), finality_of(header, final))
    assert verify_receipt_proof(encode(begun.genesis), data).ok

    proof = decode(ReceiptProof, data)
    wrong = encode(replace(proof, envelope=envelope_at(old.blocks[0][1], 0)))
    with pytest.raises(ProofRefused) as caught:
        verify_receipt_proof(encode(begun.genesis), wrong)
    assert caught.value.code == errors.PROOF_BAD_ENVELOPE


def test_an_old_proof_against_the_new_network_says_where_it_belongs(old: Old, begun: Begun) -> None:
    header = old.header()
    final = certificate(old.network_id, header_hash(header))
    data = receipt_proof(old.genesis, old.tables, 0, envelope_at(old.blocks[0][1], 0), finality_of(header, final))
    assert verify_receipt_proof(encode(old.genesis), data).ok, "old receipts stay verifiable"
    with pytest.raises(ProofRefused) as caught:
        verify_receipt_proof(encode(begun.genesis), data)
    assert caught.value.code == errors.PROOF_WRONG_NETWORK
    assert "goes on from it above block 6" in caught.value.words


def test_votes_of_the_old_network_are_none_in_the_new(old: Old, begun: Begun) -> None:
    """C-24, L-4: the id is in everything signed, so a certificate of the old network proves nothing here."""
    header = begun.header()
    final = certificate(old.network_id, header_hash(header), (0, 1), keys=begun.keys)
    with pytest.raises(errors.BrokenInvariant):
        receipt_proof(begun.genesis, begun.tables, 5, envelope_at(old.blocks[5][1], 0), finality_of(header, final))


def test_headers_name_the_survivors(begun: Begun) -> None:
    assert begun.header().validators_hash == validators_hash(validator_set(begun.genesis))
