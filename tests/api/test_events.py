"""The event stream: without gap or repeat from any position, over any cuts, with any filter."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon import limits
from daemon.api import connection, events
from protocol.crypto.signing import SigningKey
from protocol.ledger.records import account_name
from tests.api.serving import Api, LocalNode, serving
from tests.ledger.world import key


class Event(NamedTuple):
    """One event as it came."""

    id: str | None
    name: str
    data: Any


def parse(text: str) -> list[Event]:
    """The whole events of a stream; what is cut off at the end is not one."""
    found = []
    for block in text.split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if "event" in lines:
            found.append(Event(lines.get("id"), lines["event"], json.loads(lines["data"])))
    return found


class Listener:
    """A client of the stream on a socket of its own, that can be cut at any byte."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._raw = b""
        self.head = ""
        self.text = ""

    async def read(self) -> bool:
        """Read on; False at the end."""
        data = await self._stream.receive_some(65_536)
        self._raw += data
        if not self.head and b"\r\n\r\n" in self._raw:
            head, _, self._raw = self._raw.partition(b"\r\n\r\n")
            self.head = head.decode()
        while self.head and b"\r\n" in self._raw:
            length, _, rest = self._raw.partition(b"\r\n")
            size = int(length, 16)
            if len(rest) < size + 2:
                break
            assert rest[size : size + 2] == b"\r\n", "a chunk ends as its length says"
            self.text += rest[:size].decode()
            self._raw = rest[size + 2 :]
        return bool(data)

    async def events(self, count: int) -> list[Event]:
        """The first `count` events, or all if the stream ends before."""
        while self.text.count("\ndata: ") < count and await self.read():
            pass
        return parse(self.text)[:count]


@asynccontextmanager
async def listening(api: Api, query: str = "", headers: str = "") -> AsyncIterator[Listener]:
    """An open stream; cut when the block is left."""
    stream = await trio.open_tcp_stream(*api.address)
    async with stream:
        await stream.send_all(f"GET /v1/events{query} HTTP/1.1\r\nhost: x\r\n{headers}\r\n".encode())
        listener = Listener(stream)
        while not listener.head:
            assert await listener.read()
        assert listener.head.startswith("HTTP/1.1 200 OK"), listener.head
        assert "content-type: text/event-stream" in listener.head
        yield listener


async def follow(api: Api, query: str, count: int, headers: str = "") -> list[Event]:
    """The first `count` events of a stream, which is then cut."""
    async with listening(api, query, headers) as listener:
        return await listener.events(count)


def history(node: LocalNode) -> list[tuple[str, str]]:
    """(event, id) of everything that a stream from the beginning has to hold, computed from the blocks."""
    found, index = [], -1
    for height, executed in enumerate(node.world.executed[1:], 1):
        while index + 1 < executed.log_size:
            index += 1
            found.append(("receipt", str(index)))
        found.append(("block", f"{index}@{height}"))
    return found


def told(found: list[Event]) -> list[tuple[str, str | None]]:
    return [(event.name, event.id) for event in found]


