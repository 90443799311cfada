"""The event stream: what becomes final, as server-sent events, resumable without gap or repeat.

    id: 41                                 id: 41@7
    event: receipt                         event: block
    data: {"log_index": 41, ...}           data: {"height": 7, ...}

The whole history is one sequence, the same on every node for ever: of each block its receipts, in the order of the log,
then the block itself. A position in it is a log index (all up to that receipt) or `LOG_INDEX@HEIGHT` (all up to that
block, whose last receipt, or that of an earlier one, is LOG_INDEX; -1 before the first). Whoever gives back the id of
the last event it saw, in `Last-Event-ID` as browsers do or in `after`, here or at another node, gets exactly what
follows. Without a position the stream begins at the beginning; `after=now` begins with what is next.

Filters leave events out and change no position: block events always come, so a filtered stream's position moves.

Nothing is queued for a client: the stream reads the store, a bounded piece at a time, writes it, and reads on when the
socket has taken it. A client that takes nothing for `API_WRITE_SECONDS` is left (connection.py) and can resume. When
the node stops, or cannot read on, an event `end` says why, in words and with a code, and the stream is over. Who was
nearly up to date has all that is final by then; who is far behind goes on at another node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import trio

from daemon import limits
from daemon.api.contents import Content
from daemon.api.messages import Send, Stream
from daemon.api.problems import Problem, bad_request, described, to_bytes
from daemon.api.routes import Given
from daemon.api.surroundings import Surroundings
from daemon.runtime.events import FinalTransaction, read_transactions
from daemon.runtime.service import refuse_pruned
from daemon.store.errors import SegmentDamaged
from protocol.errors import API_BUSY, SEGMENT_DAMAGED, STOPPING, Refused
from protocol.ledger.index import Roots, executed_height, read_roots, receipt_at
from protocol.ledger.tables import Reader

STOPPING_ROUNDS = 16
"""So many blocks, or pieces of them, are still written when the node stops: who is farther behind resumes elsewhere."""
BYTES_TOGETHER = 32 * 1024
"""Events are written in pieces of about this size: a write for each would cost more than the event."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Receipts that are wanted; None: all."""

    app: str | None
    account: bytes | None

    def wants(self, content: Content) -> bool:
        """Whether the receipt of this envelope is."""
        if self.account is not None and content.account != self.account:
            return False
        return self.app is None or any(app == self.app for app, _ in content.operations)


async def events(around: Surroundings, given: Given) -> Stream:
    """GET /v1/events."""
    if around.counters.streams >= limits.API_STREAMS_MAX:
        raise Problem(API_BUSY, f"{limits.API_STREAMS_MAX} event streams are open here; use another node")
    position = given["last-event-id"] if given["last-event-id"] is not Ellipsis else given["after"]
    with around.node.reader() as reader:
        next_index, next_height = start(reader, position, around.node.first_height)
    wanted = Filter(given["app"], given["account"])
    follower = Follower(around, wanted, next_index, next_height)
    return Stream(follower.write, headers=(("x-accel-buffering", "no"),))


def start(reader: Reader, position: tuple[int, int | None] | None, first_height: int = 1) -> tuple[int, int]:
    """(log index, height) of what comes next after a position; None: now.

    Raises Problem if it lies ahead, Refused(pruned) below what is kept here.
    """
    newest = executed_height(reader) or 0
    if position is None:
        return _log_size(reader, newest), newest + 1
    index, height = position
    if height is not None:
        refuse_pruned(height + 1, first_height)
        if height > newest or _log_size(reader, height) != index + 1:
            raise bad_request(
                f"position {index}@{height} is not one of this network as far as executed here ({newest})"
            )
        return index + 1, height + 1
    if index < 0:
        refuse_pruned(1, first_height)
        return 0, 1
    receipt = receipt_at(reader, index)
    if receipt is not None:
        refuse_pruned(receipt.height, first_height)
    elif first_height > 1 and index < _log_size(reader, newest):
        refuse_pruned(1, first_height)
    if receipt is None:
        raise bad_request(f"log index {index} is not final here; the log has {_log_size(reader, newest)} receipts")
    return index + 1, receipt.height


