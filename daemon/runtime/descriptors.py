"""File descriptors: clients never take the last ones (L-31).

Every connection is a file descriptor, and so is a segment that is begun, a journal's next generation, a pipe to a new
worker. A process that may open 1,024 files, as a shell gives it, and serves 1,024 idle clients cannot open its next
segment, which is a failed write, and stops: anyone could stop it. So before anything is opened

* the process asks for as many as its settings need, within what the system lets it have (the *hard* limit);
* where that is less, the API serves fewer clients, and the log says so;
* where not even the peers find room, it is refused in words.

What is counted, in this order: the node's own (`DESCRIPTORS_OWN`, and two a verify worker), peers and connections that
have not proven a key yet, dials, then clients.
"""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass

from daemon import limits
from daemon.config.node import Node
from protocol.errors import OperatorFault


@dataclass(frozen=True, slots=True)
class Room:
    """What there is: files that this process may open, and how many clients' connections fit among them."""

    files: int
    api_connections: int
    api_connections_wanted: int


def room_for(node: Node) -> Room:
    """Raise this process's limit as far as `node` needs it, and say what there is room for. Raises OperatorFault."""
    wanted = node.settings.api.connections_max
    for_peers = _own(node) + _peers(node)
    files = _raised_to(for_peers + wanted)
    clients = min(wanted, files - for_peers)
    if clients < min(wanted, limits.API_CONNECTIONS_LEAST):
        least = for_peers + min(wanted, limits.API_CONNECTIONS_LEAST)
        raise OperatorFault(
            f"this process may open {files} files and needs {least} or more: raise its limit (ulimit -Hn, LimitNOFILE= "
            f"of the service), or lower peers.connections_max, which is {node.settings.peers.connections_max}"
        )
    return Room(files, clients, wanted)


def _own(node: Node) -> int:
    return limits.DESCRIPTORS_OWN + 2 * node.settings.workers.verify


def _peers(node: Node) -> int:
    """Past `connections_max` validators are still let in; a peer that is dialed may stand twice for a moment."""
    validators = len(node.network.genesis.validators)
    return node.settings.peers.connections_max + limits.NET_HALF_OPEN_MAX + validators + len(node.dial)


def _raised_to(wanted: int) -> int:
    """How many files may be open, after asking for `wanted`; never lowered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _endless(soft) or soft >= wanted:
        return wanted if _endless(soft) else soft
    best = wanted if _endless(hard) else min(wanted, hard)
    with contextlib.suppress(ValueError, OSError):  # a sandbox forbids it: then what was given has to do
        resource.setrlimit(resource.RLIMIT_NOFILE, (best, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _endless(limit: int) -> bool:
    return limit in (resource.RLIM_INFINITY, -1)
