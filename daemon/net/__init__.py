"""Channels between nodes: encrypted, proven at both ends, and never in the way of a vote (L-29 to L-31).

Reading order, sans-IO parts marked with *:

* `preamble`*   what is said in clear, so that mismatches are said in words
* `opening`*    the handshake: Noise XX, proofs of node keys, verdicts
* `frames`*     messages of three streams in frames; priorities, windows
* `session`     an opening on a stream, in time
* `connection`  one open channel: its tasks, what it drops and when it ends
* `standing`*   which of two channels with one node stays
* `doors`*      how many connections may stand; `budget`* how much each may cost
* `dialing`     pauses and reaching an address
* `network`     all of it together; `interface` what it is told and tells; `counters`, `telling` what it counts and logs

The transport's own pings only tell that a channel lives. Who hears whom (L-14) is said by the node's keepalives, which
are messages like others.

May import: `protocol`, `daemon.limits`, `daemon.observe`. Public names: everything in `__all__`.
"""

from daemon.net.counters import Counters, Traffic
from daemon.net.interface import (
    DialStatus,
    NetConfig,
    PeerAddress,
    PeerConnected,
    PeerDisconnected,
    PeerStatus,
    Policy,
    Receiver,
)
from daemon.net.network import Network
from daemon.net.opening import PeerRole

__all__ = [
    "Counters",
    "DialStatus",
    "NetConfig",
    "Network",
    "PeerAddress",
    "PeerConnected",
    "PeerDisconnected",
    "PeerRole",
    "PeerStatus",
    "Policy",
    "Receiver",
    "Traffic",
]
