"""The service manager is told how the node is, and only the truth."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.observe.notify import Notifier, Stage, Watchdog


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.setblocking(False)
        yield server


def environment(manager: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.getsockname(), **more}


def test_states_are_one_datagram_of_lines(manager: socket.socket) -> None:
    Notifier(environment(manager)).ready("height 7,\ntwo peers")
    assert manager.recv(1000) == b"READY=1\nSTATUS=height 7, two peers"


def test_a_long_start_asks_for_time(manager: socket.socket) -> None:
    Notifier(environment(manager)).still_starting("replaying", 30)
    assert manager.recv(1000) == b"STATUS=replaying\nEXTEND_TIMEOUT_USEC=30000000"


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"\0papilio-test-{os.getpid()}")
        Notifier({"NOTIFY_SOCKET": f"@papilio-test-{os.getpid()}"}).stopping("bye")
        assert server.recv(1000) == b"STOPPING=1\nSTATUS=bye"


def test_without_a_manager_nothing_happens() -> None:
    Notifier({}).ready("x")


def test_a_manager_that_is_gone_is_not_the_nodes_trouble(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("x")


def test_the_watchdog_pings_only_while_every_stage_advances(manager: socket.socket) -> None:
    notifier = Notifier(environment(manager, WATCHDOG_USEC="3000000", WATCHDOG_PID=str(os.getpid())))
    steps, commits, idle = [0], [0], [False, False]
    watchdog = Watchdog(notifier, lambda: [Stage(steps[0], idle[0]), Stage(commits[0], idle[1])])
    assert watchdog.interval_seconds == 1.0
    assert watchdog.look()
    assert manager.recv(100) == b"WATCHDOG=1"
    assert not watchdog.look(), "nothing moved and something waits: stuck"
    steps[0] += 1
    assert not watchdog.look(), "timers tick, and what waits for the disk does not move"
    with pytest.raises(BlockingIOError):
        manager.recv(100)
    steps[0] += 1
    commits[0] += 1
    assert watchdog.look()
    idle[:] = [True, True]
    assert watchdog.look(), "nothing to do is not stuck"


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"}])
def test_nobody_watches(manager: socket.socket, more: dict[str, str]) -> None:
    assert Watchdog(Notifier(environment(manager, **more)), tuple).interval_seconds is None
