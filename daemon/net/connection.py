"""One open channel under Trio: five tasks that live and end together.

* the *reader* takes bytes, decrypts, and hands consensus messages over itself;
* one *dealer* for each bulk stream hands over that stream's messages, and gives credit back for them (frames.py);
* the *writer* makes frames of what waits, encrypts and writes one at a time, so that what is most urgent at that very
  moment goes next (Trio keeps what the kernel holds unsent short: TCP_NOTSENT_LOWAT, 16 KiB);
* the *watch* looks once a second whether the peer is silent or does not take what is written, and says that we live.

**Handing over** is `receiver.message(...)`, awaited: it returns when the node has room. While it does not, a dealer
waits, its window stays shut, and the peer's bulk stops; consensus goes on. Only when the node has no room for consensus
either does the reader wait, and then TCP tells the peer. Nothing is read that is not bounded.

**Sending** never waits. What does not fit is left out and counted: bulk quietly, since it is asked for again; for
consensus, whose line is long, it means that the peer takes next to nothing, and the channel ends (L-30: bulk is lost
first, the connection last).

**Ends.** `close` says goodbye: what waits of consensus goes out first, then the words; then our half is shut, and the
other side's end is awaited, for `NET_GOODBYE_SECONDS` in all. Everything else cuts: a fault of the peer (which is told,
if it can be), a lost connection, cancellation. `run` returns how it ended, the socket closed, all tasks gone.
"""

from __future__ import annotations

import contextlib
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import trio

from daemon import limits
from daemon.beats import next_beat
from daemon.net.budget import Budget
from daemon.net.counters import Traffic
from daemon.net.frames import BULK, CONSENSUS, Arrivals, Frames, Incoming, Outgoing, framed
from daemon.net.opening import Channel
from daemon.net.preamble import printable
from protocol import errors
from protocol.crypto.noise import TransportFailed
from protocol.errors import Malformed, PeerFault
from protocol.node.interface import Priority


