"""Looking at nodes: an answer that is given up is nobody's, and the next look asks anew."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import trio

import daemon.lab.watching
from daemon.lab.nodes import LabNode
from daemon.lab.watching import Watcher

NODE = {
    "epoch": 1, "view": 3, "leader": 0, "final_height": 2, "final_hash": "ab", "executed_height": 2,
    "memory": {"phase": "known", "vote_floor": 0},
}  # fmt: skip
METRICS = 'papilio_node_notes_total{note="view_nullified"} 7\n'


class Running(LabNode):
    """A node that runs as far as is asked."""

    def look(self) -> bool:
        return False


def answer(body: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


async def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon.lab.watching, "ANSWER_SECONDS", 0.2)
    late = [0.25]  # the first time, so that it comes before the next look

    async def serve(stream: trio.SocketStream) -> None:
        while asked := await stream.receive_some():
            if b"/metrics" in asked:
                await trio.sleep(late.pop() if late else 0)
                await stream.send_all(answer(METRICS))
            else:
                await stream.send_all(answer(json.dumps(NODE)))

    async def serve_until_left(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):  # whoever asked has given up
            await serve(stream)

    violated: list[str] = []
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve_until_left, [listener])
        node = Running(0, Path("nowhere"), f"http://127.0.0.1:{listener.socket.getsockname()[1]}", votes=True)
        node.process = cast("subprocess.Popen[bytes]", SimpleNamespace(pid=0))
        watcher = Watcher([node], [0], lambda: 0, lambda rule, *_: violated.append(rule), counts_nullified=True)
        nursery.start_soon(watcher.run)
        with trio.fail_after(30):
            await watcher.until(lambda: watcher.nullified == 7 and watcher.seen[0].answers)
        nursery.cancel_scope.cancel()
    assert (watcher.final_height, violated, late) == (2, [], [])
