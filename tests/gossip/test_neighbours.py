"""L-14: who hears whom, and what is passed on."""

from __future__ import annotations

import pytest

from protocol.gossip import Neighbours, neighbours


def mesh(*names: bytes) -> Neighbours:
    known = Neighbours(retry_interval_ms=100)
    for place, name in enumerate(names):
        known.join(name, place, 0)
    return known


def reports(known: Neighbours, peer: bytes, *hears: bytes, at_ms: int = 0) -> None:
    known.peers[peer].hears = frozenset(hears)
    known.peers[peer].hears_ms = at_ms


def test_in_a_full_mesh_nothing_is_passed_on() -> None:
    known = mesh(b"a", b"b", b"c")
    reports(known, b"b", b"a", b"c")
    reports(known, b"c", b"a", b"b")
    assert known.pass_on(b"m", b"a", b"a", 50) == ()


def test_a_peer_that_does_not_hear_the_origin_gets_it_once_in_a_retry_interval() -> None:
    known = mesh(b"a", b"b")
    reports(known, b"b")
    assert known.pass_on(b"m", b"a", b"a", 0) == (b"b",)
    assert known.pass_on(b"m", b"a", b"a", 99) == ()
    reports(known, b"b", at_ms=100)
    assert known.pass_on(b"m", b"a", b"a", 100) == (b"b",), "what is sent again after a cut passes again"


def test_never_back_to_the_sender_or_the_origin() -> None:
    known = mesh(b"a", b"b")
    assert known.pass_on(b"m", b"a", b"b", 0) == ()


def test_a_report_too_old_counts_for_nothing_and_a_new_connection_starts_anew() -> None:
    known = mesh(b"a", b"b")
    reports(known, b"b", b"a")
    assert known.lacking(b"a", 200) == ()
    assert known.lacking(b"a", 201) == (b"b",)
    assert known.pass_on(b"m", b"a", b"a", 300) == (b"b",)
    known.join(b"b", 1, 310)
    assert known.pass_on(b"m", b"a", b"a", 311) == (b"b",)


def test_only_validators_heard_lately_are_reported() -> None:
    known = mesh(b"a", b"b")
    known.join(b"observer", None, 0)
    known.peers[b"a"].heard_ms = 1000
    assert known.hears(1000) == (b"a",)


def test_what_was_passed_on_is_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "PASSED_REMEMBERED_MAX", 5)
    known = mesh(b"a", b"b")
    for number in range(20):
        known.pass_on(bytes([number]), b"a", b"a", 0)
    assert len(known.passed) == 5


def test_batches_go_to_observers_only_where_they_join_validators() -> None:
    """L-14: in a ring of which a member was voted out, its node is the only way to the other side."""
    known = mesh(b"a", b"b")
    known.join(b"observer", None, 0)
    reports(known, b"observer", b"a", b"me")
    assert known.carriers(b"me") == (b"a", b"b"), "it hears nobody that this node does not reach"
    reports(known, b"observer", b"a", b"far")
    assert known.carriers(b"me") == (b"a", b"b", b"observer")
    known.join(b"far", 2, 0)
    assert known.carriers(b"me") == (b"a", b"b", b"far")
