"""How a program that runs nodes ends before its time: by a signal, or by one of several faults at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Final

import trio

from protocol.errors import PapilioError

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends it."""


class Interrupted(PapilioError):
    """A signal ended it."""

    code = "interrupted"


async def end_on_signal(
    caught: list[int], scope: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Cancel `scope` at each signal, and keep which it was."""
    with trio.open_signal_receiver(*SIGNALS) as signals:
        task_status.started()
        async for number in signals:
            caught.append(number)
            scope.cancel()


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The faults of a group, and of the groups in it."""
    for inner in group.exceptions:
        if isinstance(inner, BaseExceptionGroup):
            yield from leaves(inner)
        else:
            yield inner
