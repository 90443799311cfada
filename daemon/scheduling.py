"""Whose turn it is on a processor: a node does not interrupt the others there.

A node is some processes that talk to each other and to other nodes in small messages. By Linux's usual policy whoever
is woken by a message interrupts the one who sent it, if he has run for longer. On a busy machine, with several nodes
on few cores most of all, that is after nearly every message: the sender's next one waits, caches are cold, and four
messages that would have been read at once are read in four turns. `SCHED_BATCH` differs in this: who is woken waits
until the other's turn is over, some milliseconds. Shares of the processor are the same. Where a core is free there is
nothing to interrupt, and no difference; beside somebody else's busy process on the same core a message may wait for the
rest of his turn.

Whoever has chosen another policy (`chrt`, `CPUSchedulingPolicy=` of systemd) is left with it.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def take_turns() -> None:
    """From now on this thread, and what it starts, waits for its turn instead of interrupting others'.

    Where the system has no such thing, or does not allow it, nothing changes: systemd's filter in papilio.service does
    not, which therefore names the policy itself.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
