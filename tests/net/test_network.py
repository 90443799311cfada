"""The network on real sockets (L-29 to L-31): what nodes, their operators and strangers at the peer port see."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import tracemalloc
from collections.abc import Iterator
from random import Random

import pytest
import structlog
import trio
import trio.testing

from daemon import limits
from daemon.net.interface import PeerAddress, PeerConnected, PeerDisconnected
from daemon.net.network import Network
from daemon.net.opening import Opening, PeerRole
from daemon.net.session import open_channel
from daemon.observe import logs
from protocol import errors
from protocol.errors import OperatorFault
from protocol.limits import KIB
from protocol.node.interface import Priority
from protocol.wire.channel import Side
from tests.net.kit import HIGH, LOW, OTHER, Proxy, Recorder, identity, node, start, welcome, within

MARKER = b"MARKER-in-a-transaction-3141592653589793"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What an operator reads."""
    stream = io.StringIO()
    structlog.configure(
        processors=[structlog.processors.add_log_level, logs.plain, logs.to_json],
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    yield stream
    structlog.reset_defaults()


def lines(stream: io.StringIO, event: str) -> list[dict[str, object]]:
    return [line for line in map(json.loads, stream.getvalue().splitlines()) if line["event"] == event]


async def pair(nursery: trio.Nursery) -> tuple[Network, Recorder, Network, Recorder]:
    """LOW listens, HIGH dials it; connected."""
    at_low, at_high = Recorder(), Recorder()
    low = node(LOW, at_low)
    address = await start(nursery, low)
    high = node(HIGH, at_high, dial=(PeerAddress(LOW.public, *address),))
    await start(nursery, high)
    await at_high.until(lambda: bool(at_high.ups))
    await at_low.until(lambda: bool(at_low.ups))
    return low, at_low, high, at_high


# -- Between nodes ----------------------------------------------------------------------------------


async def test_nodes_connect_talk_and_part_in_order(nursery: trio.Nursery, log: io.StringIO) -> None:
    with within():
        low, at_low, high, at_high = await pair(nursery)
        assert (at_low.ups[0].dialed, at_high.ups[0].dialed) == (False, True)
        assert (at_low.ups[0].node_key, at_high.ups[0].node_key) == (HIGH.public, LOW.public)
        for priority in Priority:
            assert low.send(HIGH.public, priority, b"down %d" % priority)
            assert high.send(LOW.public, priority, b"up %d" % priority)
        await at_low.until(lambda: len(at_low.messages) == 3)
        await at_high.until(lambda: len(at_high.messages) == 3)
        assert set(at_low.senders) == {HIGH.public}
        assert [status.connected for status in low.peers()] == at_low.ups
        assert low.traffic().messages_in == high.traffic().messages_out == [1, 1, 1]
        assert [dial.connected for dial in high.dials()] == [True]
        low.stop()
        await at_high.until(lambda: bool(at_high.downs))
        assert (at_high.downs[0].code, at_high.downs[0].by_peer) == (errors.STOPPING, True)
        await at_low.until(lambda: bool(at_low.downs))
        assert at_low.downs[0].code == errors.STOPPING
        assert not low.send(HIGH.public, Priority.CONSENSUS, b"late")
        high.stop()
    assert {line["peer"] for line in lines(log, "peer_up")} == {LOW.public.hex(), HIGH.public.hex()}
    assert len(lines(log, "peer_down")) == 2


@pytest.mark.parametrize("priority", Priority)
async def test_a_marker_in_a_message_never_appears_in_captured_traffic(
    nursery: trio.Nursery, priority: Priority
) -> None:
    """And neither does a node key."""
    with within():
        at_low, at_high = Recorder(), Recorder()
        low = node(LOW, at_low)
        proxy = Proxy(await start(nursery, low))
        address = await nursery.start(proxy.run)
        high = node(HIGH, at_high, dial=(PeerAddress(LOW.public, *address),))
        await start(nursery, high)
        await at_high.until(lambda: bool(at_high.ups))
        for _ in range(20):
            high.send(LOW.public, priority, MARKER * 100)
        await at_low.until(lambda: len(at_low.messages) == 20)
        assert at_low.messages[0][1] == MARKER * 100
        captured = bytes(proxy.captured)
        assert len(captured) > 20 * 100 * len(MARKER)
        for secret in (MARKER, MARKER[:8], LOW.public, HIGH.public):
            assert secret not in captured
        nursery.cancel_scope.cancel()


async def test_a_byte_changed_on_the_way_ends_the_channel_which_comes_back(nursery: trio.Nursery) -> None:
    with within():
        at_low, at_high = Recorder(), Recorder()
        low = node(LOW, at_low)
        proxy = Proxy(await start(nursery, low))
        address = await nursery.start(proxy.run)
        high = node(HIGH, at_high, dial=(PeerAddress(LOW.public, *address),))
        await start(nursery, high)
        await at_high.until(lambda: bool(at_high.ups))
        good = proxy.change
        proxy.change = lambda data: data[:-1] + bytes([data[-1] ^ 1])
        high.send(LOW.public, Priority.CONSENSUS, b"vote")
        await at_low.until(lambda: bool(at_low.downs))
        proxy.change = good
        assert at_low.downs[0].code == errors.PEER_FAULT
        assert "altered" in at_low.downs[0].words
        assert at_low.messages == []
        await at_high.until(lambda: bool(at_high.downs))
        assert "altered" in at_high.downs[0].words
        low._penalties.clear()
        await at_high.until(lambda: len(at_high.ups) == 2)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seed", range(15))
async def test_two_nodes_that_dial_each_other_keep_one_channel(nursery: trio.Nursery, seed: int) -> None:
    """At one moment, through gates; both ends agree on which stays, and it carries messages."""
    with within():
        gate = trio.Event()
        to_low, to_high = Proxy(gate=gate), Proxy(gate=gate)
        proxies = {proxy: await nursery.start(proxy.run) for proxy in (to_low, to_high)}
        at_low, at_high = Recorder(), Recorder()
        low = node(LOW, at_low, dial=(PeerAddress(HIGH.public, *proxies[to_high]),))
        high = node(HIGH, at_high, dial=(PeerAddress(LOW.public, *proxies[to_low]),))
        to_low.target = await start(nursery, low)
        to_high.target = await start(nursery, high)
        while not to_low.connections or not to_high.connections:
            await trio.testing.wait_all_tasks_blocked(0.001)
        to_low.piece = to_high.piece = Random(seed).choice([7, 60, 65_536])
        gate.set()
        await at_low.until(lambda: bool(at_low.ups))
        await at_high.until(lambda: bool(at_high.ups))
        while not (at_low.messages and at_high.messages):
            low.send(HIGH.public, Priority.CONSENSUS, b"down")
            high.send(LOW.public, Priority.CONSENSUS, b"up")
            await trio.testing.wait_all_tasks_blocked(0.001)
        [one], [two] = low.peers(), high.peers()
        assert (one.connected.dialed, two.connected.dialed) == (True, False), "the lower key's stays"
        for recorder in (at_low, at_high):
            assert len(recorder.ups) - len(recorder.downs) == 1
            codes = {down.code for down in recorder.downs}
            assert codes <= {errors.CONNECTION_REPLACED, errors.DUPLICATE_CONNECTION}
        nursery.cancel_scope.cancel()


async def test_a_node_started_again_is_let_in_while_its_old_channel_looks_alive(nursery: trio.Nursery) -> None:
    """As after a power cut: the old TCP connection never says a word more."""
    with within():
        at_low = Recorder()
        low = node(LOW, at_low)
        address = await start(nursery, low)
        old = await trio.open_tcp_stream(*address)
        await open_channel(old, Opening(identity(HIGH), Side.INITIATOR, welcome))
        await at_low.until(lambda: len(at_low.ups) == 1)
        again = Recorder()
        await start(nursery, node(HIGH, again, dial=(PeerAddress(LOW.public, *address),)))
        await again.until(lambda: bool(again.ups))
        await at_low.until(lambda: len(at_low.ups) == 2)
        assert [down.code for down in at_low.downs] == [errors.CONNECTION_REPLACED]
        assert [type(event) for event in at_low.events] == [PeerConnected, PeerDisconnected, PeerConnected]
        low.send(HIGH.public, Priority.CONSENSUS, b"to the living")
        await again.until(lambda: again.of(Priority.CONSENSUS) == [b"to the living"])
        await old.aclose()
        nursery.cancel_scope.cancel()


async def test_a_node_that_was_cut_off_is_dialed_again(nursery: trio.Nursery) -> None:
    with within():
        low, _, _, at_high = await pair(nursery)
        for times in range(2, 5):
            await trio.aclose_forcefully(low._table[HIGH.public].connection._stream)
            await at_high.until(lambda times=times: len(at_high.ups) == times)  # type: ignore[misc]
        assert {down.code for down in at_high.downs} == {errors.CONNECTION_LOST}
        nursery.cancel_scope.cancel()


async def test_a_disconnected_peer_is_told_why_and_kept_out_for_a_while(nursery: trio.Nursery) -> None:
    """The node's `Disconnect` effect."""
    with within():
        low, _, high, at_high = await pair(nursery)
        low.disconnect(HIGH.public, "malformed: a vote")
        await at_high.until(lambda: bool(at_high.downs))
        assert (at_high.downs[0].code, at_high.downs[0].words) == (errors.PEER_FAULT, "malformed: a vote")
        assert at_high.downs[0].by_peer
        while not high.dials()[0].failure:
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert high.dials()[0].failure == "peer_fault: you were disconnected for a fault a moment ago; come back later"
        low._penalties = {key: trio.current_time() for key in low._penalties}
        await at_high.until(lambda: len(at_high.ups) == 2)
        nursery.cancel_scope.cancel()


async def test_a_key_that_is_not_allowed_any_more_is_sent_away(nursery: trio.Nursery) -> None:
    with within():
        low, _, _, at_high = await pair(nursery)
        low._policy = lambda _key: "its member has left the network"
        low.recheck()
        await at_high.until(lambda: bool(at_high.downs))
        assert (at_high.downs[0].code, at_high.downs[0].words) == (
            errors.UNKNOWN_PEER,
            "its member has left the network",
        )
        nursery.cancel_scope.cancel()


async def test_little_is_left_to_the_kernel(nursery: trio.Nursery) -> None:
    """What the kernel has taken cannot be overtaken by a vote: so it takes little, and sends at once."""
    with within():
        low, _, high, _ = await pair(nursery)
        for network, peer in ((low, HIGH), (high, LOW)):
            stream = network._table[peer.public].connection._stream
            assert isinstance(stream, trio.SocketStream)
            assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) <= 16 * KIB
        nursery.cancel_scope.cancel()


