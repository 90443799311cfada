"""What the lab looks for on disks, each rule with a directory in which it does not hold: planted, and found."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from daemon.client import Receipt
from daemon.config.genesis import to_table
from daemon.config.network import Network, NetworkFile, load_network
from daemon.config.write import to_toml
from daemon.lab.judging import Disk, Judgement, judge, read_disks
from daemon.store.files import OsFiles
from daemon.store.journal import Journal
from daemon.store.segment_file import segment_path
from protocol.codec import decode, encode
from protocol.consensus.statements import CONTEXTS, Proposal, Vote, VoteKind, statement_bytes
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.ledger.records import Batch, BatchBody, Envelope
from protocol.node.interface import JournalKind
from tests.audit.kit import HEIGHT, Alter, flip, made_world, node_directory, only, with_header
from tests.ledger.world import World
from tests.proofs.chain import voters


@dataclass
class Found:
    """Two directories of one world, and what clients know."""

    world: World
    place: Path
    network: Network
    disks: list[Disk]
    receipts: dict[bytes, Receipt] = field(default_factory=dict)
    bad: set[bytes] = field(default_factory=set)

    def read(self) -> Judgement:
        return read_disks(self.network, self.disks, self.receipts, self.bad)

    def wrong(self) -> set[tuple[str, int | None]]:
        return {(wrong.rule, wrong.node) for wrong in self.read().wrong}

    async def judged(self) -> Judgement:
        """With the audits, which are processes."""
        return await judge(self.network, self.disks, self.receipts, self.bad, lambda _words: None)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path]:
    """A world, and a directory that holds it."""
    world = made_world()
    return world, node_directory(tmp_path_factory.mktemp("original") / "data", world)


@pytest.fixture
def found(original: tuple[World, Path], tmp_path: Path) -> Found:
    world, data = original
    file = tmp_path / "network.toml"
    file.write_text(to_toml(NetworkFile(genesis=to_table(world.genesis)), comments=False))
    disks = [Disk(index, shutil.copytree(data, tmp_path / f"node-{index}")) for index in range(2)]
    return Found(world, tmp_path, load_network(file), disks)


def seen(found: Found, height: int = 1, position: int = 0) -> Receipt:
    """The receipt of a transaction of the world, as a client saw it."""
    header, batches = found.world.blocks[height - 1]
    inside = [envelope for data in batches for envelope in decode(BatchBody, decode(Batch, data).body).envelopes]
    transaction = digest(Domain.TRANSACTION, decode(Envelope, inside[position]).body)
    return Receipt(transaction, height, header.time_ms, position, "ok", None, "", (), position)


async def test_two_whole_directories_and_one_with_another_block(found: Found) -> None:
    receipt = seen(found)
    found.receipts[receipt.transaction] = receipt
    judgement = await found.judged()
    assert judgement.wrong == []
    assert judgement.heights == {0: HEIGHT, 1: HEIGHT}
    assert judgement.state_root != ""
    assert judgement.checked["durability"] == "1 receipts that clients saw, looked for on 2 disks"
    assert set(judgement.checked) == {"agreement", "validity", "votes", "durability", "soundness"}
    alter = only(4, lambda block: with_header(block, time_ms=1_900_000_000_000))
    found.disks[1] = Disk(1, node_directory(found.place / "other", found.world, alter=alter))
    assert found.wrong() == {("agreement", 1)}
    found.disks = found.disks[1:]
    alone = {(wrong.rule, wrong.node) for wrong in (await found.judged()).wrong}
    assert alone == {("validity", 1)}, "nobody signed that block, nor does the next one stand on it"


def test_a_bit_of_a_block(found: Found) -> None:
    flip(segment_path(found.disks[1].data / "segments", 1), 300)
    assert found.wrong() == {("durability", 1)}


def test_blocks_that_are_gone_take_receipts_with_them(found: Found) -> None:
    receipt = seen(found, HEIGHT)
    found.receipts[receipt.transaction] = receipt
    found.disks = [Disk(0, node_directory(found.place / "shorter", found.world, alter=_up_to(HEIGHT - 1)))]
    (wrong,) = found.read().wrong
    assert (wrong.rule, wrong.node) == ("durability", 0)
    assert "is nowhere in the segments" in wrong.words


def _up_to(last: int) -> Alter:
    return lambda height, block: block if height <= last else None


@pytest.mark.parametrize("change", [{"code": "forbidden"}, {"log_index": 3}, {"time_ms": 1}, {"position": 1}])
def test_a_receipt_that_says_something_else_than_a_client_saw(found: Found, change: dict[str, object]) -> None:
    receipt = replace(seen(found), **change)  # type: ignore[arg-type]
    found.receipts[receipt.transaction] = receipt
    found.disks = found.disks[:1]
    assert found.wrong() == {("durability", 0)}


def test_a_bad_signature_that_became_final(found: Found) -> None:
    found.bad.add(seen(found).transaction)
    found.disks = found.disks[:1]
    assert found.wrong() == {("soundness", 0)}


@pytest.mark.parametrize("kinds", [(VoteKind.NOTARIZE, VoteKind.NOTARIZE), (VoteKind.FINALIZE, VoteKind.NULLIFY)])
def test_two_statements_of_one_key_on_two_disks(found: Found, kinds: tuple[VoteKind, VoteKind]) -> None:
    """C-10: neither journal alone holds a contradiction."""
    for disk, kind in zip(found.disks, kinds, strict=True):
        vote(found, disk, kind, bytes([disk.index + 1]) * 32)
    wrong = found.read().wrong
    assert [(one.rule, one.node) for one in wrong] == [("votes", 1)]
    assert "signed in view 400" in wrong[0].words


def vote(found: Found, disk: Disk, kind: VoteKind, payload: bytes) -> None:
    """Write a vote of validator 0 in view 400 into a journal."""
    proposal = None if kind is VoteKind.NULLIFY else Proposal(1, 400, 399, payload)
    signed = voters()[0].sign(CONTEXTS[kind], found.network.network_id, statement_bytes(kind, 1, 400, proposal))
    data = encode(Vote(int(kind), 1, 400, proposal, 0, signed))
    journal, _, _ = Journal.open(disk.data / "journal", OsFiles(), found.network.network_id, bytes(16))
    journal.append([(int(JournalKind.VOTE), data)])
    journal.sync()
    journal.close()


def test_what_nodes_left_behind(found: Found) -> None:
    reports, evidence = found.disks[0].data / "reports", found.disks[1].data / "evidence"
    reports.mkdir()
    (reports / "crash-1.json").write_text(json.dumps({"code": "broken_invariant", "words": "planted"}))
    evidence.mkdir()
    (evidence / "equivocation-1.evidence").write_bytes(b"anything")
    assert found.wrong() == {("soundness", 0), ("votes", 1)}
