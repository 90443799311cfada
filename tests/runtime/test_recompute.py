"""A history executed again: what fits, and each way in which one may not (L-22, L-26)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.client import evidence
from daemon.demo.desk import with_bad_signature
from daemon.demo.load import Task
from daemon.runtime.recompute import main, recompute
from protocol.codec import encode
from protocol.errors import OperatorFault, PapilioError
from protocol.ledger.execution import Diverged
from protocol.ledger.records import Block, Header, header_hash
from tests.demo.kit import Ledger
from tests.proofs.chain import certificate


class History:
    """Some blocks of evidence, as a disk holds them, and ways to spoil them."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        for number in range(3):
            self.play(number)

    def play(self, number: int) -> None:
        desk, people = self.ledger.desk, self.ledger.people
        data = number.to_bytes(4, "big")
        signed = [desk.sign(people.riders[at], [evidence.record_of(data)]) for at in (0, 1)]
        again = desk.sign(people.riders[0], [evidence.record_of(data)])
        tasks = [*(Task("evidence", "ok", one) for one in signed), Task("again", "already_recorded", again)]
        self.ledger.play_well(tasks)

    def reader(self, alter: Callable[[Header, Block], Block] = lambda _, block: block) -> Callable[[int], bytes | None]:
        blocks = self.ledger.world.blocks

        def read(height: int) -> bytes | None:
            if not 1 <= height <= len(blocks):
                return None
            header, batches = blocks[height - 1]
            return encode(alter(header, Block(encode(header), batches, None)))

        return read


@pytest.fixture
def history() -> History:
    return History()


def test_a_history_that_fits(history: History) -> None:
    world = history.ledger.world
    found = recompute(world.genesis, history.reader(), 3)
    assert found.executed == world.executed[3]
    assert dict(found.codes) == {"ok": 6, "already_recorded": 3}
    assert (found.blocks, found.wrong, found.certified_height) == (3, [], 0)
    assert found.signatures == 3 * (3 + 1), "each envelope's and each batch's"
    assert json.loads(json.dumps(found.as_json()))["state_root"] == world.executed[3].state_root.hex()


def test_a_lower_height(history: History) -> None:
    assert recompute(history.ledger.world.genesis, history.reader(), 2).executed == history.ledger.world.executed[2]
    assert recompute(history.ledger.world.genesis, history.reader(), 0).executed == history.ledger.world.executed[0]


def test_a_block_that_is_not_there(history: History) -> None:
    with pytest.raises(OperatorFault, match="block 4 is not on this disk"):
        recompute(history.ledger.world.genesis, history.reader(), 4)


def test_a_bad_signature_in_a_final_batch(history: History) -> None:
    ledger = history.ledger
    signed = ledger.desk.sign(ledger.people.riders[0], [evidence.record_of(b"forged")])
    ledger.world.run(with_bad_signature(signed).data)
    found = recompute(ledger.world.genesis, history.reader(), 4)
    assert found.wrong == [f"a signature of {ledger.people.riders[0].keys[0].public.hex()} in a final batch is bad"]


def test_envelopes_that_were_skipped_are_counted_apart(history: History) -> None:
    """L-7: what is expired at block time leaves nothing."""
    ledger = history.ledger
    late = ledger.desk.sign(ledger.people.riders[0], [evidence.record_of(b"late")], validity_ms=-50_000)
    ledger.world.run(late.data)
    found = recompute(ledger.world.genesis, history.reader(), 4)
    assert dict(found.skipped) == {"expired": 1}
    assert found.executed == ledger.world.executed[4]


def test_a_wrong_root_in_a_header(history: History) -> None:
    """L-22."""

    def alter(header: Header, block: Block) -> Block:
        wrong = replace(header, executed=replace(header.executed, state_root=bytes(32)))
        return replace(block, header=encode(wrong)) if header.height == 2 else block

    with pytest.raises(Diverged):
        recompute(history.ledger.world.genesis, history.reader(alter), 3)


def test_a_batch_that_was_exchanged(history: History) -> None:
    other = history.ledger.world.blocks[0][1]

    def alter(header: Header, block: Block) -> Block:
        return replace(block, batches=other) if header.height == 3 else block

    with pytest.raises(PapilioError, match="not the one that its header references"):
        recompute(history.ledger.world.genesis, history.reader(alter), 3)


def with_certificates(history: History, signers: tuple[int, ...]) -> Callable[[int], bytes | None]:
    """The first two blocks with certificates by these validators."""

    def alter(header: Header, block: Block) -> Block:
        made = certificate(history.ledger.world.network_id, header_hash(header), signers)
        return replace(block, finalization=encode(made)) if header.height <= 2 else block

    return history.reader(alter)


def test_up_to_where_certificates_prove_it(history: History) -> None:
    found = recompute(history.ledger.world.genesis, with_certificates(history, (0, 1, 3)), 3)
    assert (found.wrong, found.certified_height) == ([], 2)


def test_a_certificate_without_a_quorum(history: History) -> None:
    found = recompute(history.ledger.world.genesis, with_certificates(history, (0, 1)), 3)
    assert found.certified_height == 0
    assert [words.partition(":")[0] for words in found.wrong] == [
        "the certificate of block 1",
        "the certificate of block 2",
    ]


def test_a_directory_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "network.toml"), str(tmp_path)]) == 1
    assert "no such file or directory" in json.loads(capsys.readouterr().out)["wrong"][0]
