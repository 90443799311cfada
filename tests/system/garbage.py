"""Strangers at a node's ports: each kind a coroutine that takes HOST and PORT and never ends by itself.

They come from addresses of their own (127.0.0.66 and up), as strangers do. What a stranger sees of the node (refusals,
closed connections) is no concern of his.
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from daemon.net.preamble import Preamble
from protocol.wire.channel import VERSION_HIGH, VERSION_LOW

Stranger = Callable[[str, int], Awaitable[None]]

TLS_HELLO: Final = bytes.fromhex("16030100c8010000c40303" + "5a" * 32 + "20" + "a5" * 32 + "0004130113030100")
SIZE_MAX: Final = 65_536
HALF_OPEN: Final = 200


async def _connect(host: str, port: int, source: str) -> trio.SocketStream:
    socket = trio.socket.socket()
    try:
        await socket.bind((source, 0))
        await socket.connect((host, port))
    except BaseException:
        socket.close()
        raise
    return trio.SocketStream(socket)


async def _say(host: str, port: int, source: str, *pieces: bytes, pause_seconds: float = 0.0) -> None:
    """One connection: say this, hear what comes back until the other side ends it, or a second is over."""
    with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
        async with await _connect(host, port, source) as stream:
            for piece in pieces:
                await stream.send_all(piece)
                await trio.sleep(pause_seconds)
            with trio.move_on_after(1):
                while await stream.receive_some(SIZE_MAX):
                    pass


async def random_bytes(host: str, port: int) -> None:
    """Bursts of noise of all sizes."""
    chance = random.Random(1)
    while True:
        await _say(host, port, "127.0.0.66", os.urandom(chance.choice([1, 7, 43, 1_000, SIZE_MAX])))


async def half_open(host: str, port: int) -> None:
    """Many connections that say nothing; each that is closed is replaced."""

    async def one() -> None:
        while True:
            with suppress(OSError, trio.BrokenResourceError):
                async with await _connect(host, port, "127.0.0.67") as stream:
                    await stream.receive_some(1)
            await trio.sleep(0.05)

    async with trio.open_nursery() as nursery:
        for _ in range(HALF_OPEN):
            nursery.start_soon(one)


async def slow(host: str, port: int) -> None:
    """Some requests, a byte at a time (slowloris)."""

    async def one(text: bytes) -> None:
        while True:
            pieces = [text[at : at + 1] for at in range(len(text))]
            await _say(host, port, "127.0.0.68", *pieces, pause_seconds=0.2)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(one, f"GET /v1/node?{number} HTTP/1.1\r\nhost: a\r\nx: {'y' * 900}\r\n".encode())


async def huge_heads(host: str, port: int) -> None:
    """Request lines and headers without end."""
    while True:
        for line in (b"GET /" + b"a" * 2_000_000, b"GET / HTTP/1.1\r\n" + b"x-a: b\r\n" * 200_000):
            await _say(host, port, "127.0.0.69", line)


async def tls(host: str, port: int) -> None:
    """Programs that believe that there is TLS."""
    while True:
        await _say(host, port, "127.0.0.70", TLS_HELLO, os.urandom(500))


async def odd_requests(host: str, port: int) -> None:
    """HTTP that lies: about lengths, about chunks, two lengths, bodies of garbage, and another protocol."""
    post = b"POST /v1/envelopes HTTP/1.1\r\nhost: a\r\n"
    kinds = [
        post + b"content-type: application/json\r\ncontent-length: 9\r\n\r\n[[[[[[[[[",
        post + b"content-type: application/json\r\ncontent-length: 4000000\r\n\r\n" + b"[" * 1_000_000,
        post + b"content-type: application/msgpack\r\ncontent-length: 5\r\n\r\n\xdd\xff\xff\xff\xff",
        post + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        post + b"transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        post + b"transfer-encoding: chunked\r\n\r\n5\r\nabc",
        post + b"content-length: 99999999999999999999\r\n\r\n",
        b"GET /v1/transactions/zz HTTP/1.1\r\nhost: a\r\n\r\n" * 50,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(100),
        b"GET /v1/events?after=99999999999999 HTTP/1.1\r\nhost: a\r\n\r\n",
    ]
    while True:
        for kind in kinds:
            await _say(host, port, "127.0.0.71", kind)


def preamble_then_noise(network_id: bytes) -> Stranger:
    """Strangers that know the network, and nothing else."""
    preamble = Preamble(VERSION_LOW, VERSION_HIGH, network_id).encode()

    async def stranger(host: str, port: int) -> None:
        while True:
            for size in (0, 3, 34, 300, SIZE_MAX):
                await _say(host, port, "127.0.0.72", preamble, os.urandom(size))
            await _say(host, port, "127.0.0.73", preamble, b"\x00\x00\x01\x00\x00", b"\x00\x20" + os.urandom(32))
            await _say(host, port, "127.0.0.74", Preamble(1, 9, os.urandom(32)).encode())

    return stranger
