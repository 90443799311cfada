"""Both clients over real sockets: what happens there becomes what conversations decide on."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import pytest

from daemon.client import AsyncClient, Client, Event, NodeRefused, Receipt, Unreachable
from daemon.client.http import ANSWER_BYTES_MAX, retry_after
from daemon.client.views import Stage
from tests.client.envelopes import NETWORK_ID, sealed
from tests.client.server import STREAM_HEAD, answer, serving, unused_url
from tests.client.test_following import block, end, receipt

T = TypeVar("T")
FAR_MS = 2**50
NETWORK = json.dumps(
    {"name": "fake", "network_id": NETWORK_ID.hex(), "parameters": {"envelope_ttl_max_ms": 600_000}}
).encode()
NOT_SEEN = json.dumps({"status": "not_seen"}).encode()
OVERLOADED = json.dumps({"code": "pool_full", "detail": "full", "status": 429}).encode()


class Blocking:
    """The synchronous client, called as the asynchronous one is."""

    name = "blocking"

    def run(self, urls: list[str], do: Callable[[Any], Any], network_id: bytes | None = None) -> Any:
        with Client(*urls, network_id=network_id) as client:
            return do(client)


class Asynchronous:
    """The asynchronous client on one of its backends."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, urls: list[str], do: Callable[[Any], Awaitable[T]], network_id: bytes | None = None) -> T:
        async def main() -> T:
            async with AsyncClient(*urls, network_id=network_id) as client:
                return await do(client)

        return anyio.run(main, backend=self.name)


Way = Blocking | Asynchronous
ways = pytest.mark.parametrize("way", [Blocking(), Asynchronous("trio"), Asynchronous("asyncio")], ids=lambda w: w.name)


@ways
@pytest.mark.parametrize(
    "bad",
    [
        [],
        [b"HTTP/1.1 200"],
        [answer(b"<html>", "500 Internal Server Error", "text/html")],
        [answer(NETWORK[:10], length=len(NETWORK))],
        [answer(b"not json")],
        [b"\x15\x03\x01 not HTTP at all\r\n\r\n"],
        [answer(OVERLOADED, "429 Too Many Requests", "application/problem+json\r\nretry-after: 0")],
    ],
    ids=["closed", "half a line", "500", "half a body", "not json", "not http", "429"],
)
def test_what_goes_wrong_is_asked_again(way: Way, bad: list[bytes | None]) -> None:
    with serving(bad, bad, [answer(NETWORK)]) as server:
        network = way.run([server.url], lambda client: client.network())
        assert network.network_id == NETWORK_ID
        assert [line for line, _ in server.requests] == ["GET /v1/network HTTP/1.1"] * 3


@ways
def test_an_endpoint_where_nobody_listens_costs_nothing(way: Way) -> None:
    with serving([answer(NETWORK)]) as server:
        assert way.run([unused_url(), server.url], lambda client: client.network()).name == "fake"


