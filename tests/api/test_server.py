"""The socket side: bounds, patience, garbage, many connections, and an orderly end."""

from __future__ import annotations

import json
import random
import resource
import tracemalloc
from pathlib import Path

import pytest
import trio
import trio.testing

from daemon import limits
from daemon.api import connection
from daemon.api.connection import Stage
from daemon.api.dispatch import Dispatcher
from daemon.api.parsing import Bodies, RequestParser
from daemon.api.server import Listening, Server
from protocol.errors import OperatorFault
from protocol.limits import KIB, MIB
from tests.api.serving import Api, serving

LIVE = b"GET /v1/health/live HTTP/1.1\r\nhost: x\r\n"


def status_of(answer: bytes) -> int:
    """Of the first answer."""
    return int(answer.split(b" ", 2)[1])


def code_of(answer: bytes) -> str:
    """Of the last answer, a problem."""
    return str(json.loads(answer.rpartition(b"\r\n\r\n")[2])["code"])


async def test_several_requests_on_one_connection(tmp_path: Path) -> None:
    """Also sent ahead: answers come in the order of requests."""
    async with serving(tmp_path) as api:
        requests = LIVE + b"\r\n" + b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n" + LIVE + b"connection: close\r\n\r\n"
        answer = await api.raw(requests)
        assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]
        assert api.counters.connections_accepted == 1


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_requests_in_any_pieces(tmp_path: Path, size: int) -> None:
    """Where a network cuts does not matter."""
    body = b'{"envelopes": ["00"]}'
    head = b"POST /v1/envelopes HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    whole = head + b"content-length: %d\r\n\r\n" % len(body) + body
    chunked = head + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n" + b"5\r\n" + body[:5] + b"\r\n"
    chunked += b"%x;note=1\r\n" % len(body[5:]) + body[5:] + b"\r\n0\r\ntrailer: x\r\n\r\n"
    parser = RequestParser(Bodies())
    data = whole + chunked
    for start in range(0, len(data), size):
        parser.feed(data[start : start + size])
    assert parser.refusal is None
    assert [request.body for request in parser.ready] == [body, body]
    assert [request.keep_alive for request in parser.ready] == [True, False]
    assert "trailer" not in parser.ready[1].headers


@pytest.mark.parametrize(
    "data,status",
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET relative HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 400),
        (b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 65 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 17_000, 431),
        (b"GET /" + b"b" * 17_000, 431),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 20_000, 431),
        (b"POST /v1/envelopes HTTP/1.1\r\nhost: x\r\ncontent-length: 4194305\r\n\r\n", 413),
        (b"POST /v1/envelopes HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999999\r\n\r\n", 400),
        (LIVE * 1 + b"\r\n" + (LIVE + b"\r\n") * 40, 200),
    ],
    ids=lambda value: f"{value[:40]!r}" if isinstance(value, bytes) else str(value),
)
async def test_what_is_no_request(tmp_path: Path, data: bytes, status: int) -> None:
    """Refused with a problem; nothing behind it is looked at, and the connection ends."""
    async with serving(tmp_path) as api:
        answer = await api.raw(data)
        assert status_of(answer) == status
        assert code_of(answer) in ("bad_request", "too_large")
        assert await live(api)


async def live(api: Api) -> bool:
    """Whether the server answers another client."""
    return status_of(await api.raw(LIVE + b"connection: close\r\n\r\n")) == 200


