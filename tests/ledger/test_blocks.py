"""Headers: valid, invalid or later, one check each (L-17, L-18)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from protocol import limits
from protocol.ledger.blocks import (
    Parent,
    Standing,
    Surroundings,
    choose_references,
    judge_header,
    leader_time_ms,
    parent_of,
)
from protocol.ledger.genesis import DEFAULT_PARAMETERS, rules_version, validator_set, validators_hash
from protocol.ledger.records import Executed, Header, Reference, header_hash
from tests.ledger.world import World, key

WORLD = World()
VOTERS = frozenset(v.voting_key for v in WORLD.genesis.validators)
HASH = validators_hash(validator_set(WORLD.genesis))
PARAMETERS = replace(DEFAULT_PARAMETERS, batch_ttl_max=21, execution_lag_max=5)
RESULTS = [Executed(h, bytes([h]) * 32, h, bytes([100 + h]) * 32) for h in range(20)]
PARENT = Parent(b"p" * 32, 9, 5_000, RESULTS[4])
AROUND = Surroundings(
    parameters=PARAMETERS,
    rules=rules_version(WORLD.genesis, 10),
    epoch=1,
    proposer=WORLD.genesis.validators[0].voting_key,
    validators=VOTERS,
    validators_hash=HASH,
    parent=PARENT,
    used=lambda digest: digest == b"u" * 32,
    ready=lambda reference: {b"a"[0]: 10, b"b"[0]: 31}.get(reference.digest[0]),
    executed_at=lambda height: RESULTS[height] if height <= 7 else None,
    next_at=lambda height: HASH if height <= 7 else None,
    lag=lambda height: 9 - height,
    clock_ms=6_000,
)
A = Reference(key(300).public, b"a" * 32, 1_000, 10)
B = Reference(key(301).public, b"b" * 32, 1_000, 10)
HEADER = Header(1, 1, 10, PARENT.hash, 6_000, AROUND.proposer, (A, B), RESULTS[4], HASH, HASH)


def standing(header: Header, around: Surroundings = AROUND) -> Standing:
    judgement = judge_header(header, around)
    assert bool(judgement.words) == (judgement.standing is not Standing.VALID), "what is not valid says why"
    return judgement.standing


def test_a_good_header_is_valid() -> None:
    assert standing(HEADER) is Standing.VALID
    assert standing(replace(HEADER, references=(), time_ms=5_001)) is Standing.VALID


INVALID: dict[str, Callable[[Header], Header]] = {
    "rules": lambda h: replace(h, rules=2),
    "epoch": lambda h: replace(h, epoch=2),
    "height": lambda h: replace(h, height=11),
    "parent": lambda h: replace(h, parent=bytes(32)),
    "proposer": lambda h: replace(h, proposer=AROUND.validators_hash),
    "time not after the parent's": lambda h: replace(h, time_ms=5_000),
    "validators": lambda h: replace(h, validators_hash=bytes(32)),
    "next validators": lambda h: replace(h, next_validators_hash=bytes(32)),
    "twice": lambda h: replace(h, references=(A, A)),
    "in an ancestor": lambda h: replace(h, references=(A, replace(B, digest=b"u" * 32))),
    "by no validator": lambda h: replace(h, references=(replace(A, author=key(1).public),)),
    "too many bytes": lambda h: replace(h, references=_many(size=limits.BATCH_BYTES_MAX)),
    "too many envelopes": lambda h: replace(h, references=_many(count=limits.BATCH_ENVELOPES_MAX)),
    "executed below the parent's": lambda h: replace(h, executed=RESULTS[3]),
    "executed at the parent's height and other": lambda h: replace(h, executed=replace(RESULTS[4], log_size=99)),
    "executed other than here": lambda h: replace(h, executed=replace(RESULTS[6], state_root=bytes(32))),
    "executed above the parent": lambda h: replace(h, executed=RESULTS[10]),
}


def _many(size: int = 1_000, count: int = 10) -> tuple[Reference, ...]:
    return tuple(Reference(A.author, b"a" + bytes([i]) * 31, size, count) for i in range(20))


@pytest.mark.parametrize("why", INVALID)
def test_invalid(why: str) -> None:
    """L-18, each alone and also while something else is missing: invalid is not *later*."""
    assert standing(INVALID[why](HEADER)) is Standing.INVALID
    early = replace(AROUND, clock_ms=0, ready=lambda _: None)
    assert standing(INVALID[why](HEADER), early) is Standing.INVALID


def test_a_batch_is_usable_from_expiry_less_ttl_to_expiry() -> None:
    """L-11, both ends."""
    for expiry, expected in ((9, Standing.INVALID), (10, Standing.VALID), (31, Standing.VALID), (32, Standing.INVALID)):
        heights = dict.fromkeys((A, B), expiry)
        assert standing(HEADER, replace(AROUND, ready=heights.get)) is expected


def test_too_many_references() -> None:
    few = replace(AROUND, parameters=replace(PARAMETERS, block_references_max=1))
    assert standing(HEADER, few) is Standing.INVALID
    assert standing(replace(HEADER, references=(A,)), few) is Standing.VALID


def test_what_is_missing_is_later_and_named() -> None:
    """L-18: a batch, a result, the time."""
    judgement = judge_header(replace(HEADER, references=(replace(A, digest=b"z" * 32), B)), AROUND)
    assert judgement.standing is Standing.LATER
    assert [reference.digest for reference in judgement.missing] == [b"z" * 32]
    assert standing(replace(HEADER, executed=RESULTS[8])) is Standing.LATER
    assert standing(replace(HEADER, executed=RESULTS[7])) is Standing.VALID


def test_time_ahead_of_the_clock_waits_but_never_beyond_the_parents_next() -> None:
    """L-18: max(local clock + clock_drift_max_ms, parent time + 1)."""
    latest = AROUND.clock_ms + PARAMETERS.clock_drift_max_ms
    assert standing(replace(HEADER, time_ms=latest)) is Standing.VALID
    assert standing(replace(HEADER, time_ms=latest + 1)) is Standing.LATER
    behind = replace(AROUND, clock_ms=0)
    assert standing(replace(HEADER, time_ms=5_001), behind) is Standing.VALID
    assert standing(replace(HEADER, time_ms=5_002), behind) is Standing.LATER


def test_no_references_while_execution_is_too_far_behind() -> None:
    """L-18: empty blocks stay possible."""
    far = replace(AROUND, lag=lambda _: PARAMETERS.execution_lag_max + 1)
    at_bound = replace(AROUND, lag=lambda _: PARAMETERS.execution_lag_max)
    assert standing(HEADER, at_bound) is Standing.VALID
    assert standing(HEADER, far) is Standing.INVALID
    assert standing(replace(HEADER, references=()), far) is Standing.VALID


def test_the_leaders_time() -> None:
    assert leader_time_ms(7, 5) == 7
    assert leader_time_ms(5, 5) == 6
    assert leader_time_ms(0, 5) == 6


def test_a_header_that_was_executed_is_valid_as_built() -> None:
    """The world's headers, judged by the rules."""
    world = World()
    world.run(world.put(1))
    batch = world.batch([world.put(2)])
    header = world.header([batch])
    around = replace(
        AROUND,
        parent=replace(parent_of(world.headers[0], header_hash(world.headers[0]))),
        executed_at=lambda height: world.executed[height],
        ready=lambda _: 22,
        clock_ms=world.time_ms + 100,
        lag=lambda _: 0,
    )
    assert standing(header, around) is Standing.VALID


def test_references_are_chosen_member_by_member_within_the_bounds() -> None:
    """L-12: one member's load does not starve another's."""
    heavy = [replace(A, digest=bytes([i]) * 32) for i in range(10)]
    light = [replace(B, digest=bytes([100 + i]) * 32) for i in range(2)]
    four = replace(PARAMETERS, block_references_max=4)
    chosen = choose_references([*heavy, *light], lambda author: author.hex(), four)
    assert [reference.author for reference in chosen] == [A.author, B.author, A.author, B.author]
    tight = replace(PARAMETERS, block_envelopes_max=25, block_bytes_max=10**6)
    assert len(choose_references([*heavy, *light], lambda author: author.hex(), tight)) == 2
    assert choose_references([], lambda author: author.hex(), four) == ()