def _log_size(reader: Reader, height: int) -> int:
    roots = read_roots(reader, height)
    assert roots is not None, "the height was executed"
    return roots.executed.log_size


class Follower:
    """One client's stream, from one position on."""

    def __init__(self, around: Surroundings, wanted: Filter, next_index: int, next_height: int) -> None:
        self._around = around
        self._wanted = wanted
        self._next_index = next_index
        self._next_height = next_height
        self._piece = bytearray(b"retry: 1000\n\n")

    async def write(self, send: Send) -> None:
        """Write until the node stops. Raises what `send` raises."""
        progress = self._around.node.progress
        try:
            while True:
                changed, stopping = progress.changed, progress.stopping
                await self._catch_up(send)
                await self._flush(send)
                if stopping:
                    self._end(STOPPING, progress.words or "this node is shutting down")
                    break
                with trio.move_on_after(limits.API_HEARTBEAT_SECONDS) as patience:
                    await changed.wait()
                if patience.cancelled_caught:
                    self._piece += b": alive\n\n"
        except (SegmentDamaged, Refused) as fault:
            code = SEGMENT_DAMAGED if isinstance(fault, SegmentDamaged) else fault.code
            self._end(code, f"{fault.words}; go on at another node, after the last id")
        await self._flush(send)

    async def _catch_up(self, send: Send) -> None:
        """Write all that is executed; once the node stops, only what is nearly there."""
        rounds_left = STOPPING_ROUNDS
        while rounds_left:
            await trio.lowlevel.checkpoint()  # a filter may leave nothing to write for a long time
            rounds_left -= self._around.node.progress.stopping
            with self._around.node.reader() as reader:
                newest = executed_height(reader) or 0
                roots = read_roots(reader, self._next_height) if self._next_height <= newest else None
                if roots is None:
                    return
                left = min(roots.executed.log_size - self._next_index, limits.EVENTS_READ_MAX)
                receipts = read_transactions(reader, self._next_index, left)
            if receipts:
                content = await self._around.contents.at(self._next_height)
                for final in receipts:
                    self._add_receipt(final, content[final.receipt.position])
                    if len(self._piece) >= BYTES_TOGETHER:
                        await self._flush(send)
            if self._next_index == roots.executed.log_size:
                self._add_block(roots)
            if len(self._piece) >= BYTES_TOGETHER:
                await self._flush(send)

    def _add_receipt(self, final: FinalTransaction, content: Content) -> None:
        assert final.log_index == self._next_index, "the log is dense"
        assert final.receipt.height == self._next_height, "receipts come before their block"
        self._next_index += 1
        if not self._wanted.wants(content):
            return
        receipt = final.receipt
        data = {
            "log_index": final.log_index,
            "transaction": receipt.transaction.hex(),
            "height": receipt.height,
            "time_ms": receipt.time_ms,
            "position": receipt.position,
            "code": receipt.code,
            "account": content.account.hex(),
            "operations": [{"app": app, "name": name} for app, name in content.operations],
        }
        self._add("receipt", data, str(final.log_index))

    def _add_block(self, roots: Roots) -> None:
        height = self._next_height
        self._next_height += 1
        data = {
            "height": height,
            "hash": roots.header_hash.hex(),
            "time_ms": roots.time_ms,
            "log_size": roots.executed.log_size,
            "state_root": roots.executed.state_root.hex(),
        }
        self._add("block", data, f"{self._next_index - 1}@{height}")

    def _end(self, code: str, words: str) -> None:
        self._add("end", {"detail": words, **described(code)}, None)

    def _add(self, event: str, data: dict[str, Any], position: str | None) -> None:
        head = f"id: {position}\nevent: {event}\ndata: " if position is not None else f"event: {event}\ndata: "
        self._piece += head.encode() + to_bytes(data) + b"\n\n"
        self._around.counters.events_sent += 1

    async def _flush(self, send: Send) -> None:
        if self._piece:
            piece, self._piece = bytes(self._piece), bytearray()
            await send(piece)
