"""What the network is told and what it tells: configuration, policy, events, status.

**Handing over** (why a receiver that waits, and not one queue): a message is handed over by awaiting
`Receiver.message`, from a task of that peer and stream. So the one who knows how much room there is decides how long it
takes, each peer waits for itself, bulk waits without consensus, and no message is kept in two queues. Ups and
downs are told by plain calls, in the same breath in which the network's own table changes: what `peers()` says and what
the receiver was told never differ. Between `connected` and `disconnected` of one peer come all its messages, and
none after; a peer is never connected twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from daemon import limits
from daemon.net.connection import MessageReceiver
from daemon.net.counters import Traffic
from daemon.net.opening import PeerRole

Policy = Callable[[bytes], PeerRole | str]
"""As what a node key is let in, or in words why not. Asked for each channel, so it may change its mind."""


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """A node that is dialed: its node key and where it listens."""

    node_key: bytes
    host: str
    port: int

    def __str__(self) -> str:
        return address_text(self.host, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetConfig:
    """What the operator decides. `listen`: (host, port) each, port 0 for any free one; may be empty."""

    listen: tuple[tuple[str, int], ...]
    dial: tuple[PeerAddress, ...] = ()
    connections_max: int = limits.NET_CONNECTIONS_MAX
    """In all; past it only validators are let in, of which genesis bounds the number."""
    connections_per_address_max: int = limits.NET_CONNECTIONS_PER_ADDRESS_MAX
    half_open_max: int = limits.NET_HALF_OPEN_MAX
    handshake_seconds: float = limits.NET_HANDSHAKE_SECONDS
    receive_bytes_per_second: int = limits.NET_RECEIVE_BYTES_PER_SECOND
    """Of one peer; one that sends more is read more slowly."""


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """An authenticated channel stands. `number` counts channels since the start; `dialed`: by this node."""

    node_key: bytes
    role: PeerRole
    number: int
    address: str
    dialed: bool
    version: int


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """It is gone: a code of the table and words; `by_peer`: the other side said so."""

    node_key: bytes
    number: int
    code: str
    words: str
    by_peer: bool


class Receiver(MessageReceiver, Protocol):
    """Who is told. The two plain calls must not wait."""

    def connected(self, event: PeerConnected) -> None:
        """A peer is there."""
        ...

    def disconnected(self, event: PeerDisconnected) -> None:
        """A peer is gone."""
        ...


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A peer as it is now. `waiting_bytes`: not yet sent, by stream."""

    connected: PeerConnected
    seconds: float
    waiting_bytes: tuple[int, ...]
    traffic: Traffic


@dataclass(frozen=True, slots=True)
class DialStatus:
    """A node that this one dials. `failure`: why the last attempt failed, empty if it did not or there was none."""

    address: PeerAddress
    connected: bool
    attempts: int
    failure: str


def address_text(host: str, port: int) -> str:
    """Host and port as people write them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
