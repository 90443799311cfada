"""The fixture `call`."""

from __future__ import annotations

import pytest

from tests.cli.calling import Call


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run commands and see what they print."""
    return Call(capsys)
