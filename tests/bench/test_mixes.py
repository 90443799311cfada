"""Mixes that somebody makes up: read, refused in words, and applied by the real ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from daemon.bench.mixes import mix_text, parse_mix, workload_of
from daemon.bench.workloads import WORKLOADS, endowing, make_cast, opening, sign
from protocol.ledger.envelope import parse_envelope
from tests.bench.test_workloads import codes
from tests.demo.kit import Ledger


def test_a_mix_has_its_weights_its_operations_and_its_text() -> None:
    workload = parse_mix(mix_text("evidence=1,transfer=3", 4, 100))
    ledger = Ledger()
    cast = make_cast(bytes(32), ledger.people.issuer.name)
    kinds: Counter[str] = Counter()
    for number in range(8):
        operations: Sequence[Any] = workload.envelope(cast, number)[1]
        assert len(operations) == workload.operations == 4
        kinds[type(operations[0]).__name__] += 1
        texts = [one.memo if hasattr(one, "memo") else one.statement.reference for one in operations]
        assert [len(text) for text in texts] == [100] * 4
    assert kinds == {"RecordEvidence": 2, "Transfer": 6}
    assert workload_of("single") is WORKLOADS["single"]


@pytest.mark.parametrize(
    "text", ["evidence=1", "trip=1;operations=4", "hot=1,evidence=2;size=256", "transfer=1;size=9"]
)
def test_every_mix_is_applied(text: str) -> None:
    ledger = Ledger()
    world, desk, workload = ledger.world, ledger.desk, parse_mix(text)
    cast = make_cast(bytes(32), ledger.people.issuer.name)
    for account, operations in [(ledger.people.issuer, opening(cast)), *endowing(cast)]:
        codes(world, [desk.sign(account, operations).data])
    signed = [sign(desk, cast, workload, number) for number in range(12)]
    parsed = [parse_envelope(one.data, desk.network_id) for one in signed]
    assert {len(one.body.operations) for one in parsed} == {workload.operations}
    codes(world, [one.data for one in signed])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not NAME=NUMBER"),
        ("mint=1", "is not NAME=NUMBER with a name of evidence, transfer, hot, trip"),
        ("evidence=x", "is not NAME=NUMBER"),
        ("evidence=-1", "is not NAME=NUMBER"),
        ("evidence=101", "up to 100"),
        ("evidence=1,evidence=1", "is not NAME=NUMBER"),
        ("evidence=0", "an operation with a weight above 0"),
        ("trip=1", "a trip is two operations"),
        ("evidence=1;operations=0", "an envelope has an operation"),
        ("evidence=1;colour=3", "with a name of operations, size"),
    ],
)
def test_what_is_no_mix_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_mix(text)
