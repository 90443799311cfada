"""Following events: bytes in any pieces, positions without gap or repeat."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.client.following import EVENT_CHARACTERS_MAX, Follower, StreamEvent, StreamParser
from daemon.client.views import BadAnswer

ACCOUNT = bytes(range(32))


def receipt(position: int, ends: str = "\n") -> bytes:
    data: dict[str, Any] = {"log_index": position, "transaction": position.to_bytes(32, "big").hex(), "height": 1}
    data |= {"time_ms": 5, "position": 0, "code": "ok", "account": ACCOUNT.hex()}
    data |= {"operations": [{"app": "evidence", "name": "record"}]}
    return ends.join([f"id: {position}", "event: receipt", f"data: {json.dumps(data)}", "", ""]).encode()


def block(last: int, height: int = 1) -> bytes:
    return f"id: {last}@{height}\nevent: block\ndata: {{}}\n\n".encode()


def positions(follower: Follower, data: bytes) -> list[int]:
    return [event.position for event in follower.feed(data)]


@given(
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
    texts=st.lists(
        st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20), max_size=5
    ),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_events_do_not_depend_on_how_bytes_come(ends: str, texts: list[str], cuts: list[int]) -> None:
    stream = b"".join(
        f"id: {i}{ends}data: {t}{ends}: comment{ends}data: more{ends}{ends}".encode() for i, t in enumerate(texts)
    )
    bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    parser = StreamParser()
    found = [event for low, high in pairwise(bounds) for event in parser.feed(stream[low:high])]
    assert found == [StreamEvent("message", f"{text}\nmore", str(i)) for i, text in enumerate(texts)]


def test_comments_retry_and_half_an_event_are_no_events() -> None:
    parser = StreamParser()
    assert list(parser.feed(b"\xef\xbb\xbf: alive\n\nretry: 1000\n\nid: 4\nevent: receipt\ndata: {")) == []


@pytest.mark.parametrize("piece", [b"x" * 65_536, b"data: " + b"x" * 65_536 + b"\n"], ids=["line", "lines"])
def test_an_event_without_an_end_is_not_collected_for_ever(piece: bytes) -> None:
    parser = StreamParser()
    pieces = [piece] * (EVENT_CHARACTERS_MAX // 65_536 + 2)
    with pytest.raises(BadAnswer, match="without an end"):
        _ = [list(parser.feed(piece)) for piece in pieces]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_events_are_opened(ends: str) -> None:
    (event,) = Follower(None).feed(receipt(0, ends))
    assert (event.position, event.height, event.ok, event.account) == (0, 1, True, ACCOUNT)
    assert event.operations == (("evidence", "record"),)


def test_a_repeat_is_dropped_and_a_gap_refused() -> None:
    follower = Follower(4)
    assert positions(follower, receipt(3) + receipt(4) + receipt(5) + receipt(5) + receipt(6)) == [5, 6]
    with pytest.raises(BadAnswer, match="event 8 where 7 follows"):
        positions(follower, receipt(8))
    assert follower.after == 6
    assert dict(follower.question().query) == {"after": "6"}


def test_a_gap_shows_at_the_end_of_a_block_too() -> None:
    follower = Follower(4)
    assert positions(follower, block(4) + receipt(5) + block(5)) == [5]
    with pytest.raises(BadAnswer, match="ends with 7 where 6 follows"):
        positions(follower, block(7, 2))


def test_blocks_move_a_filtered_position() -> None:
    follower = Follower(None, app="evidence", account=ACCOUNT)
    assert dict(follower.question().query) == {"app": "evidence", "account": ACCOUNT.hex()}
    assert positions(follower, block(-1) + receipt(3) + block(7, 2)) == [3]
    assert dict(follower.question().query)["after"] == "7"
    assert positions(follower, receipt(7) + receipt(9)) == [9]


def test_what_was_half_received_is_forgotten_with_the_stream() -> None:
    follower = Follower(None)
    whole = receipt(0)
    assert positions(follower, whole[:40]) == []
    follower.question()
    assert positions(follower, whole) == [0]


@pytest.mark.parametrize("position", ["", "x", "1@2", "-2", "٣", "1" * 20])
def test_a_position_that_is_none(position: str) -> None:
    with pytest.raises(BadAnswer):
        positions(Follower(None), f"id: {position}\nevent: receipt\ndata: {{}}\n\n".encode())


@given(
    log=st.integers(0, 30),
    after=st.none() | st.integers(0, 30),
    cuts=st.lists(st.tuples(st.integers(0, 6_000), st.booleans()), max_size=12),
)
def test_cuts_anywhere_leave_no_gap_and_no_repeat(log: int, after: int | None, cuts: list[tuple[int, bool]]) -> None:
    """Each connection begins after the position asked for, or a little before, and is cut at any byte."""
    follower = Follower(after)
    seen: list[int] = []
    for size, is_early in [*cuts, (10**9, False)]:
        begin = int(dict(follower.question().query).get("after", "-1")) + 1
        stream = b"".join(receipt(position) for position in range(max(0, begin - is_early), log))
        seen += positions(follower, stream[:size])
    assert seen == list(range(0 if after is None else after + 1, log))