async def test_old_and_other_forms_of_requests(tmp_path: Path) -> None:
    """HTTP/1.0 is answered and closed; a full URL is taken; an upgrade is not made."""
    async with serving(tmp_path) as api:
        assert status_of(await api.raw(b"GET /v1/health/live HTTP/1.0\r\n\r\n")) == 200
        full = b"GET http://node.example:1/v1/health/live?x=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        assert code_of(await api.raw(full)) == "bad_request"  # of the parameter: the path was found
        upgrade = LIVE + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"
        assert status_of(await api.raw(upgrade)) == 200
        assert status_of(await api.raw(b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")) == 204
        api.node.make_block([])
        stream = await trio.open_tcp_stream(*api.address)
        async with stream:
            await stream.send_all(b"GET /v1/events HTTP/1.0\r\n\r\n")
            received = b""
            while b'"height":1' not in received:
                received += await stream.receive_some(10_000)
        assert b"transfer-encoding" not in received
        assert b"\r\n\r\nretry: 1000\n\nid: -1@1\nevent: block\ndata: {" in received


async def test_a_large_body_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """...whether its length is stated or not; and the client sees why though it goes on sending."""
    async with serving(tmp_path) as api:
        head = b"POST /v1/envelopes HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        stated = head + b"content-length: 5000000\r\n\r\n" + b"a" * 5_000_000
        answer = await api.raw(stated)
        assert (status_of(answer), code_of(answer)) == (413, "too_large")
        piece = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
        answer = await api.raw(head + b"transfer-encoding: chunked\r\n\r\n" + piece * 70)
        assert (status_of(answer), code_of(answer)) == (413, "too_large")


async def test_a_client_that_asks_first_is_told_to_go_on(tmp_path: Path) -> None:
    """RFC 9110, section 10.1.1: 100 for a body that will be read, the refusal at once for one that won't."""
    async with serving(tmp_path) as api:
        head = b"POST /v1/envelopes HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n"
        stream = await trio.open_tcp_stream(*api.address)
        async with stream:
            await stream.send_all(head + b"connection: close\r\ncontent-length: 2\r\n\r\n")
            assert await stream.receive_some(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            await stream.send_all(b"{}")
            assert status_of(await stream.receive_some(10_000)) == 400
        assert status_of(await api.raw(head + b"content-length: 5000000\r\n\r\n")) == 413


async def test_all_bodies_share_one_budget(tmp_path: Path) -> None:
    bodies = Bodies(100)
    one, other = RequestParser(bodies), RequestParser(bodies)
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 60\r\n\r\n"
    one.feed(head + b"a" * 60)
    other.feed(head + b"a" * 60)
    assert (one.refusal, len(one.ready), bodies.bytes) == (None, 1, 60)
    assert other.refusal is not None
    assert other.refusal.code == "api_busy"
    one.ready.popleft()
    one.release()
    other.release_all()
    assert bodies.bytes == 0


CHUNKED = (
    b"POST /v1/envelopes HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
)


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        (b"2\r\n{}\r\n0\r\na: ", b"b" * 1_000),
        (b"2\r\n{}\r\n0\r\n", b"a: b\r\n" * 200),
        (b"2\r\n{}\r\n0\r\n", b"a" * 1_000),
        (b"2;note=", b"b" * 1_000),
        (b"2\r\n{}\r\n1;", b"b" * 1_000),
    ],
    ids=["one trailer", "many trailers", "a trailer's name", "extension", "later extension"],
)
async def test_what_is_around_chunks_is_bounded(tmp_path: Path, before: bytes, piece: bytes) -> None:
    """It gives no body, so the bound of bodies does not hold it; that of heads does."""
    parser = RequestParser(Bodies())
    parser.feed(CHUNKED + before)
    for _ in range(limits.API_HEAD_BYTES_MAX // len(piece)):
        parser.feed(piece)
        assert parser.refusal is None
    parser.feed(piece)
    assert parser.refusal is not None
    assert (parser.refusal.code, parser.refusal.status) == ("too_large", 431)
    async with serving(tmp_path) as api:
        answer = await api.raw(CHUNKED + before + piece * 200)
        assert (status_of(answer), code_of(answer)) == (431, "too_large")


def test_a_body_in_tiny_chunks_costs_its_bytes() -> None:
    """...and not an object for each; whatever stands around them is no trailer."""
    parser = RequestParser(Bodies())
    parser.feed(CHUNKED)
    tracemalloc.start()
    try:
        for _ in range(1_000):
            parser.feed(b"2;note=x\r\nab\r\n" * 50)
            parser.feed(b"2;note=x\r\n")
            parser.feed(b"ab\r\n")
        assert tracemalloc.get_traced_memory()[0] < 200 * KIB
    finally:
        tracemalloc.stop()
    parser.feed(b"0\r\ntrailer: x\r\n\r\n")
    assert (parser.refusal, parser.ready[0].body) == (None, b"ab" * 51_000)


@pytest.mark.parametrize(
    "stage,sent",
    [
        (Stage.HEAD, b"GET / HT"),
        (Stage.HEAD, b"\r\n"),
        (Stage.BODY, b"POST /v1/envelopes HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{"),
    ],
    ids=["head", "blank lines", "body"],
)
async def test_requests_that_do_not_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage, sent: bytes
) -> None:
    """Slow loris: told so, and left."""
    monkeypatch.setitem(connection.PATIENCE_SECONDS, stage, 0.05)
    async with serving(tmp_path) as api:
        answer = await api.raw(sent)
        assert (status_of(answer), code_of(answer)) == (408, "request_timeout")
        await api.ended("slow_request")


async def test_patience_is_for_the_whole_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then does not prolong it."""
    monkeypatch.setitem(connection.PATIENCE_SECONDS, Stage.HEAD, 0.2)
    async with serving(tmp_path) as api:
        stream = await trio.open_tcp_stream(*api.address)
        async with stream:
            with pytest.raises(trio.BrokenResourceError):  # noqa: PT012 - which of the sends fails is the system's
                for byte in b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000:
                    await stream.send_all(bytes([byte]))
                    await trio.sleep(0.01)
        await api.ended("slow_request")


async def test_idle_connections_are_left_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.PATIENCE_SECONDS, Stage.IDLE, 0.05)
    async with serving(tmp_path) as api:
        assert await api.raw(b"") == b""
        answer = await api.raw(LIVE + b"\r\n")
        assert answer.count(b"HTTP/1.1") == 1
        assert api.counters.connections_ended["idle"] == 2


async def test_an_answer_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is told, and that this is no outcome."""
    monkeypatch.setitem(connection.PATIENCE_SECONDS, Stage.ANSWERING, 0.05)
    async with serving(tmp_path) as api:
        answer = await api.raw(b"GET /v1/transactions/%b?wait_ms=30000 HTTP/1.1\r\nhost: x\r\n\r\n" % (b"ab" * 32))
        assert (status_of(answer), code_of(answer)) == (503, "api_busy")


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """The operator is told which, and what to change."""
    async with serving(tmp_path) as api:
        server = Server(Listening(*api.address, 10), Dispatcher(api.around, ()).answer, api.counters)
        with pytest.raises(OperatorFault, match=f"cannot serve the API at 127.0.0.1:{api.address[1]}"):
            await server.run(trio.sleep_forever)


async def test_who_is_idle_gives_way_to_who_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all places taken, the one that has been idle for longest is left; whoever is being answered is not."""
    monkeypatch.setattr(limits, "API_IDLE_LEAST_SECONDS", 0)
    async with serving(tmp_path, connections_max=3) as api:
        busy, first, second = [await trio.open_tcp_stream(*api.address) for _ in range(3)]
        await busy.send_all(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
        assert status_of(await busy.receive_some(10_000)) == 200
        while api.counters.connections < 3:
            await trio.lowlevel.checkpoint()
        await first.send_all(LIVE + b"\r\n")  # so that the second is the longest idle
        assert status_of(await first.receive_some(10_000)) == 200
        assert await live(api)
        assert await second.receive_some(1) == b""
        assert api.counters.connections_ended["gave_way"] == 1
        await first.send_all(LIVE + b"\r\n")
        assert status_of(await first.receive_some(10_000)) == 200
        assert api.counters.connections_refused == 0
        for stream in (busy, first, second):
            await stream.aclose()


async def test_one_connection_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nobody idle for long it is told so; the others are served on, and a free place is given again."""
    monkeypatch.setattr(limits, "API_IDLE_LEAST_SECONDS", 3_600)
    async with serving(tmp_path, connections_max=3) as api:
        held = [await trio.open_tcp_stream(*api.address) for _ in range(3)]
        while api.counters.connections < 3:
            await trio.lowlevel.checkpoint()
        assert code_of(await api.raw(LIVE + b"\r\n")) == "api_busy"
        await held[0].send_all(LIVE + b"\r\n")
        assert status_of(await held[0].receive_some(10_000)) == 200
        for stream in held:
            await stream.aclose()
        while api.counters.connections:
            await trio.lowlevel.checkpoint()
        assert await live(api)
        assert api.counters.connections_refused == 1


async def test_the_orderly_end(tmp_path: Path) -> None:
    """Idle clients are left, one that waits gets its answer, a half-sent request gets its end; then all is over."""
    async with serving(tmp_path) as api:
        idle = await trio.open_tcp_stream(*api.address)
        half = await trio.open_tcp_stream(*api.address)
        waits = await trio.open_tcp_stream(*api.address)
        await half.send_all(LIVE)
        await waits.send_all(b"GET /v1/transactions/%b?wait_ms=30000 HTTP/1.1\r\nhost: x\r\n\r\n" % (b"ab" * 32))
        while api.counters.connections < 3:
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        api.stop("by the test")
        assert await idle.receive_some(1) == b""
        answer = await waits.receive_some(10_000)
        assert status_of(answer) == 200
        assert b"not_seen" in answer
        await half.send_all(b"\r\n")
        assert status_of(await half.receive_some(10_000)) == 200
        for stream in (idle, half, waits):
            await stream.aclose()
        while api.counters.connections:
            await trio.lowlevel.checkpoint()
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream(*api.address)


def anonymous_bytes() -> int:
    """Memory of this process that is no file's."""
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


async def test_garbage(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Random and half-right bytes from many clients: every connection ends, the node lives, memory stays flat."""
    seed = random.Random(7)
    good = LIVE + b"content-length: 20\r\n\r\n" + b"x" * 20
    rounds = 40 if not request.config.getoption("--long") else 2_000

    def data() -> bytes:
        if seed.random() < 0.3:
            return seed.randbytes(seed.randrange(1, 5_000))
        spoiled = bytearray(good * seed.randrange(1, 4))
        for _ in range(seed.randrange(6)):
            spoiled[seed.randrange(len(spoiled))] = seed.randrange(256)
        return bytes(spoiled[: seed.randrange(1, len(spoiled) + 1)])

    async with serving(tmp_path) as api:

        async def client() -> None:
            await api.raw(data(), end=True)

        async def one_round() -> None:
            async with trio.open_nursery() as nursery:
                for _ in range(16):
                    nursery.start_soon(client)

        for _ in range(rounds // 4):
            await one_round()
        before = anonymous_bytes()
        for _ in range(rounds):
            await one_round()
        assert anonymous_bytes() - before < 8 * MIB
        assert await live(api)
        while api.counters.connections:
            await trio.lowlevel.checkpoint()
        ended = api.counters.connections_ended.total()
        assert ended == api.counters.connections_accepted == 16 * (rounds + rounds // 4) + 1


async def test_a_thousand_idle_connections(tmp_path: Path) -> None:
    """Each costs little, and others are served beside them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2_400:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4_096), hard))
    async with serving(tmp_path, connections_max=1_024) as api:
        before = anonymous_bytes()
        streams = [await trio.open_tcp_stream(*api.address) for _ in range(1_000)]
        while api.counters.connections < 1_000:
            await trio.lowlevel.checkpoint()
        assert anonymous_bytes() - before < 40 * MIB
        assert await live(api)
        for stream in streams:
            await stream.aclose()
