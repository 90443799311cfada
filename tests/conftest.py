"""What holds for every test: `--long`, and how properties are searched.

Property tests repeat the same examples each time, so that a green run stays green and a red one can be repeated; with
`--long` they look further, from new seeds. No deadline: two cores are shared.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.register_profile("long", deadline=None, max_examples=2_000, print_blob=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--long`."""
    parser.addoption("--long", action="store_true", help="run tests marked long, and search properties further")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the search before test modules are read."""
    settings.load_profile("long" if config.getoption("--long") else "steady")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave long tests out of a short run, and say so in pytest's closing line as deselected."""
    if config.getoption("--long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
