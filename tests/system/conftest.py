"""The fixture `networks`: makes networks of real processes and leaves nothing of them behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.network import Network, make_network


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A client that is cancelled while it sends leaves a generator of httpx behind, of which Trio warns (encode/httpx).

    Nothing is held by it: it would have yielded a body of bytes.
    """
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning"))


@pytest.fixture
def networks(tmp_path: Path) -> Iterator[Callable[..., Network]]:
    """Makes networks as `make_network` does. Logs are shown when the test fails, and kept in its folder."""
    made: list[Network] = []

    def make(count: int, **options: object) -> Network:
        made.append(make_network(tmp_path / f"network-{len(made)}", count, **options))  # type: ignore[arg-type]
        return made[-1]

    try:
        yield make
    finally:
        for network in made:
            network.destroy()
        for network in made:
            print(f"{network.directory}\n{network.tails(4)}")  # noqa: T201 - pytest shows it when the test failed


@pytest.fixture
def is_long(request: pytest.FixtureRequest) -> bool:
    """Whether this run may take minutes."""
    return bool(request.config.getoption("--long"))
