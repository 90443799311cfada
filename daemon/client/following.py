"""Following events: server-sent events in pieces, and the position after which to go on at whichever node.

The position of an event is its transaction's index in the network's receipt log, the same on every node for ever. So
who follows remembers one number, and after a cut, a slow reader's end or a node's death goes on after it, here or at
another endpoint, without gap or repeat. `Follower` keeps that number and checks what comes against it: an event at or
below it is a repeat and dropped; one beyond the next, where nothing is filtered out, is a gap, which no papilio node
leaves, so that endpoint is left for another. Events of blocks (`41@7`: all up to block 7, whose last receipt is 41) are
not delivered; they move the position of a stream that is filtered.

The format is that of the HTML standard (9.2.6, interpreting an event stream): lines end with LF, CR LF or CR; an empty
line ends an event; a line that begins with a colon is a comment.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Final, NamedTuple

from daemon.client.conversation import Question
from daemon.client.views import BadAnswer, Event, json_object, read_event

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
    """Bytes of a stream in, events out. Raises BadAnswer past `EVENT_CHARACTERS_MAX`."""

    def __init__(self) -> None:
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

    after: index in the receipt log of the last event delivered; None: nothing yet, begin with the first.
    """

    def __init__(self, after: int | None, app: str | None = None, account: bytes | None = None) -> None:
        self.after = after
        self._app = app
        self._account = account
        self._parser = StreamParser()

    def question(self) -> Question:
        """The question that opens a stream after the position; what was half received is forgotten."""
        self._parser = StreamParser()
        query: list[tuple[str, str]] = []
        if self.after is not None:
            query.append(("after", str(self.after)))
        if self._app is not None:
            query.append(("app", self._app))
        if self._account is not None:
            query.append(("account", self._account.hex()))
        return Question("GET", "/v1/events", tuple(query))

    def feed(self, data: bytes) -> Iterator[Event]:
        """New events in these bytes; the position moves with each that is taken. Raises BadAnswer."""
        for event in self._parser.feed(data):
            if event.type == "block":
                self._pass(event)
            elif event.type == "receipt":
                taken = self._take(event)
                if taken is not None:
                    yield taken

    @property
    def _next(self) -> int:
        return 0 if self.after is None else self.after + 1

    @property
    def _is_filtered(self) -> bool:
        return self._app is not None or self._account is not None

    def _pass(self, event: StreamEvent) -> None:
        """A block is over: what was not delivered of it was not wanted."""
        last = _number(event.id.partition("@")[0])
        if last >= self._next:
            if not self._is_filtered:
                raise BadAnswer(f"a block that ends with {last} where {self._next} follows")
            self.after = last

    def _take(self, event: StreamEvent) -> Event | None:
        position = _number(event.id)
        if position < self._next:
            return None
        if not self._is_filtered and position != self._next:
            raise BadAnswer(f"event {position} where {self._next} follows")
        taken = read_event(position, json_object(event.data))
        self.after = position
        return taken


def _number(text: str) -> int:
    """A position; -1 before the first. Raises BadAnswer."""
    if text == "-1":
        return -1
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise BadAnswer("an event without a position")
    return int(text)
