"""A real HTTP server on a loopback port that answers each connection as its script says, then closes it."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Thread


@dataclass(slots=True)
class Scripted:
    """A server. requests: first lines and bodies, as they came."""

    url: str
    requests: list[tuple[str, bytes]] = field(default_factory=list)


def answer(body: bytes, status: str = "200 OK", content_type: str = "application/json", *, length: int = -1) -> bytes:
    """A whole answer; `length` states another one than its own."""
    stated = len(body) if length < 0 else length
    head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {stated}\r\nconnection: close\r\n\r\n"
    return head.encode() + body


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


@contextmanager
def serving(*scripts: Sequence[bytes | None]) -> Iterator[Scripted]:
    """Answer the first connection with the pieces of the first script, and so on; the last one for all that follow."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as open_ones:
        server = Scripted(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = Thread(target=_accept, args=(listener, server, list(scripts), open_ones), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _accept(
    listener: socket.socket, server: Scripted, scripts: list[Sequence[bytes | None]], open_ones: ExitStack
) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        if None in script:
            open_ones.enter_context(connection)
            _serve(connection, server, script)
        else:
            with connection:
                _serve(connection, server, script)


def _serve(connection: socket.socket, server: Scripted, script: Sequence[bytes | None]) -> None:
    connection.settimeout(10)
    try:
        server.requests.append(_read(connection))
        for piece in script:
            if piece is not None:
                connection.sendall(piece)
    except OSError:
        return


def _read(connection: socket.socket) -> tuple[str, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            return "", b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    lengths = [int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")]
    while len(body) < sum(lengths):
        body += connection.recv(65_536)
    return lines[0], body


def unused_url() -> str:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
