"""Following events: bytes in any pieces, positions without gap or repeat."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.client.core import Core
from daemon.client.errors import ClientError, NodeRefused, Unreachable
from daemon.client.following import EVENT_CHARACTERS_MAX, Follower, StreamEvent, StreamParser
from daemon.client.views import BadAnswer
from tests.client.world import Fault, World

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


# -- Streams that end ---------------------------------------------------------------------------------


def end(code: str) -> bytes:
    """The last event of a stream."""
    data = {"detail": "as told", "code": code} if code else {}
    return f"event: end\ndata: {json.dumps(data)}\n\n".encode()


RETRY = b"retry: 1000\n\n"
ALIVE = b": alive\n\n"


def follow(world: World, follower: Follower, streams: list[bytes], patience_seconds: float = 60) -> list[int] | str:
    """Follow while each stream gives the next of these bytes and ends; then always the last: what came, or was raised.

    It ends after a hundred streams.
    """
    core = Core(world.urls, world.surroundings, None)
    seen: list[int] = []
    for number in range(100):
        try:
            endpoint = world.play(core.open_events(follower, patience_seconds))
        except ClientError as fault:
            return f"{type(fault).__name__}: {fault.words}"
        try:
            seen.extend(event.position for event in follower.feed(streams[min(number, len(streams) - 1)]))
            core.stream_fared(endpoint, follower)
        except BadAnswer as fault:
            core.stream_fared(endpoint, follower, fault)
        else:
            core.stream_fared(endpoint, follower, StopIteration())
    return seen


@pytest.mark.parametrize("before", [b"", block(4, 7), block(4, 7) + block(4, 8)], ids=["none", "one", "empty ones"])
@pytest.mark.parametrize("endpoints", [1, 2])
def test_streams_that_always_end_are_opened_ever_less_and_raised_in_the_end(endpoints: int, before: bytes) -> None:
    """The block after the position is damaged: each stream repeats what is known, says so, and is over."""
    world = World(endpoints)
    told = follow(world, Follower(4), [RETRY + before + end("segment_damaged")])
    assert told == "NodeRefused: as told"
    assert max(world.pauses) > 2.0
    assert len(world.asked) <= 30 * endpoints
    assert 55 <= world.seconds <= 65


def test_the_reason_of_an_end_has_code_and_endpoint() -> None:
    world = World(2, [Fault.NONE] + [Fault.DOWN] * 1_000)
    core, follower = Core(world.urls, world.surroundings, None), Follower(4)
    endpoint = world.play(core.open_events(follower, 20))
    with pytest.raises(BadAnswer, match="ended the stream: segment_damaged: as told") as ended:
        list(follower.feed(RETRY + end("segment_damaged")))
    core.stream_fared(endpoint, follower, ended.value)
    with pytest.raises(NodeRefused) as raised:
        world.play(core.open_events(follower, 20))
    assert (raised.value.code, raised.value.endpoint) == ("segment_damaged", "http://node0")
    asked = len(world.asked)
    with pytest.raises(Unreachable):
        world.play(core.open_events(follower, 20))
    assert len(world.asked) > asked, "who asks on has the patience again"


@pytest.mark.parametrize("code", ["stopping", ""])
def test_a_node_that_stops_is_left_quietly(code: str) -> None:
    world = World(2)
    streams = [receipt(5) + end(code), RETRY + end(code), receipt(6) + ALIVE]
    assert follow(world, Follower(4), streams) == [5, 6]
    assert [ask.endpoint for ask in world.asked[:2]] == ["http://node0", "http://node1"]


def test_nodes_that_always_stop_are_told_as_unreachable() -> None:
    told = follow(World(1), Follower(4), [RETRY + end("stopping")], patience_seconds=5)
    assert told == "Unreachable: no node answered in time (http://node0: ended the stream: stopping: as told)"


DAMAGED = RETRY + block(4, 7) + end("segment_damaged")


@pytest.mark.parametrize("sign", [ALIVE, block(4, 9), receipt(5)], ids=["heartbeat", "block", "event"])
def test_a_stream_that_moves_ends_the_failures(sign: bytes) -> None:
    """What comes after it has the whole patience again."""
    follower = Follower(4)
    assert isinstance(follow(World(1), follower, [*[DAMAGED] * 5, sign, receipt(5) + ALIVE]), list)
    assert follower.refusal is None


def test_a_stream_that_repeats_what_is_known_does_not_move() -> None:
    assert follow(World(1), Follower(4), [*[DAMAGED] * 5, receipt(4) + block(4, 7)]) == "NodeRefused: as told"


def test_a_heartbeat_before_the_end_counts() -> None:
    follower = Follower(4)
    with pytest.raises(BadAnswer):
        list(follower.feed(ALIVE + end("segment_damaged")))
    assert follower.has_moved
