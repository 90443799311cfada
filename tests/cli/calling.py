"""Calling the command line as a person or a program does, in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from daemon.cli import main


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON value."""
        return json.loads(self.out)


class Call:
    """`call("key", "new", file)`."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *arguments: object) -> Said:
        """Run one command."""
        self._capture.readouterr()
        code = main([str(argument) for argument in arguments])
        printed = self._capture.readouterr()
        return Said(code, printed.out, printed.err)
