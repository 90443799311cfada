"""The doors: how many connections may stand, from one address and in all, and how many unproven (L-31). Sans-IO.

Until a connection has proven a node key it is *half open*. Half-open ones are bounded in all and for each address, so
that one address cannot take all places; and whoever fills them still cannot keep this node from its peers, because
it dials them too, and what it dials is not counted here. A proven connection frees its half-open place and goes on
to count for its address.

Handshakes cost work, so each address has a budget of them; past it the handshake begins later, while its place is
taken. Only a good preamble counts: whoever brings garbage is gone at once, and takes nothing from a neighbour at the
same address. An IPv6 address stands for its /64, which is what one customer gets.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from daemon import limits
from daemon.net.budget import Budget
from protocol import errors
from protocol.errors import Refused


def origin_of(host: str) -> Hashable:
    """What an IP address counts as; unknown texts count as themselves."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return address
    return address.ipv4_mapped or ipaddress.IPv6Network((address, 64), strict=False)


@dataclass(slots=True)
class _Origin:
    budget: Budget
    connections: int = 0
    half_open: int = 0


class Place:
    """One accepted connection's place; `leave` it in any case."""

    __slots__ = ("_doors", "_half_open", "_left", "_origin")

    def __init__(self, doors: Doors, origin: _Origin) -> None:
        self._doors = doors
        self._origin = origin
        self._half_open = True
        self._left = False

    def pause(self, now: float) -> float:
        """Its handshake is about to begin: seconds to wait first, more than 0 if its address has used up its budget."""
        return self._origin.budget.take(1, now)

    def proven(self) -> None:
        """It has proven a key: no longer half open."""
        if self._half_open:
            self._half_open = False
            self._origin.half_open -= 1
            self._doors.half_open -= 1

    def leave(self) -> None:
        """The connection is gone."""
        if not self._left:
            self._left = True
            self.proven()
            self._origin.connections -= 1


class Doors:
    """Counts accepted connections; see the essay."""

    def __init__(
        self,
        *,
        per_address_max: int = limits.NET_CONNECTIONS_PER_ADDRESS_MAX,
        half_open_max: int = limits.NET_HALF_OPEN_MAX,
    ) -> None:
        self._per_address_max = per_address_max
        self._half_open_max = half_open_max
        self._half_open_per_address_max = min(limits.NET_HALF_OPEN_PER_ADDRESS_MAX, per_address_max)
        self._origins: OrderedDict[Hashable, _Origin] = OrderedDict()
        self.half_open = 0

    def enter(self, host: str, now: float) -> Place:
        """A place for a connection from `host`. Raises Refused."""
        if self.half_open >= self._half_open_max:
            raise Refused(errors.TOO_MANY_CONNECTIONS, f"{self.half_open} half-open connections")
        origin = self._origin(origin_of(host), now)
        if origin.half_open >= self._half_open_per_address_max:
            raise Refused(errors.TOO_MANY_CONNECTIONS, f"{origin.half_open} half-open connections from one address")
        if origin.connections >= self._per_address_max:
            raise Refused(errors.TOO_MANY_CONNECTIONS, f"{origin.connections} connections from one address")
        origin.connections += 1
        origin.half_open += 1
        self.half_open += 1
        return Place(self, origin)

    @property
    def addresses_remembered(self) -> int:
        """For tests and metrics."""
        return len(self._origins)

    def _origin(self, name: Hashable, now: float) -> _Origin:
        found = self._origins.pop(name, None)
        if found is None:
            found = _Origin(Budget(limits.NET_HANDSHAKES_PER_SECOND, limits.NET_HANDSHAKES_BURST, now))
            self._forget(now)
        self._origins[name] = found
        return found

    def _forget(self, now: float) -> None:
        """Make room: addresses with nothing standing, those that are as if never seen first."""
        if len(self._origins) < limits.NET_ADDRESSES_REMEMBERED_MAX:
            return
        idle = [name for name, origin in self._origins.items() if not origin.connections]
        half = max(1, len(idle) // 2)
        fresh = [name for name in idle if self._origins[name].budget.full(now)]
        for name in fresh if len(fresh) >= half else idle[:half]:
            del self._origins[name]
        assert len(self._origins) < limits.NET_ADDRESSES_REMEMBERED_MAX, "far fewer connections than addresses stand"
