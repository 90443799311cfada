"""What is sent becomes what it has to on the real ledger, and bad signatures are where they are counted."""

from __future__ import annotations

import time

import pytest

from daemon.bench.workloads import BAD_EVERY, WORKLOADS, endowing, make_cast, opening, sign
from protocol.crypto.signing import verify_message
from protocol.ledger.envelope import parse_envelope, signature_items
from tests.demo.kit import Ledger


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_every_mix_is_applied(name: str) -> None:
    ledger = Ledger()
    world, desk, workload = ledger.world, ledger.desk, WORKLOADS[name]
    cast = make_cast(bytes(32), ledger.people.issuer.name)
    given = [(ledger.people.issuer, opening(cast)), *endowing(cast)]
    for account, operations in given:
        codes(world, [desk.sign(account, operations).data])
    signed = [sign(desk, cast, workload, number) for number in range(30)]
    parsed = [parse_envelope(one.data, desk.network_id) for one in signed]
    assert {len(one.body.operations) for one in parsed} == {workload.operations}
    assert {len(one.signatures) for one in parsed} == {1}
    codes(world, [one.data for one in signed])


def codes(world: object, envelopes: list[bytes]) -> None:
    assert envelopes
    now_ms = time.time_ns() // 1_000_000
    done = world.run(*envelopes, step_ms=max(1, now_ms - world.time_ms))  # type: ignore[attr-defined]
    assert {outcome.code for outcome in done.outcomes} == {"ok"}


def test_one_in_a_hundred_has_a_bad_signature() -> None:
    ledger = Ledger()
    cast = make_cast(bytes(32), ledger.people.issuer.name)
    signed = [sign(ledger.desk, cast, WORKLOADS["single"], number) for number in range(2 * BAD_EVERY)]
    for one in signed:
        parsed = parse_envelope(one.data, ledger.desk.network_id)
        assert all(verify_message(*item) for item in signature_items(parsed)) is one.good
        assert parsed.transaction == one.transaction
    assert [number for number, one in enumerate(signed) if not one.good] == [BAD_EVERY - 1, 2 * BAD_EVERY - 1]