@ways
def test_a_silent_endpoint_is_left_for_another(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the envelope and says nothing: the same bytes go to the next one."""
    monkeypatch.setattr("daemon.client.core.REQUEST_SECONDS", 0.2)
    monkeypatch.setattr("daemon.client.submission.WAIT_SECONDS", 0.0)
    item = sealed(1, FAR_MS)
    final = {"transaction": item.transaction.hex(), "height": 7, "time_ms": 1, "position": 0, "code": "ok"}
    final |= {"operation": None, "words": "", "results": [None]}
    result = {"transaction": item.transaction.hex(), "status": "final", "log_index": 3, "receipt": final}
    with serving([None]) as silent, serving([answer(json.dumps({"results": [result]}).encode())]) as good:
        found = way.run([silent.url, good.url], lambda client: client.send(item))
        assert isinstance(found, Receipt)
        assert (found.ok, found.height, found.log_index) == (True, 7, 3)
        assert silent.requests == good.requests
        assert item.data in good.requests[0][1]


@ways
def test_nobody_answers(way: Way) -> None:
    url = unused_url()
    with pytest.raises(Unreachable, match="cannot be reached") as raised:
        way.run([url], lambda client: client.node(timeout_seconds=0.3))
    assert list(raised.value.attempts) == [url]


@ways
def test_a_refusal_has_code_and_words(way: Way) -> None:
    body = json.dumps({"code": "not_found", "detail": "no block 9", "status": 404}).encode()
    with (
        serving([answer(body, "404 Not Found", "application/problem+json")]) as server,
        pytest.raises(NodeRefused, match="no block 9") as raised,
    ):
        way.run([server.url], lambda client: client.block(9))
    assert (raised.value.code, raised.value.status, raised.value.endpoint) == ("not_found", 404, server.url)


@ways
def test_an_endless_answer_is_not_collected(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.client.http.ANSWER_BYTES_MAX", 100_000)
    with serving([answer(b"x" * 200_000)], [answer(NETWORK)]) as server:
        assert way.run([server.url], lambda client: client.network()).name == "fake"
    assert ANSWER_BYTES_MAX > 16 * 1024 * 1024


@ways
def test_an_outcome_is_asked_with_the_identity(way: Way) -> None:
    item = sealed(1, FAR_MS)
    with serving([answer(NOT_SEEN)]) as server:
        assert way.run([server.url], lambda client: client.outcome(item)).stage is Stage.NOT_SEEN
    (line, _), *_ = server.requests
    assert f"account={item.account.hex()}&id={item.id.hex()}&valid_until_ms={FAR_MS}" in line


def follow(
    way: Way,
    urls: list[str],
    count: int,
    after: int | None = None,
    patience_seconds: float = 60.0,
    network_id: bytes | None = None,
) -> list[Event]:
    """The next so many events."""

    def blocking(client: Client) -> list[Event]:
        with client.events(after, patience_seconds=patience_seconds) as events:
            return [next(events) for _ in range(count)]

    async def asynchronous(client: AsyncClient) -> list[Event]:
        async with client.events(after, patience_seconds=patience_seconds) as events:
            return [await anext(events) for _ in range(count)]

    return way.run(urls, blocking if isinstance(way, Blocking) else asynchronous, network_id)  # type: ignore[arg-type]


@ways
def test_events_go_on_after_cuts_at_other_endpoints(way: Way) -> None:
    """Cut in the middle of an event, ended in order, overloaded, a page instead: no gap and no repeat."""
    first: list[list[bytes | None]] = [
        [STREAM_HEAD, receipt(0), receipt(1)[:30]],
        [answer(b"<html>", "502 Bad Gateway", "text/html")],
        [STREAM_HEAD, receipt(3), block(3), b"event: end\ndata: {}\n\n"],
        [STREAM_HEAD, receipt(4), None],
    ]
    second: list[list[bytes | None]] = [
        [STREAM_HEAD, receipt(1), receipt(2), receipt(3)[:60]],
        [STREAM_HEAD, receipt(4), None],
    ]
    with serving(*first) as one, serving(*second) as two:
        events = follow(way, [one.url, two.url], 5)
        assert [event.position for event in events] == [0, 1, 2, 3, 4]
        assert "after" not in one.requests[0][0]
        assert "after=0" in two.requests[0][0]


@ways
def test_a_gap_is_not_delivered(way: Way) -> None:
    with serving([STREAM_HEAD, receipt(8), receipt(10)], [STREAM_HEAD, receipt(9), receipt(10), None]) as server:
        assert [event.position for event in follow(way, [server.url], 3, after=7)] == [8, 9, 10]


@ways
def test_a_node_that_is_behind_is_no_end(way: Way) -> None:
    """It refuses a position that it does not know yet."""
    body = json.dumps({"code": "bad_request", "detail": "not final here", "status": 400}).encode()
    behind = [answer(body, "400 Bad Request", "application/problem+json")]
    with serving(behind, behind, [STREAM_HEAD, receipt(6), None]) as server:
        assert [event.position for event in follow(way, [server.url], 1, after=5)] == [6]


@ways
def test_a_stream_that_is_refused_for_good(way: Way) -> None:
    body = json.dumps({"code": "bad_request", "detail": "no such filter", "status": 400}).encode()
    with (
        serving([answer(body, "400 Bad Request", "application/problem+json")]) as server,
        pytest.raises(NodeRefused, match="no such filter"),
    ):
        follow(way, [server.url], 1)


@ways
def test_a_stream_that_always_ends_is_raised_with_its_reason(way: Way) -> None:
    """And it is opened ever less: 0.05 s at least after the first time, then twice as long each time."""
    damaged: list[bytes | None] = [STREAM_HEAD, b"retry: 1000\n\n", end("segment_damaged")]
    with serving(damaged) as server, pytest.raises(NodeRefused, match="as told") as raised:
        follow(way, [server.url], 1, after=41, patience_seconds=0.5)
    assert (raised.value.code, raised.value.endpoint) == ("segment_damaged", server.url)
    assert 2 <= len(server.requests) <= 5


@ways
def test_events_of_another_network_are_not_followed(way: Way) -> None:
    """Its network is asked for before a stream is opened there."""
    other = NETWORK.replace(NETWORK_ID.hex().encode(), bytes(32).hex().encode())
    right: list[list[bytes | None]] = [[answer(NETWORK)], [STREAM_HEAD, receipt(42), None]]
    with serving([answer(other)]) as wrong, serving(*right) as good:
        (event,) = follow(way, [wrong.url, good.url], 1, after=41, network_id=NETWORK_ID)
        assert event.position == 42
        assert [line for line, _ in wrong.requests] == ["GET /v1/network HTTP/1.1"]
        assert [line for line, _ in good.requests] == ["GET /v1/network HTTP/1.1", "GET /v1/events?after=41 HTTP/1.1"]


@ways
def test_a_node_that_stops_leads_to_another(way: Way) -> None:
    with serving([STREAM_HEAD, receipt(0), end("stopping")]) as one, serving([STREAM_HEAD, receipt(1), None]) as two:
        assert [event.position for event in follow(way, [one.url, two.url], 2)] == [0, 1]


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_a_cancelled_stream_leaves_nothing_behind(backend: str) -> None:
    async def main() -> list[int]:
        seen: list[int] = []
        async with AsyncClient(server.url) as client, client.events() as events:
            with anyio.CancelScope() as scope:
                async for event in events:
                    seen.append(event.position)
                    if event.position == 1:
                        scope.cancel()
                        await anyio.lowlevel.checkpoint()
        return seen

    with serving([STREAM_HEAD, receipt(0), receipt(1), receipt(2), None]) as server:
        assert anyio.run(main, backend=backend) == [0, 1]


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_one_client_serves_many_tasks(backend: str) -> None:
    async def main() -> int:
        names: list[str] = []

        async def ask(client: AsyncClient) -> None:
            names.append((await client.node())["name"])

        async with AsyncClient(server.url) as client, anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(ask, client)
        return len(names)

    with serving([answer(NETWORK)]) as server:
        assert anyio.run(main, backend=backend) == 20


def test_clients_show_their_endpoints_and_nothing_else() -> None:
    with Client("http://127.0.0.1:1/") as client:
        assert repr(client) == "Client(http://127.0.0.1:1)"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2", 2.0), ("0", 0.0), (None, None), ("Wed, 21 Oct 2015 07:28:00 GMT", None), ("-1", None), ("٣", None)],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    assert retry_after(text) == seconds