# -- Words for operators ----------------------------------------------------------------------------


async def failure_of(nursery: trio.Nursery, network: Network) -> str:
    while not network.dials()[0].failure:
        await trio.testing.wait_all_tasks_blocked(0.01)
    return network.dials()[0].failure


@pytest.mark.parametrize(
    "changed,code,words",
    [
        ({"network_id": bytes(32)}, errors.OTHER_NETWORK, "networks differ: this node belongs to 0707070707070707"),
        ({"policy": lambda _key: "no such node"}, errors.UNKNOWN_PEER, "no such node"),
    ],
)
async def test_a_refusal_is_said_in_words_on_both_sides(
    nursery: trio.Nursery, log: io.StringIO, changed: dict[str, object], code: str, words: str
) -> None:
    with within():
        low = node(LOW, Recorder(), **changed)  # type: ignore[arg-type]
        address = await start(nursery, low)
        high = node(HIGH, Recorder(), dial=(PeerAddress(LOW.public, *address),))
        await start(nursery, high)
        failure = await failure_of(nursery, high)
        assert failure.startswith(f"{code}: ")
        assert words in failure
        while not low.counters.refused[code]:
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert lines(log, "dial_failed")[0]["code"] == code
        assert lines(log, "peer_refused")[0]["code"] == code
        nursery.cancel_scope.cancel()


