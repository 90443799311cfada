"""How the demonstration starts programs of papilio: the same Python, the same packages, from any directory.

`-P` keeps the current directory off the path, so that a folder named `daemon` in it is nobody's business.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import daemon

PACKAGES: Final = Path(daemon.__file__).resolve().parent.parent
PAPILIO: Final = (sys.executable, "-P", "-m", "daemon.cli")
"""The command `papilio`."""
LEASHED: Final = (sys.executable, "-P", "-m", "daemon.cli.leashed")
"""The same, but it ends when its standard input does."""


def auditing(network: Path, data_directory: Path, height: int | None = None) -> list[str]:
    """The command that audits a node's disk and prints one JSON value; up to a height, the node may be running."""
    place = [str(data_directory), "--network", str(network)]
    place += [] if height is None else ["--height", str(height)]
    return [*PAPILIO, "audit", *place, "--json"]


def environment() -> dict[str, str]:
    """The environment of such a program: ours, with the packages that run here found first, wherever it starts."""
    return {**os.environ, "PYTHONPATH": str(PACKAGES)}
