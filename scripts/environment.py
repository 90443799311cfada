"""Make the environment that a script runs in, once: `.venv-run` or `.venv-test` in the checkout.

Standard library only, since nothing is installed yet; `scripts/environment` finds a Python for it. Everything comes
from files with hashes (`scripts/requirements/`), the build backend included, as wheels; then the project itself is
installed in place, without dependencies and without a build environment of its own. A stamp in the environment says
what it was made from: these files, this Python, this place. While the stamp fits, nothing is done and no network is
needed; when it does not, the environment is made anew. Two scripts at once wait for each other.

Deliberately absent: choosing versions (`scripts/lock.py` does), and any change outside the environment.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = {"run": ("run.txt", "build.txt"), "test": ("test.txt", "build.txt")}
INSTALLED = (
    "pyproject.toml",
    "daemon/cli/doorway.py",
    "scripts/build_native.py",
    "protocol/crypto/_descent.c",
)
"""Files that the installation of the project itself copies or compiles; the rest of it stays in place."""
STAMP = "papilio-stamp.json"
FOREIGN_SETTINGS = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_USER",
    "PIP_REQUIRE_VIRTUALENV",
)
"""Settings that would send what is installed elsewhere. Others, such as an index of one's own, stay."""


class CannotMake(Exception):
    """The environment cannot be made; the words say why and what to do."""


def say(words: str) -> None:
    """One line of progress, on standard error: standard output holds the answer."""
    print(words, file=sys.stderr, flush=True)


def wanted_stamp(root: Path, name: str) -> dict[str, str]:
    """What an environment made now would be made from."""
    content = hashlib.sha256()
    for path in (*(root / f for f in INSTALLED), *(root / "scripts" / "requirements" / f for f in REQUIREMENTS[name])):
        content.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return {"files": content.hexdigest(), "python": sys.version, "place": str(root)}


def is_current(environment: Path, wanted: dict[str, str]) -> bool:
    """Whether the environment stands, works, and was made from this: by another Python too, unless one was named."""
    try:
        stamp = json.loads((environment / STAMP).read_text(encoding="utf-8"))
        probe = [str(python_of(environment)), "-I", "-c", "import sys, daemon, protocol; print(sys.version)"]
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
    except (OSError, ValueError):
        return False
    if done.returncode != 0 or done.stdout.strip() != stamp["python"]:
        return False
    named = "PAPILIO_PYTHON" in os.environ
    return bool(stamp == (wanted if named else wanted | {"python": stamp["python"]}))


def python_of(environment: Path) -> Path:
    """The environment's own Python."""
    return environment / "bin" / "python"


def step(words: str, command: list[str], root: Path) -> None:
    """Run one command quietly; show what it said only when it fails. Raises CannotMake."""
    say(f"  {words} ...")
    settings = {key: value for key, value in os.environ.items() if key not in FOREIGN_SETTINGS}
    settings |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=root, env=settings, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        raise CannotMake(f"{words} failed:\n{done.stdout}{done.stderr}\nThe command was: {' '.join(command)}")
    say(f"  {words}: done in {time.monotonic() - began:.1f} s")


def native_words(environment: Path) -> str:
    """Whether what is written in C was compiled; without it everything works, and slower."""
    probe = "import sys; from protocol.crypto.trie_descent import native; sys.exit(not native)"
    command = [str(python_of(environment)), "-I", "-c", probe]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        return "compiled"
    return "not compiled (it takes a C compiler and Python's headers); the one in Python does the same, slower"


def clear(environment: Path) -> None:
    """Remove an environment of ours; anything else at its place is left alone. Raises CannotMake."""
    if not environment.exists() and not environment.is_symlink():
        return
    ours = environment.is_dir() and not environment.is_symlink() and (environment / "pyvenv.cfg").exists()
    if not ours:
        raise CannotMake(f"{environment} is not an environment made by this script; move it away and try again")
    shutil.rmtree(environment)


def make(root: Path, name: str, environment: Path) -> None:
    """Make the environment from nothing; the stamp is the last thing written. Raises CannotMake."""
    say(f"Making {environment.name} with Python {sys.version.split()[0]} (once; needs the package index)")
    clear(environment)
    python = str(python_of(environment))
    pip = [python, "-I", "-m", "pip", "install", "--quiet"]
    locked = [part for f in REQUIREMENTS[name] for part in ("-r", str(root / "scripts" / "requirements" / f))]
    step("creating it", [sys.executable, "-I", "-m", "venv", str(environment)], root)
    step(
        "installing locked packages, hashes checked",
        [*pip, "--require-hashes", "--only-binary", ":all:", *locked],
        root,
    )
    step(
        "installing papilio in place", [*pip, "--no-build-isolation", "--no-deps", "--no-index", "-e", str(root)], root
    )
    say(f"  the state trie in C: {native_words(environment)}")
    (environment / STAMP).write_text(json.dumps(wanted_stamp(root, name)), encoding="utf-8")


def ensure(root: Path, name: str) -> Path:
    """The Python of the environment `name` ("run" or "test"), made first if need be. Raises CannotMake."""
    environment = root / f".venv-{name}"
    wanted = wanted_stamp(root, name)
    if is_current(environment, wanted):
        return python_of(environment)
    try:
        with (root / f".venv-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_current(environment, wanted):
                make(root, name, environment)
    except OSError as error:
        words = f"cannot make {environment}: {error}. It is inside the checkout, which this user must be able to write"
        raise CannotMake(words) from error
    if not is_current(environment, wanted):
        raise CannotMake(f"{environment} was made, but papilio cannot be imported in it; remove it and try again")
    return python_of(environment)


def main() -> int:
    """Print the environment's Python. Exit code 1, with words, when it cannot be made."""
    parser = argparse.ArgumentParser(
        prog="scripts/environment", description="make .venv-run or .venv-test and print its Python"
    )
    parser.add_argument("name", choices=sorted(REQUIREMENTS))
    try:
        print(ensure(ROOT, parser.parse_args().name))
    except CannotMake as error:
        say(f"scripts/environment: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