async def test_another_node_at_a_configured_address_is_refused_by_who_dialed(nursery: trio.Nursery) -> None:
    with within():
        address = await start(nursery, node(LOW, Recorder()))
        high = node(HIGH, Recorder(), dial=(PeerAddress(OTHER.public, *address),))
        await start(nursery, high)
        failure = await failure_of(nursery, high)
        assert failure.startswith("unexpected_peer: ")
        assert LOW.public.hex() in failure
        assert OTHER.public.hex() in failure
        nursery.cancel_scope.cancel()


async def test_dialing_oneself_is_noticed(nursery: trio.Nursery) -> None:
    """By an address that a node believes to be another's."""
    with within():
        low = node(LOW, Recorder())
        address = await start(nursery, low)
        double = node(LOW, Recorder(), dial=(PeerAddress(HIGH.public, *address),))
        await start(nursery, double)
        assert (await failure_of(nursery, double)).startswith("key_in_use: ")
        stream = await trio.open_tcp_stream(*address)
        opening = Opening(low._identity, Side.INITIATOR, lambda _remote: PeerRole.VALIDATOR)
        with pytest.raises(errors.PapilioError) as refused:
            await open_channel(stream, opening)
        assert refused.value.code == errors.SELF_CONNECTION
        await stream.aclose()
        nursery.cancel_scope.cancel()


