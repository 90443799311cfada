"""Which channel stands for each node, and which of two stays (L-29). Sans-IO but for one event.

Both nodes of a pair dial, so two channels may come about at once; both ends must keep the same one without talking
about it. The rule, a total order that both ends compute alike:

1. Another channel key than the standing channel's: the node was started again since (the key is made at its start, and
   its node key has signed it). The new one stays: a node that was killed is back at once, however long its old
   connection looks alive here.
2. Dialed by the same side: whoever dialed again has given up the old one. The new one stays.
3. Dialed by different sides, in one run of both processes: the one dialed by the lower node key stays.

It cannot flap: rule 3 never replaces a channel dialed by the lower key, and nobody dials who has a channel.
Two processes with one node key would replace each other by rule 1, each at its dialer's pace; the log says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from daemon.net.opening import Remote
from protocol.wire.channel import Side


def stays(own_key: bytes, old: Remote, new: Remote) -> Remote:
    """Which of two channels with the same node stays."""
    assert old.node_key == new.node_key != own_key
    if old.channel_key != new.channel_key or old.side is new.side:
        return new
    lower_dials = Side.RESPONDER if own_key < new.node_key else Side.INITIATOR
    return new if new.side is lower_dials else old


@dataclass(slots=True)
class Changes:
    """Lets tasks wait for a change of what stands."""

    _event: trio.Event = field(default_factory=trio.Event)

    def happened(self) -> None:
        """Wake whoever waits."""
        event, self._event = self._event, trio.Event()
        event.set()

    async def wait(self) -> None:
        """Return at the next change."""
        await self._event.wait()