class MessageReceiver(Protocol):
    """Who takes messages."""

    async def message(self, peer: bytes, priority: Priority, data: bytes) -> None:
        """Take one message of the node `peer`; return when there is room for more."""
        ...


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a channel ended: a code of the table and words; whether the other side said so."""

    code: str
    words: str
    by_peer: bool = False


class _Dealing:
    """What one dealer still has to hand over. Bounded by the stream's window."""

    __slots__ = ("bell", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[tuple[bytes, int]] = deque()
        self.bell = trio.Event()


class Connection:
    """A channel on a stream. `run` once; `send` and `close` at any time, also before and after."""

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream,
        channel: Channel,
        receiver: MessageReceiver,
        *,
        receive_bytes_per_second: int = limits.NET_RECEIVE_BYTES_PER_SECOND,
    ) -> None:
        now = trio.current_time()
        self.channel = channel
        self.traffic = Traffic()
        self.ending: Ending | None = None
        self._stream = stream
        self._receiver = receiver
        self._scope = trio.CancelScope()
        self._frames = Frames()
        self._incoming = Incoming()
        self._outgoing = Outgoing()
        self._bell = trio.Event()
        self._dealing = {stream: _Dealing() for stream in BULK}
        self._budget = Budget(receive_bytes_per_second, limits.NET_RECEIVE_BURST_BYTES, now)
        self._closing = False
        self._reading = False
        self._heard_at = now
        self._said_at = now
        self._writing_since: float | None = None

    # -- From outside -------------------------------------------------------------------------------

    def send(self, priority: Priority, data: bytes) -> bool:
        """Queue one message. False if the channel is ending or has no room; never waits."""
        if self._closing or self.ending is not None:
            return False
        if not self._outgoing.push(priority, data):
            self.traffic.messages_left_out[priority] += 1
            if priority is Priority.CONSENSUS:
                self._end(errors.SLOW_PEER, "it takes too little even of consensus")
            return False
        self.traffic.messages_out[priority] += 1
        self._bell.set()
        return True

    def close(self, code: str, words: str) -> None:
        """End in order: what waits of consensus, a goodbye, the other side's end. The first call counts."""
        if self._closing or self.ending is not None:
            return
        self._closing = True
        self.ending = Ending(code, words)
        self._outgoing.drop_bulk()
        self._outgoing.goodbye(code, words)
        self._scope.deadline = trio.current_time() + limits.NET_GOODBYE_SECONDS
        self._bell.set()

    @property
    def waiting_bytes(self) -> list[int]:
        """What waits to be sent, by stream."""
        return [line.waiting_bytes for line in self._outgoing.lines]

    async def run(self) -> Ending:
        """Serve the channel until it ends; how it did."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._read)
                    nursery.start_soon(self._watch)
                    for stream in BULK:
                        nursery.start_soon(self._deal, stream)
        finally:
            self._closing = True
            if self.ending is None:
                self.ending = Ending(errors.STOPPING, "cut off by this node")
            await trio.aclose_forcefully(self._stream)
        return self.ending

    def _end(self, code: str, words: str, *, by_peer: bool = False) -> None:
        """Cut now."""
        if self.ending is None:
            self.ending = Ending(code, words, by_peer)
        self._scope.cancel()

    # -- In -----------------------------------------------------------------------------------------

    async def _read(self) -> None:
        data = self.channel.rest
        try:
            while True:
                if data:
                    await self._arrived(data)
                self._reading = True
                data = bytes(await self._stream.receive_some(limits.NET_READ_BYTES))
                self._reading = False
                if not data:
                    self._end(errors.CONNECTION_LOST, "the other side's process or line ended")
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._end(errors.CONNECTION_LOST, "the connection broke")
        except TransportFailed:
            await self._fault("a frame does not decrypt: it was altered, repeated or left out on the way")
        except (PeerFault, Malformed) as fault:
            await self._fault(fault.words)

    async def _fault(self, words: str) -> None:
        """Say what the peer did wrong, and pass over what it still sends: closing on unread bytes would take our
        last words back."""
        self.close(errors.PEER_FAULT, words)
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while await self._stream.receive_some(limits.NET_READ_BYTES):
                pass
        self._end(errors.PEER_FAULT, words)

    async def _arrived(self, data: bytes) -> None:
        """Take what came, hand it over, and wait if it was more than the peer's budget."""
        arrivals = Arrivals()
        frames = self._frames.feed(data)
        for frame in frames:
            self._incoming.take(self.channel.receiving.decrypt(frame), arrivals)
        self.traffic.bytes_in += len(data)
        self.traffic.frames_in += len(frames)
        for stream, amount in arrivals.credits:
            self._outgoing.credited(stream, amount)
            self._bell.set()
        await self._hand_over(arrivals)
        if arrivals.goodbye is not None:
            self._goodbye_came(arrivals)
        count = len(arrivals.consensus) + len(arrivals.bulk)
        now = trio.current_time()
        pause = self._budget.take(len(data) + count * limits.NET_MESSAGE_CHARGE_BYTES, now)
        if frames:
            self._heard_at = now + pause
        if pause:
            await trio.sleep(pause)

    async def _hand_over(self, arrivals: Arrivals) -> None:
        if self._closing:
            return
        for stream, message, charge in arrivals.bulk:
            self._dealing[stream].waiting.append((message, charge))
            self._dealing[stream].bell.set()
        peer, hand_over = self.channel.remote.node_key, self._receiver.message
        for number, message in enumerate(arrivals.consensus, 1):
            await hand_over(peer, Priority.CONSENSUS, message)
            if not number % limits.NET_MESSAGES_RUN_MAX:
                await trio.lowlevel.checkpoint()
        self.traffic.messages_in[CONSENSUS] += len(arrivals.consensus)

    def _goodbye_came(self, arrivals: Arrivals) -> None:
        assert arrivals.goodbye is not None
        code = arrivals.goodbye.code if arrivals.goodbye.code in errors.CODES else errors.PEER_FAULT
        self._end(code, printable(arrivals.goodbye.words.encode()), by_peer=True)

    async def _deal(self, stream: int) -> None:
        """Hand over what comes on one bulk stream, and give credit back for it."""
        dealing, peer, priority = self._dealing[stream], self.channel.remote.node_key, Priority(stream)
        while True:
            await dealing.bell.wait()
            dealing.bell = trio.Event()
            while dealing.waiting and not self._closing:
                message, charge = dealing.waiting.popleft()
                await self._receiver.message(peer, priority, message)
                self.traffic.messages_in[stream] += 1
                grant = self._incoming.dealt_with(stream, charge)
                if grant:
                    self._outgoing.grant(stream, grant)
                    self._bell.set()
                if not self.traffic.messages_in[stream] % limits.NET_MESSAGES_RUN_MAX:
                    await trio.lowlevel.checkpoint()

    # -- Out ----------------------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            while True:
                frame = self._outgoing.next_frame()
                if frame is None and self._closing:
                    frame = self._outgoing.last_frame()
                    if frame is None:
                        await self._stream.send_eof()
                        return
                if frame is not None:
                    await self._put(frame)
                    continue
                await self._bell.wait()
                self._bell = trio.Event()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._end(errors.CONNECTION_LOST, "the connection broke")

    async def _put(self, frame: bytes) -> None:
        data = framed(self.channel.sending.encrypt(frame))
        self._said_at = self._writing_since = trio.current_time()
        await self._stream.send_all(data)
        self._writing_since = None
        self.traffic.frames_out += 1
        self.traffic.bytes_out += len(data)

    # -- Time ---------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await next_beat(limits.NET_WATCH_SECONDS)
            now = trio.current_time()
            if self._reading and now - self._heard_at > limits.NET_SILENCE_SECONDS:
                self._end(errors.SILENT_PEER, f"nothing was heard for {limits.NET_SILENCE_SECONDS} s")
            elif self._writing_since is not None and now - self._writing_since > limits.NET_STALL_SECONDS:
                self._end(errors.SLOW_PEER, f"one frame was not taken in {limits.NET_STALL_SECONDS} s")
            elif now - self._said_at >= limits.NET_KEEPALIVE_SECONDS and self._writing_since is None:
                self._outgoing.ping()
                self._bell.set()
