"""Blocks that others give for a restart: what no hash covers is checked before it is kept (R-15)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from protocol.codec import decode, encode
from protocol.consensus.statements import VoteKind
from protocol.consensus.validators import Validators
from protocol.errors import RESTART_BAD_BLOCK
from protocol.ledger.batch import seal_batch
from protocol.ledger.records import Batch, BatchBody, Block, Header, header_hash
from protocol.restart.blocks import by_height, check_path, is_signed
from protocol.restart.opening import RestartRefused
from protocol.restart.weighing import Weighed, weigh
from tests.ledger.world import key
from tests.restart.made import BASE_VIEW, Old


@pytest.fixture(scope="module")
def old() -> Old:
    return Old()


@pytest.fixture(scope="module")
def weighed(old: Old) -> Weighed:
    return weigh(old.genesis, old.opened(old.report(0), old.report(1)))


def given(old: Old) -> dict[int, bytes]:
    """All six blocks, the fifth with its finalization, the sixth without one."""
    finalization = encode(old.certified(old.base, VoteKind.FINALIZE, BASE_VIEW))
    certified = {5: finalization}
    return by_height(
        encode(Block(encode(header), batches, certified.get(header.height))) for header, batches in old.blocks
    )


def changed(old: Old, height: int, **fields: object) -> dict[int, bytes]:
    """The same with other fields in one block."""
    found = given(old)
    return found | {height: encode(replace(decode(Block, found[height]), **fields))}  # type: ignore[arg-type]


def refused(weighed: Weighed, blocks: Mapping[int, bytes]) -> str:
    with pytest.raises(RestartRefused) as caught:
        check_path(weighed, blocks, 0)
    assert caught.value.code == RESTART_BAD_BLOCK
    return caught.value.words


def test_blocks_as_they_were_sealed_lead_down_to_the_network(old: Old, weighed: Weighed) -> None:
    assert check_path(weighed, given(old), 0) == old.network_id
    assert check_path(weighed, given(old), 3) == header_hash(old.headers[2])
    assert check_path(weighed, {}, 6) == header_hash(old.tip)


def resigned(batch: bytes, signature: bytes) -> bytes:
    """The same batch, by its digest, under another signature."""
    return encode(replace(decode(Batch, batch), signature=signature))


def test_a_batch_without_its_authors_signature_is_refused(old: Old, weighed: Weighed) -> None:
    """No digest covers the signature: the block's hash is the same with any."""
    (batch,) = old.blocks[1][1]
    body = decode(BatchBody, decode(Batch, batch).body)
    by_another = decode(Batch, seal_batch(old.network_id, key(301), body.expiry_height, body.envelopes)).signature
    assert is_signed(old.network_id, batch)
    for signature in (bytes(64), by_another):
        forged = resigned(batch, signature)
        assert not is_signed(old.network_id, forged)
        words = refused(weighed, changed(old, 2, batches=(forged,)))
        assert words.startswith("block 2: batch 0: it is not signed by its author")


def test_a_batch_of_another_network_or_none_is_signed_by_nobody(old: Old) -> None:
    other = seal_batch(bytes(32), key(300), 50, [old.put(1)])
    assert not is_signed(old.network_id, other)
    assert not is_signed(old.network_id, b"")


def test_an_author_has_to_be_a_validator_of_the_blocks_epoch(old: Old, weighed: Weighed) -> None:
    """L-18: one that left the set before that epoch is none, though its signature is good."""
    author = key(300).public
    left = [at for at, public in enumerate(weighed.validators.keys) if public != author]
    keys, powers = weighed.validators.keys, weighed.validators.powers
    without = Validators(tuple(keys[at] for at in left), tuple(powers[at] for at in left))
    words = refused(replace(weighed, voters={1: without}), given(old))
    assert words == f"block 6: batch 0: its author {author.hex()} is no validator of epoch 1"
    assert "epoch 1" in refused(replace(weighed, voters={2: weighed.validators}), given(old))


def test_a_block_has_the_batches_that_its_header_references(old: Old, weighed: Weighed) -> None:
    assert "not the one that the header references" in refused(weighed, changed(old, 4, batches=old.blocks[2][1]))
    assert "0 batches, its header references 1" in refused(weighed, changed(old, 4, batches=()))
    assert "batch 0" in refused(weighed, changed(old, 4, batches=(b"\0",)))


def test_another_block_and_a_missing_one_are_refused(old: Old, weighed: Weighed) -> None:
    other = replace(old.headers[3], time_ms=old.headers[3].time_ms + 1)
    assert refused(weighed, changed(old, 4, header=encode(other))).startswith("block 4: it is not the block")
    assert refused(weighed, {h: data for h, data in given(old).items() if h != 3}) == "block 3: it is missing"
    assert refused(weighed, given(old) | {3: b"\1"}).startswith("block 3: ")
    with pytest.raises(RestartRefused, match="does not read"):
        by_height([b"\1"])


def test_a_finalization_is_a_quorums_over_that_very_block(old: Old, weighed: Weighed) -> None:
    few = old.certified(old.base, VoteKind.FINALIZE, BASE_VIEW, (0, 1))
    other = old.certified(old.tip, VoteKind.FINALIZE, BASE_VIEW)
    weaker = old.certified(old.base, VoteKind.NOTARIZE, BASE_VIEW)
    for wrong in (*map(encode, (few, other, weaker)), b"\1"):
        assert refused(weighed, changed(old, 5, finalization=wrong)).startswith("block 5: its finalization: ")


def test_who_closed_an_ended_epoch_brings_its_finalization(old: Old, weighed: Weighed) -> None:
    """C-21: the next epoch stands on it; only the last kept block may close one without."""
    header, batches = old.blocks[5]
    closing = replace(header, next_validators_hash=bytes(32))
    block = {6: encode(Block(encode(closing), batches, None))}
    last = replace(weighed, kept=(closing,))
    assert check_path(last, block, 5) == header.parent
    with pytest.raises(RestartRefused, match="closed epoch 1, and comes without its finalization"):
        check_path(replace(last, epoch=2), block, 5)


def test_the_tip_of_the_reports_is_what_is_looked_for(old: Old, weighed: Weighed) -> None:
    tip = decode(Header, decode(Block, given(old)[6]).header)
    assert weighed.tip == tip
    assert weighed.voters == {1: weighed.validators}
