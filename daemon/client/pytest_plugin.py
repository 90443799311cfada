"""A pytest plugin for applications: the fixture `papilio_network`, a network of one that really runs.

In the application's conftest.py:

    pytest_plugins = ["daemon.client.pytest_plugin"]

and in a test:

    def test_records(papilio_network):
        with papilio_network.client() as client:
            receipt = client.transact(papilio_network.account, [evidence.record_of(b"a document")])
            assert receipt.ok

The network is started once for a whole run, in a temporary directory and on free ports, and ends with it; nothing is
left behind, not even when pytest is killed. Tests share it as applications share a ledger: what one writes the others
see, so each test uses new accounts, or ids of its own (`papilio_account` is a new account for each test).

It is not registered as an entry point: a fixture that starts processes is asked for by name, in projects that want it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from daemon.client.account import Account
from daemon.client.local import LocalNetwork, local_network


@pytest.fixture(scope="session")
def papilio_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNetwork]:
    """A network of one, running: `endpoint`, `account` (its member's), `network_file`, `client()`."""
    with local_network(tmp_path_factory.mktemp("papilio") / "network") as network:
        yield network


@pytest.fixture
def papilio_account() -> Account:
    """A new account, of no member."""
    return Account.new()