async def test_an_unreachable_node_is_tried_again_and_said_in_words(nursery: trio.Nursery, log: io.StringIO) -> None:
    with within():
        [taken] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = taken.socket.getsockname()[1]
        await taken.aclose()
        high = node(HIGH, Recorder(), dial=(PeerAddress(LOW.public, "127.0.0.1", port),))
        await start(nursery, high)
        while high.dials()[0].attempts < 3:
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert "cannot be reached: Connection refused" in high.dials()[0].failure
        assert lines(log, "dial_failed")[0]["words"] == f"127.0.0.1:{port} cannot be reached: Connection refused"
        nursery.cancel_scope.cancel()


async def test_full_of_observers_a_validator_still_gets_in(nursery: trio.Nursery) -> None:
    with within():
        roles = {HIGH.public: PeerRole.OBSERVER, OTHER.public: PeerRole.OBSERVER}
        at_low = Recorder()
        low = node(LOW, at_low, policy=lambda key: roles.get(key, PeerRole.VALIDATOR), connections_max=1)
        target = PeerAddress(LOW.public, *await start(nursery, low))
        await start(nursery, node(HIGH, Recorder(), dial=(target,)))
        await at_low.until(lambda: len(at_low.ups) == 1)
        other = node(OTHER, Recorder(), dial=(target,))
        await start(nursery, other)
        assert (await failure_of(nursery, other)).startswith("too_many_connections: ")
        roles[OTHER.public] = PeerRole.VALIDATOR
        await at_low.until(lambda: len(at_low.ups) == 2)
        nursery.cancel_scope.cancel()


async def test_an_address_that_is_taken_is_an_error_of_the_operator(nursery: trio.Nursery) -> None:
    address = await start(nursery, node(LOW, Recorder()))
    with pytest.raises(OperatorFault, match=f"{address[0]}:{address[1]}: address already in use"):
        await node(HIGH, Recorder(), listen=(("127.0.0.1", 0), address)).run()
    nursery.cancel_scope.cancel()


# -- Strangers --------------------------------------------------------------------------------------


