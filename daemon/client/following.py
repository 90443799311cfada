"""Following events: server-sent events in pieces, and the position after which to go on at whichever node.

The position of an event is its transaction's index in the network's receipt log, the same on every node for ever. So
who follows remembers one number, and after a cut, a slow reader's end or a node's death goes on after it, here or at
another endpoint, without gap or repeat. `Follower` keeps that number and checks what comes against it: an event at or
below it is a repeat and dropped; one beyond the next, where nothing is filtered out, is a gap, which no papilio node
leaves, so that endpoint is left for another. Events of blocks (`41@7`: all up to block 7, whose last receipt is 41) are
not delivered; they move the position of a stream that is filtered.

An endpoint works when its stream *moves*, not when it opens one: a node whose next block is damaged opens a stream as
often as it is asked, says so in an event `end`, and closes it. A stream moves with an event, with a block that is newer
than any seen, and with a heartbeat. Until one moves, pauses grow and the subscriber's patience runs, over all
endpoints; when it is over, what an `end` gave as its reason is raised. That a node stops is no such reason, only a
cause to go elsewhere.

The format is that of the HTML standard (9.2.6, interpreting an event stream): lines end with LF, CR LF or CR; an empty
line ends an event; a line that begins with a colon is a comment.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Final, NamedTuple

from daemon.client.conversation import Question
from daemon.client.errors import NodeRefused
from daemon.client.views import BadAnswer, Event, json_object, read_event, text_of
from protocol.errors import STOPPING

EVENT_CHARACTERS_MAX: Final = 4 * 1024 * 1024
"""One event: a receipt of 1,000 operations named one by one is far below."""
SILENCE_SECONDS: Final = 35.0
"""A stream that says nothing for so long is dead: nodes send a heartbeat at least every ten seconds."""


class StreamEvent(NamedTuple):
    """One event as it stands in the stream: its type, its data, its id ("" if it has none)."""

    type: str
    data: str
    id: str


class StreamParser:
    """Bytes of a stream in, events out. Raises BadAnswer past `EVENT_CHARACTERS_MAX`. comments: how many came."""

    def __init__(self) -> None:
        self.comments = 0
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._rest = ""
        self._after_cr = False
        self._begin()

    def _begin(self) -> None:
        self._type, self._id, self._size = "message", "", 0
        self._data: list[str] = []

    def feed(self, data: bytes) -> Iterator[StreamEvent]:
        """The events that are whole with these bytes."""
        text = self._decoder.decode(data)
        if self._after_cr and text:  # the other half of a CR LF that was cut between two pieces
            text, self._after_cr = text.removeprefix("\n"), False
        if text.endswith("\r"):
            self._after_cr = True
        lines = (self._rest + text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = lines.pop()
        if len(self._rest) > EVENT_CHARACTERS_MAX:
            raise BadAnswer("an event without an end")
        for line in lines:
            event = self._line(line)
            if event is not None:
                yield event

    def _line(self, line: str) -> StreamEvent | None:
        if not line:
            event = StreamEvent(self._type, "\n".join(self._data), self._id) if self._data else None
            self._begin()
            return event
        name, _, value = line.partition(":")
        self.comments += not name
        value = value.removeprefix(" ")
        self._size += len(value)
        if self._size > EVENT_CHARACTERS_MAX:
            raise BadAnswer("an event without an end")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value or "message"
        elif name == "id" and "\0" not in value:
            self._id = value
        return None


class Follower:
    """Where a subscriber is, and what it is told next.

    after: index in the receipt log of the last event delivered; None: nothing yet, begin with the first. has_moved:
    whether the stream moved with the last bytes. Since one moved: failing_since_seconds: when a stream failed first, on
    the monotonic clock. attempts: endpoint to what was last wrong there. refusal: the last reason of an `end`.
    """

    def __init__(self, after: int | None, app: str | None = None, account: bytes | None = None) -> None:
        self.after = after
        self._app = app
        self._account = account
        self._parser = StreamParser()
        self._height = -1
        self._end: tuple[str, str] | None = None
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what failed."""
        self.has_moved = False
        self.failing_since_seconds: float | None = None
        self.attempts: dict[str, str] = {}
        self.refusal: NodeRefused | None = None

    def failed(self, endpoint: str, words: str, now_seconds: float) -> None:
        """The stream there is over."""
        if self.failing_since_seconds is None:
            self.failing_since_seconds = now_seconds
        self.attempts[endpoint] = words
        if self._end is not None:
            code, reason = self._end
            self.refusal = NodeRefused(code, reason, status=200, endpoint=endpoint)

    def question(self) -> Question:
        """The question that opens a stream after the position; what was half received is forgotten."""
        self._parser = StreamParser()
        self._end = None
        self.has_moved = False
        query: list[tuple[str, str]] = []
        if self.after is not None:
            query.append(("after", str(self.after)))
        if self._app is not None:
            query.append(("app", self._app))
        if self._account is not None:
            query.append(("account", self._account.hex()))
        return Question("GET", "/v1/events", tuple(query))

    def feed(self, data: bytes) -> Iterator[Event]:
        """New events in these bytes; the position moves with each that is taken. Raises BadAnswer, also at an `end`."""
        self.has_moved = False
        comments = self._parser.comments
        try:
            for event in self._parser.feed(data):
                if event.type == "block":
                    self._pass(event)
                elif event.type == "receipt":
                    taken = self._take(event)
                    if taken is not None:
                        yield taken
                elif event.type == "end":
                    self._over(event)
        finally:
            self.has_moved |= self._parser.comments > comments

    @property
    def _next(self) -> int:
        return 0 if self.after is None else self.after + 1

    @property
    def _is_filtered(self) -> bool:
        return self._app is not None or self._account is not None

    def _pass(self, event: StreamEvent) -> None:
        """A block is over: what was not delivered of it was not wanted."""
        index, _, height = event.id.partition("@")
        last = _number(index)
        if last >= self._next:
            if not self._is_filtered:
                raise BadAnswer(f"a block that ends with {last} where {self._next} follows")
            self.after, self.has_moved = last, True
        if height and _number(height) > self._height:
            self._height, self.has_moved = _number(height), True

    def _over(self, event: StreamEvent) -> None:
        """The node ends the stream."""
        value = json_object(event.data)
        code, words = text_of(value, "code", ""), text_of(value, "detail", "")
        if code not in ("", STOPPING):
            self._end = code, words or code
        raise BadAnswer(": ".join(filter(None, ("ended the stream", code, words))))

    def _take(self, event: StreamEvent) -> Event | None:
        position = _number(event.id)
        if position < self._next:
            return None
        if not self._is_filtered and position != self._next:
            raise BadAnswer(f"event {position} where {self._next} follows")
        taken = read_event(position, json_object(event.data))
        self.after, self.has_moved = position, True
        return taken


def _number(text: str) -> int:
    """A position; -1 before the first. Raises BadAnswer."""
    if text == "-1":
        return -1
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise BadAnswer("an event without a position")
    return int(text)
