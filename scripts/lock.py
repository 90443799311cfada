"""Write uv.lock and its exports for plain pip; `--check` says whether the exports equal the lock.

    python -m scripts.lock            after a change of dependencies in pyproject.toml (needs the package index)
    python -m scripts.lock --upgrade  newest versions that pyproject.toml allows
    python -m scripts.lock --check    offline; a test runs the same

Run it in `.venv-test`, which holds uv at the version that wrote the lock.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = ROOT / "scripts" / "requirements"
EXPORTS = {
    "run.txt": ["--no-default-groups"],
    "test.txt": ["--no-default-groups", "--group", "dev"],
    "build.txt": ["--only-group", "build"],
}
"""File -> what of the lock it holds: what the daemon runs on, that and the tools of the tests, the build backend."""

HEADING = "# Written by `python -m scripts.lock` from uv.lock; do not edit.\n"


def uv(*arguments: str) -> str:
    """Run uv, untouched by the user's settings for it, and return what it printed. Raises CalledProcessError."""
    settings = {key: value for key, value in os.environ.items() if not key.startswith("UV_")}
    command = [sys.executable, "-m", "uv", "--no-config", "--no-python-downloads", *arguments]
    return subprocess.run(command, cwd=ROOT, env=settings, check=True, stdout=subprocess.PIPE, text=True).stdout


def export(name: str) -> str:
    """The requirement file `name` as the lock has it; needs no network."""
    selection = ["--frozen", "--offline", "--no-emit-project", "--no-header", "--quiet", "--python", sys.executable]
    return HEADING + uv("export", *selection, *EXPORTS[name])


def stale() -> list[str]:
    """Names of exports that differ from the lock."""
    return [name for name in EXPORTS if (DIRECTORY / name).read_text(encoding="utf-8") != export(name)]


def main() -> int:
    """Exit code 1 when a check finds a difference."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.lock", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--upgrade", action="store_true")
    options = parser.parse_args()
    if options.check:
        for name in stale():
            print(f"{DIRECTORY / name} differs from uv.lock: run python -m scripts.lock")
        return 1 if stale() else 0
    uv("lock", *(["--upgrade"] if options.upgrade else []))
    DIRECTORY.mkdir(exist_ok=True)
    for name in EXPORTS:
        (DIRECTORY / name).write_text(export(name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
