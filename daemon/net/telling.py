"""The network's log lines. What somebody outside can provoke is limited by kind (observe/limited.py); counters are not.

No bytes of strangers are shown, only what they look like; words of a peer are shown as its words, made printable.
"""

from __future__ import annotations

from typing import Any

import structlog

from daemon.net.counters import Counters
from daemon.net.interface import PeerAddress, PeerConnected, PeerDisconnected
from daemon.net.opening import OpeningFailed
from daemon.observe.lines import Limiter


class Telling:
    """Writes lines and keeps the counters that go with them."""

    def __init__(self, limiter: Limiter, counters: Counters) -> None:
        self._limiter = limiter
        self._counters = counters
        self._log: Any = structlog.get_logger()

    def _line(self, kind: str, event: str, **facts: Any) -> None:
        left_out = self._limiter.allow(kind)
        if left_out is None:
            return
        self._log.info(event, **facts, **({"left_out": left_out} if left_out else {}))

    def listening(self, addresses: list[str]) -> None:
        """The peer port is open."""
        self._log.info("peers_listen", addresses=addresses)

    def connected(self, event: PeerConnected) -> None:
        """A channel stands."""
        self._counters.opened += 1
        self._line(
            f"peer_up/{event.node_key.hex()}",
            "peer_up",
            peer=event.node_key,
            role=event.role.value,
            address=event.address,
            dialed=event.dialed,
            number=event.number,
            version=event.version,
        )

    def disconnected(self, event: PeerDisconnected, seconds: float) -> None:
        """A channel that stood is gone."""
        self._line(
            f"peer_down/{event.node_key.hex()}",
            "peer_down",
            peer=event.node_key,
            code=event.code,
            words=event.words,
            by_peer=event.by_peer,
            number=event.number,
            seconds=round(seconds, 1),
        )

    def refused(self, failure: OpeningFailed, address: str) -> None:
        """A connection made to this node came to nothing."""
        self._counters.refused[failure.code] += 1
        if failure.looks_like:
            self._counters.foreign[failure.looks_like] += 1
            if failure.looks_like == "nothing":  # load balancers and monitors look whether the port is open
                return
        facts = {"by_peer": True} if failure.by_peer else {}
        kind = f"peer_refused/{failure.code}/{failure.looks_like}"
        self._line(kind, "peer_refused", code=failure.code, words=failure.words, address=address, **facts)

    def turned_away(self, code: str, words: str, address: str) -> None:
        """A connection was not let in at the door."""
        self._counters.refused[code] += 1
        self._line(f"peer_refused/{code}", "peer_refused", code=code, words=words, address=address)

    def dial_failed(self, failure: OpeningFailed, target: PeerAddress) -> None:
        """A node that this one dials was not reached, or refused."""
        self._counters.refused[failure.code] += 1
        kind = f"dial_failed/{target.node_key.hex()}/{failure.code}"
        facts = {"by_peer": True} if failure.by_peer else {}
        self._line(kind, "dial_failed", peer=target.node_key, code=failure.code, words=failure.words, **facts)

    def accept_failed(self, words: str) -> None:
        """The system gave no connection: descriptors or memory are used up."""
        self._line("accept_failed", "accept_failed", words=words)

    def opening_bug(self, fault: Exception) -> None:
        """An opening failed through a mistake of ours; it ends that connection and nothing else."""
        if self._limiter.allow("opening_bug") is not None:
            self._log.error("opening_bug", exc_info=fault)
