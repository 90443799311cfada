"""The fixture `call`, and networks: one that runs, one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.client.local import free_port, make
from daemon.client.pytest_plugin import papilio_network
from tests.cli.calling import Call

__all__ = ["papilio_network"]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run commands and see what they print."""
    return Call(capsys)


@pytest.fixture(scope="session")
def made_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a network that nobody runs."""
    directory = tmp_path_factory.mktemp("other") / "network"
    make(directory, free_port())
    return directory / "network.toml"