async def test_everything_in_order(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        api.node.make_block([])
        api.node.make_block(api.node.envelopes(1, 3))
        api.node.make_block(api.node.envelopes(4, 2))
        found = await follow(api, "", 8)
        assert told(found) == history(api.node)
        receipt = found[1].data
        assert (receipt["log_index"], receipt["height"], receipt["position"], receipt["code"]) == (0, 2, 0, "ok")
        assert receipt["account"] == account_name(key(1).public).hex()
        assert receipt["operations"] == [{"app": "evidence", "name": "record"}]
        assert found[0].data["height"] == 1
        assert found[-1].data["state_root"] == api.node.world.executed[-1].state_root.hex()


async def test_what_comes_later_is_delivered(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        api.node.make_block(api.node.envelopes(1, 1))
        found: list[Event] = []

        async def watch() -> None:
            found.extend(await follow(api, "?after=now", 3))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            while not api.counters.streams:
                await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked()
            api.node.make_block(api.node.envelopes(2, 2))
        assert told(found) == [("receipt", "1"), ("receipt", "2"), ("block", "2@2")]


async def test_the_header_of_browsers_wins(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        api.node.make_block(api.node.envelopes(1, 3))
        found = await follow(api, "?after=-1", 1, headers="last-event-id: 1\r\n")
        assert told(found) == [("receipt", "2")]


async def test_filters_leave_out_and_move_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        mine, other = key(1), SigningKey(bytes(31) + b"\x77")
        api.node.make_block([*api.node.envelopes(1, 2, signer=mine), *api.node.envelopes(3, 1, signer=other)])
        account = account_name(other.public).hex()
        assert told(await follow(api, f"?account={account}", 2)) == [("receipt", "2"), ("block", "2@1")]
        assert told(await follow(api, "?app=points", 1)) == [("block", "2@1")]
        assert told(await follow(api, "?app=evidence", 4)) == history(api.node)


@settings(max_examples=30)
@given(
    blocks=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    cuts=st.lists(st.integers(1, 9), max_size=8),
    pieces=st.integers(1, 400),
)
def test_resuming_over_any_cuts(blocks: list[int], cuts: list[int], pieces: int) -> None:
    """However often it is cut, and wherever, the pieces together are the whole log, once (issue: SSE resumes)."""

    async def run() -> None:
        with TemporaryDirectory() as directory:
            async with serving(Path(directory)) as api:
                first = 1
                found: list[Event] = []
                for count in blocks:
                    api.node.make_block(api.node.envelopes(first, count))
                    first += count
                whole = history(api.node)
                for cut in [*cuts, len(whole)]:
                    left = min(cut, len(whole) - len(found))
                    if left:
                        after = f"?after={found[-1].id}" if found else ""
                        found += await follow(api, after, left)
                assert told(found) == whole

    patch = pytest.MonkeyPatch()
    patch.setattr(events, "BYTES_TOGETHER", pieces)
    try:
        trio.run(run)
    finally:
        patch.undo()


async def test_a_stream_ends_with_the_node(tmp_path: Path) -> None:
    """What is final is delivered, then words; the connection closes by itself."""
    async with serving(tmp_path) as api:
        api.node.make_block(api.node.envelopes(1, 1))
        async with listening(api) as listener:
            assert len(await listener.events(2)) == 2
            api.stop("the operator says so")
            found = await listener.events(99)
        assert told(found) == [("receipt", "0"), ("block", "0@1"), ("end", None)]
        assert (found[-1].data["code"], found[-1].data["detail"]) == ("stopping", "the operator says so")


async def written(api: Api, after: str = "-1@0", *, stop_after: int | None = None) -> list[Event]:
    """What a follower writes until the node stops: at once, or so many turns of others later."""
    index, height = (int(part) for part in after.split("@"))
    follower = events.Follower(api.around, events.Filter("points", None), index + 1, height + 1)
    pieces = []

    async def send(piece: bytes) -> None:
        pieces.append(piece.decode())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.write, send)
        for _ in range(stop_after or 0):
            await trio.lowlevel.checkpoint()
        api.stop("by the test")
    return parse("".join(pieces))


@pytest.mark.parametrize(("blocks", "told_of"), [(3, 3), (4, 3), (40, 3)])
async def test_a_stream_far_behind_ends_with_the_node_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int, told_of: int
) -> None:
    """It gets a little of what is left; one that is nearly caught up gets all."""
    monkeypatch.setattr(events, "STOPPING_ROUNDS", 3)
    async with serving(tmp_path) as api:
        for _ in range(blocks):
            api.node.make_block([])
        found = await written(api)
        assert told(found) == [*history(api.node)[:told_of], ("end", None)]
        assert found[-1].data["code"] == "stopping"


async def test_a_stream_that_catches_up_gives_others_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a filter leaves next to nothing to write: so that a node may stop meanwhile; nothing is lost by it."""
    monkeypatch.setattr(events, "STOPPING_ROUNDS", 2)
    async with serving(tmp_path) as api:
        for block in range(60):
            api.node.make_block(api.node.envelopes(block, 1))
        found = await written(api, stop_after=5)
        assert found[-1].name == "end"
        assert 2 <= len(found) - 1 < 30
        blocks = [event for event in history(api.node) if event[0] == "block"]
        assert told(found)[:-1] == blocks[: len(found) - 1]
        assert found[-2].id is not None
        monkeypatch.setattr(events, "STOPPING_ROUNDS", 100)
        assert told(await written(api, found[-2].id))[:-1] == blocks[len(found) - 1 :]


async def test_opened_blocks_are_kept_by_what_they_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An envelope may have a thousand operations: those count, too."""
    monkeypatch.setattr(limits, "API_CONTENTS_BYTES", 5_000)
    read = []
    async with serving(tmp_path) as api:
        for number in range(4):
            many = [("record", b"")] * (200 if number < 3 else 1)
            api.node.make_block([api.node.world.envelope(number, many, app="evidence")])
        held = api.node.read

        def counted(height: int) -> bytes | None:
            read.append(height)
            return held(height)

        monkeypatch.setattr(api.node, "read", counted)
        for height, opened in ((1, [1]), (2, [1, 2]), (1, [1, 2]), (3, [1, 2, 3]), (1, [1, 2, 3]), (2, [1, 2, 3, 2])):
            assert len((await api.around.contents.at(height))[0].operations) == 200
            assert read == opened
        monkeypatch.setattr(limits, "API_CONTENTS_BYTES", 1)
        for _ in range(2):
            await api.around.contents.at(4)
        assert read == [1, 2, 3, 2, 4], "the newest stays, whatever it takes"


async def test_damage_ends_a_stream_with_words(tmp_path: Path) -> None:
    """L-25: what cannot be read is never guessed; the client can go on elsewhere after its last id."""
    async with serving(tmp_path) as api:
        api.node.make_block(api.node.envelopes(1, 1))
        api.node.make_block(api.node.envelopes(2, 1))
        api.node.damaged.add(2)
        found = await follow(api, "", 3)
        assert told(found) == [("receipt", "0"), ("block", "0@1"), ("end", None)]
        assert found[-1].data["code"] == "segment_damaged"


async def test_heartbeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "API_HEARTBEAT_SECONDS", 0.01)
    async with serving(tmp_path) as api, listening(api) as listener:
        while listener.text.count(": alive\n\n") < 3:
            assert await listener.read()


async def test_too_many_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "API_STREAMS_MAX", 1)
    async with serving(tmp_path) as api:
        async with listening(api):
            await api.problem("api_busy", 503, "GET", "/v1/events")
        await api.ended("client")
        async with listening(api):
            pass


async def test_a_client_that_does_not_read_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs one piece while it stands, and its connection in the end; another client sees everything."""
    monkeypatch.setitem(connection.PATIENCE_SECONDS, connection.Stage.WRITING, 0.5)
    async with serving(tmp_path) as api:
        for block in range(4):
            many = [("record", b"")] * 200
            api.node.make_block([api.node.world.envelope(100 * block + n, many, app="evidence") for n in range(100)])
        slow = trio.socket.socket()
        slow.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
        await slow.connect(api.address)
        with slow:
            await slow.send(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
            await api.ended("slow_reader")
        assert api.counters.streams == 0
        assert told(await follow(api, "", 404)) == history(api.node)


async def test_a_client_that_goes_is_noticed(tmp_path: Path) -> None:
    """Without waiting for the next event."""
    async with serving(tmp_path) as api:
        async with listening(api):
            while not api.counters.streams:
                await trio.lowlevel.checkpoint()
        await api.ended("client")
        assert api.counters.streams == 0
