"""One question, until an endpoint answers it: for everything that may be asked twice.

An endpoint that is down, cut off, overloaded, at its end or behind is no reason to fail while another one answers. What
one refuses *for now* (429, 503, codes whose retry is `later` or `elsewhere`) is asked again, there or elsewhere, after
the pause it wishes. What one refuses for what the question *says* ends the conversation: no other node would say else.
An answer that is not of the API's form (a proxy's page) counts as none.

Where the network is known, because the application insists on one or some node has told it, every endpoint is asked for
its own before anything else goes there, once. One of another network is left out, as if it were down, for as long as
the client lives; `WrongNetwork` is raised when no other is left. An endpoint that changes its network later is not
found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from daemon.client.conversation import Answer, Ask, Conversation, NoAnswer, Pause, Question, Surroundings, asked
from daemon.client.endpoints import Endpoints, back_off_seconds
from daemon.client.errors import ClientError, NodeRefused, Unreachable, WrongNetwork
from daemon.client.following import Follower
from daemon.client.views import BadAnswer, hex_of, json_object, text_of
from protocol.errors import CODES, Retry

T = TypeVar("T")

LATER_SECONDS_MIN: Final = 0.05
"""What is provable or readable "later" usually is with the next block."""


NETWORK: Final = Question("GET", "/v1/network")


class Asker:
    """Asks one question at whichever endpoint answers."""

    def __init__(
        self,
        endpoints: Endpoints,
        surroundings: Surroundings,
        request_seconds: float,
        network_id: bytes | None = None,
    ) -> None:
        """request_seconds: patience with one exchange, beyond what a question asks the node to wait.

        network_id: the only network to talk to; None: that of the node which tells its own first.
        """
        self.endpoints = endpoints
        self.surroundings = surroundings
        self.request_seconds = request_seconds
        self._network_id = network_id
        self._right: set[str] = set()
        self._wrong: dict[str, str] = {}

    def ask(
        self, question: Question, read: Callable[[Answer], T], deadline_seconds: float, *, waits_seconds: float = 0.0
    ) -> Conversation[T]:
        """What `read` makes of the first usable answer.

        deadline_seconds: on the monotonic clock. waits_seconds: how long the question asks the node itself to wait.
        read: raises BadAnswer if the answer is none. Raises Unreachable, NodeRefused, WrongNetwork.
        """
        attempts: dict[str, str] = {}
        refusal: NodeRefused | None = None
        rounds = 0
        while True:
            endpoint = yield from self.choose(deadline_seconds)
            if endpoint is None:
                raise refusal or self.nobody(attempts)
            reply = yield from self.exchange(endpoint, question, deadline_seconds, waits_seconds)
            if isinstance(reply, Answer) and reply.status < 300:
                try:
                    value = read(reply)
                except BadAnswer as fault:
                    attempts[endpoint] = f"answered {fault}"
                    self.endpoints.failed(endpoint)
                    continue
                self.endpoints.answered(endpoint)
                return value
            attempts[endpoint] = words_of(reply)
            found = refusal_of(reply, endpoint)
            if found is None or is_pressure(found):
                refusal = found or refusal
                self.endpoints.failed(endpoint, None if found is None else found.retry_after_seconds)
            elif found.code in CODES and CODES[found.code].retry is Retry.LATER:
                self.endpoints.answered(endpoint)
                refusal, rounds = found, rounds + 1
                pause = found.retry_after_seconds or 0.0
                least = max(LATER_SECONDS_MIN, back_off_seconds(rounds - 1, self.surroundings.random))
                yield from self.pause(min(max(pause, LATER_SECONDS_MIN), least), deadline_seconds)
            else:
                self.endpoints.answered(endpoint)
                raise found

    def choose(self, deadline_seconds: float) -> Conversation[str | None]:
        """The endpoint to ask, after its pause; None if the deadline comes first, or all are left out."""
        endpoint, pause = self.endpoints.next()
        if pause == math.inf:
            return None
        left = deadline_seconds - self.surroundings.monotonic_seconds()
        if left <= 0 or pause >= left:
            if left > 0:
                yield Pause(left)
            return None
        if pause > 0:
            yield Pause(pause)
        return endpoint

    def exchange(
        self,
        endpoint: str,
        question: Question,
        deadline_seconds: float,
        waits_seconds: float = 0.0,
        *,
        is_stream: bool = False,
    ) -> Conversation[Answer | NoAnswer]:
        """One exchange, never longer than the deadline allows; `NoAnswer`, and nothing sent, at another network."""
        is_about_network = question.path == NETWORK.path
        if self._network_id is not None and endpoint not in self._right and not is_about_network:
            told = asked((yield Ask(endpoint, NETWORK, self._patience(deadline_seconds), False)))
            if isinstance(told, NoAnswer) or told.status >= 300:
                return NoAnswer(words_of(told), may_have_arrived=False)
            fault = self._learn(endpoint, told)
            if fault is not None:
                return fault
        patience = self._patience(deadline_seconds, waits_seconds)
        reply = asked((yield Ask(endpoint, question, patience, is_stream)))
        if is_about_network and isinstance(reply, Answer) and reply.status < 300:
            return self._learn(endpoint, reply) or reply
        return reply

    def nobody(self, attempts: Mapping[str, str]) -> ClientError:
        """What to raise when no endpoint is left to ask. attempts: endpoint to what was last wrong with it."""
        if len(self._wrong) == len(self.endpoints.urls):
            return WrongNetwork("; ".join(f"{endpoint}: {words}" for endpoint, words in self._wrong.items()))
        return Unreachable({**self._wrong, **attempts})

    def _learn(self, endpoint: str, told: Answer) -> NoAnswer | None:
        """Compare the network that an endpoint tells; what is wrong with it."""
        try:
            found = hex_of(json_object(told.body), "network_id")
        except BadAnswer as fault:
            return NoAnswer(f"answered {fault}", may_have_arrived=False)
        if self._network_id is None:
            self._network_id = found
        if found == self._network_id:
            self._right.add(endpoint)
            return None
        words = f"the node is of network {found.hex()}, expected {self._network_id.hex()}"
        self._wrong[endpoint] = words
        self.endpoints.leave_out(endpoint)
        return NoAnswer(words, may_have_arrived=False)

    def _patience(self, deadline_seconds: float, waits_seconds: float = 0.0) -> float:
        """How long to wait for an answer, if the question asks the node itself to wait so long."""
        left = deadline_seconds - self.surroundings.monotonic_seconds()
        return min(self.request_seconds + waits_seconds, max(left, 0.001))

    def open_stream(self, follower: Follower, deadline_seconds: float) -> Conversation[str]:
        """Open a stream at whichever endpoint gives one; that endpoint. Raises Unreachable, NodeRefused, WrongNetwork.

        A node that is behind does not know the follower's position yet, and refuses it: another may know it. Whether
        the endpoint works shows only when the stream moves: the reader then says so.
        """
        question, may_be_ahead = follower.question(), follower.after is not None
        attempts = follower.attempts
        refusal: NodeRefused | None = None
        while True:
            endpoint = yield from self.choose(deadline_seconds)
            if endpoint is None:
                raise refusal or follower.refusal or self.nobody(attempts)
            reply = yield from self.exchange(endpoint, question, deadline_seconds, is_stream=True)
            if isinstance(reply, Answer) and reply.status < 300:
                return endpoint
            attempts[endpoint] = words_of(reply)
            refusal = refusal_of(reply, endpoint)
            if refusal is not None and not is_pressure(refusal) and not may_be_ahead:
                raise refusal
            self.endpoints.failed(endpoint, None if refusal is None else refusal.retry_after_seconds)

    def pause(self, seconds: float, deadline_seconds: float) -> Conversation[None]:
        """Wait, but not past the deadline."""
        left = deadline_seconds - self.surroundings.monotonic_seconds()
        if left > 0:
            yield Pause(min(seconds, left))


def refusal_of(reply: Answer | NoAnswer, endpoint: str) -> NodeRefused | None:
    """What a node refused with; None for no answer, and for one that no papilio node gives (a proxy's page)."""
    if isinstance(reply, NoAnswer) or reply.status < 400:
        return None
    try:
        problem = json_object(reply.body)
        code = text_of(problem, "code")
        words = text_of(problem, "detail", "") or text_of(problem, "title", "") or code
    except BadAnswer:
        return None
    wished = reply.retry_after_seconds
    return NodeRefused(code, words, status=reply.status, endpoint=endpoint, retry_after_seconds=wished, facts=problem)


def is_pressure(refusal: NodeRefused) -> bool:
    """Whether this endpoint is to be left alone for a while: overloaded, at its end, or failing."""
    known = CODES.get(refusal.code)
    elsewhere = known is not None and known.retry is Retry.ELSEWHERE
    return refusal.status in (408, 429) or refusal.status >= 500 or elsewhere


def words_of(reply: Answer | NoAnswer) -> str:
    """What was wrong with a reply, for a person."""
    if isinstance(reply, NoAnswer):
        return reply.words
    found = refusal_of(reply, "")
    if found is None:
        return f"answered HTTP {reply.status}, not as a papilio node does"
    return f"refused with {found.code}: {found.words}"