async def test_a_browser_is_told_where_it_is(nursery: trio.Nursery, log: io.StringIO) -> None:
    with within():
        low = node(LOW, Recorder())
        stream = await trio.open_tcp_stream(*await start(nursery, low))
        await stream.send_all(b"GET /private-words HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while data := await stream.receive_some():
            answer += data
        await stream.aclose()
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        while not low.counters.foreign:
            await trio.testing.wait_all_tasks_blocked(0.001)
        assert low.counters.foreign == {"http": 1}
        assert lines(log, "peer_refused")[0]["words"] == "no preamble: it looks like http"
        assert "private-words" not in log.getvalue()
        nursery.cancel_scope.cancel()


async def stranger(address: tuple[str, int], random: Random, payload: bytes) -> None:
    """Comes, says something in pieces, and goes in one way or another."""
    try:
        stream = await trio.open_tcp_stream(*address)
    except OSError:
        return
    with trio.CancelScope() as scope:
        try:
            while payload:
                size = random.randint(1, 3_000)
                await stream.send_all(payload[:size])
                payload = payload[size:]
            if random.random() < 0.5:
                await stream.send_eof()
                while await stream.receive_some(10_000):
                    pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            scope.cancel()
    await trio.aclose_forcefully(stream)


async def test_garbage_at_the_peer_port_changes_nothing(
    nursery: trio.Nursery, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of strangers with garbage, good beginnings with garbage behind them, and nothing: the channel that
    stands goes on, memory is flat, the log is readable."""
    monkeypatch.setattr(limits, "NET_ACCEPTS_BURST", 10_000)  # the pace is tested elsewhere
    monkeypatch.setattr(limits, "NET_HANDSHAKES_BURST", 10_000)
    good = identity(LOW).preamble.encode()
    beginnings = [
        b"",
        good,
        good + bytes([0, 0, 1, 0, 0]),
        good + bytes([0, 0, 1, 0, 0, 0, 32]),
        b"GET / ",
        b"\x16\x03\x01",
        b"PAPI",
    ]
    random = Random(11)
    with within(100):
        low, at_low, high, _ = await pair(nursery)
        address = high.dials()[0].address
        peak: list[int] = []
        tracemalloc.start()
        for _ in range(4):
            for _ in range(25):
                async with trio.open_nursery() as crowd:
                    for _ in range(12):
                        payload = random.choice(beginnings) + random.randbytes(random.choice([0, 3, 100, 5_000]))
                        crowd.start_soon(stranger, (address.host, address.port), random, payload)
            high.send(LOW.public, Priority.CONSENSUS, b"still here")
            count = len(peak) + 1
            await at_low.until(lambda count=count: len(at_low.messages) == count)  # type: ignore[misc]
            while low.half_open:
                await trio.testing.wait_all_tasks_blocked(0.01)
            peak.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert at_low.downs == []
        assert low.counters.accepted == 1_201
        assert sum(low.counters.refused.values()) == 1_200
        assert set(low.counters.refused) <= {
            errors.NOT_PAPILIO,
            errors.HANDSHAKE_FAILED,
            errors.CONNECTION_LOST,
            errors.TOO_MANY_CONNECTIONS,
        }
        assert set(low.counters.foreign) == {"nothing", "cut", "garbage", "http", "tls"}
        assert peak[-1] - peak[0] < 300_000, peak
        assert len(log.getvalue().splitlines()) < 60
        assert lines(log, "opening_bug") == []
        nursery.cancel_scope.cancel()


async def test_who_never_finishes_a_handshake_takes_its_own_places_only(nursery: trio.Nursery) -> None:
    """L-31: half-open connections of one address are bounded; the node's own dials do not count."""
    with within(60):
        at_low = Recorder()
        low = node(LOW, at_low, handshake_seconds=0.5)
        address = await start(nursery, low)
        crowd = [await trio.open_tcp_stream(*address) for _ in range(limits.NET_HALF_OPEN_PER_ADDRESS_MAX + 5)]
        while low.counters.accepted < len(crowd):
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert low.half_open == limits.NET_HALF_OPEN_PER_ADDRESS_MAX
        assert low.counters.refused == {errors.TOO_MANY_CONNECTIONS: 5}
        other_address = await start(nursery, node(HIGH, Recorder()))
        dialer = node(OTHER, Recorder(), dial=(PeerAddress(HIGH.public, *other_address),))
        await start(nursery, dialer)
        while low.half_open:
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert low.counters.refused[errors.HANDSHAKE_TIMEOUT] == limits.NET_HALF_OPEN_PER_ADDRESS_MAX
        for stream in crowd:
            await stream.aclose()
        await start(nursery, node(HIGH, Recorder(), dial=(PeerAddress(LOW.public, *address),)))
        await at_low.until(lambda: bool(at_low.ups))
        nursery.cancel_scope.cancel()


async def test_a_recorded_conversation_played_again_is_refused(nursery: trio.Nursery) -> None:
    """All bytes that HIGH sent LOW, at once and to a new connection: the ephemeral key is another."""
    with within():
        at_low, at_high = Recorder(), Recorder()
        low = node(LOW, at_low)
        address = await start(nursery, low)
        sent = bytearray()

        def keep(data: bytes) -> bytes:
            sent.extend(data)
            return data

        proxy = Proxy(address, change=keep)
        high = node(HIGH, at_high, dial=(PeerAddress(LOW.public, *await nursery.start(proxy.run)),))
        await start(nursery, high)
        await at_high.until(lambda: bool(at_high.ups))
        high.send(LOW.public, Priority.CONSENSUS, b"a vote")
        await at_low.until(lambda: len(at_low.messages) == 1)
        before = low.counters.refused.total()
        stream = await trio.open_tcp_stream(*address)
        await stream.send_all(bytes(sent))
        with contextlib.suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                pass
        await stream.aclose()
        while low.counters.refused.total() == before:
            await trio.testing.wait_all_tasks_blocked(0.001)
        assert low.counters.refused[errors.HANDSHAKE_FAILED] == 1
        assert len(at_low.messages) == 1
        assert len(at_low.ups) == 1
        nursery.cancel_scope.cancel()


async def test_a_flood_of_strangers_is_let_in_at_a_pace(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """L-31: what a stranger costs is little, and so many a second are all that it can be."""
    monkeypatch.setattr(limits, "NET_ACCEPTS_BURST", 10)
    monkeypatch.setattr(limits, "NET_ACCEPTS_PER_SECOND", 0.001)
    with within():
        low = node(LOW, Recorder())
        address = await start(nursery, low)
        crowd = [await trio.open_tcp_stream(*address) for _ in range(30)]
        while low.counters.accepted < 11:
            await trio.testing.wait_all_tasks_blocked(0.01)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert low.counters.accepted == 11
        for stream in crowd:
            await stream.aclose()
        nursery.cancel_scope.cancel()
