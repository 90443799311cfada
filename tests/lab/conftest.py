"""As in tests/system: a client that is cancelled while it sends leaves a generator of httpx behind, of which Trio warns
(encode/httpx). Nothing is held by it: it would have yielded a body of bytes.
"""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let whole runs leave such generators."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning"))
