"""Clients never take the last file descriptors (L-31)."""

from __future__ import annotations

import resource
import signal
import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.config.node import Node, load_node
from daemon.runtime.descriptors import Room, room_for
from protocol.errors import OperatorFault
from tests.config.made import network
from tests.runtime.test_process import node, running

__all__ = ["node"]  # the fixture: a network of one
ENDLESS = resource.RLIM_INFINITY


class System:
    """The limits of a process, and whether it may change them."""

    def __init__(self, soft: int, hard: int, *, sandboxed: bool = False) -> None:
        self.limits = (soft, hard)
        self.sandboxed = sandboxed

    def getrlimit(self, _which: int) -> tuple[int, int]:
        return self.limits

    def setrlimit(self, _which: int, limits: tuple[int, int]) -> None:
        if self.sandboxed:
            raise PermissionError
        assert limits[1] == self.limits[1]
        self.limits = limits


@pytest.fixture
def bank(tmp_path: Path) -> Node:
    """Of three nodes, with the settings that a new node has: 1,024 clients."""
    network(tmp_path / "net")
    return load_node(tmp_path / "net" / "bank" / "node.toml")


def room(bank: Node, system: System, monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr(resource, "getrlimit", system.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", system.setrlimit)
    return room_for(bank)


def test_as_many_as_the_settings_need_are_asked_for(bank: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    for system in (System(256, ENDLESS), System(1_024, 4_096)):
        found = room(bank, system, monkeypatch)
        assert found.api_connections == found.api_connections_wanted == 1_024
        assert found.files == system.limits[0] > 1_024 + bank.settings.peers.connections_max


def test_what_is_enough_is_left_alone(bank: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(16_384, 16_384)
    assert room(bank, system, monkeypatch) == Room(16_384, 1_024, 1_024)
    assert system.limits == (16_384, 16_384)
    assert room(bank, System(ENDLESS, ENDLESS), monkeypatch).api_connections == 1_024


@pytest.mark.parametrize("sandboxed", [False, True])
def test_with_less_fewer_clients_are_served(bank: Node, monkeypatch: pytest.MonkeyPatch, sandboxed: bool) -> None:
    found = room(bank, System(1_024, 1_024 if not sandboxed else 9_999, sandboxed=sandboxed), monkeypatch)
    assert found.files == 1_024
    assert 500 < found.api_connections < 1_024 - bank.settings.peers.connections_max


def test_with_far_too_few_it_is_refused_in_words(bank: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OperatorFault, match=r"may open 64 files and needs \d+ or more: .*LimitNOFILE"):
        room(bank, System(64, 64), monkeypatch)
    few = replace(bank, settings=bank.settings.model_copy(deep=True, update={"api": few_clients(bank)}))
    assert room(few, System(500, 500), monkeypatch).api_connections == 3, "an operator may want so few"


def few_clients(bank: Node) -> object:
    return bank.settings.api.model_copy(update={"connections_max": 3})


def test_idle_clients_do_not_stop_a_node_that_may_open_few_files(node: Path) -> None:
    """They did: the first block needs a new segment, and there was no descriptor for it."""
    api = load_node(node / "node.toml").settings.api.listen
    with running(node, files=340) as process, ExitStack() as clients:
        process.until("ready")
        assert any(line["event"] == "few_files" for line in process.lines)
        for _ in range(400):
            clients.enter_context(socket.create_connection((api.host, api.port), timeout=10))
        process.until("block")
        process.process.send_signal(signal.SIGTERM)
        assert process.end() == 0
