"""All checks of the project, one line each; the tests come last and keep their own closing line.

Called by `scripts/test` in `.venv-test`. A step that fails shows what it said and the others still run; the exit code
is 1 if any failed. `--static` leaves the tests out, `--fast` leaves the checks out, `--long` adds tests that take
minutes; all else goes to pytest. Deliberately absent: repairing anything (`ruff format`, `ruff check --fix` do that
when asked).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BESIDE = Path(sys.executable).parent
"""Where the environment's own programs are: nothing is taken from the user's path."""

CHECKS: dict[str, list[str]] = {
    "lint": [str(BESIDE / "ruff"), "check", "--quiet", "."],
    "format": [str(BESIDE / "ruff"), "format", "--check", "--quiet", "."],
    "types": [sys.executable, "-m", "mypy", "--no-error-summary"],
    "layers": [str(BESIDE / "lint-imports")],
    "purity": [sys.executable, "-m", "scripts.purity"],
}


def run_check(name: str, command: list[str]) -> bool:
    """Run one check, print its line, and what it said if it failed."""
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    result = "ok" if done.returncode == 0 else "FAILED"
    print(f"{name:<8}{result:<8}{time.monotonic() - began:6.1f} s", flush=True)
    if done.returncode != 0:
        print(
            "\n".join(f"    {line}" for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()),
            flush=True,
        )
    return done.returncode == 0


ALONE = {"-s", "--pdb", "--collect-only", "--co", "-n", "--numprocesses"}
"""Arguments with which pytest decides itself in how many processes it runs."""


def processes(arguments: list[str]) -> list[str]:
    """Spread tests over the cores and one more, as many of them wait; four at most: some start four nodes each."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [] if cores == 1 or ALONE.intersection(arguments) else ["-n", str(min(cores + 1, 4)), "--dist", "worksteal"]


def run_tests(arguments: list[str], *, long: bool) -> bool:
    """Run pytest with its output as it comes, in a folder of its own: the usual one is tidied by every run."""
    spread = processes(arguments)
    command = [sys.executable, "-m", "pytest", *spread, *(["--long"] if long else []), *(arguments or ["-q"])]
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix="papilio-test-", ignore_cleanup_errors=True) as folder:
        return subprocess.run([*command, "--basetemp", f"{folder}/t"], cwd=ROOT, check=False).returncode == 0


def main() -> int:
    """Exit code 1 when anything failed."""
    parser = argparse.ArgumentParser(
        prog="scripts/test", description="all checks and tests", epilog="all other arguments go to pytest"
    )
    parser.add_argument("--static", action="store_true", help="lint, format, types, layers, purity; no tests")
    parser.add_argument("--fast", action="store_true", help="tests only")
    parser.add_argument("--long", action="store_true", help="tests that take minutes, too")
    options, arguments = parser.parse_known_args()
    os.environ.pop("PYTHONPATH", None)
    checks = {} if options.fast else CHECKS
    failed = [name for name, command in checks.items() if not run_check(name, command)]
    if not options.static:
        if failed:
            print(f"Failed already: {', '.join(failed)}. The tests run all the same.", flush=True)
        if not run_tests(arguments, long=options.long):
            failed.append("tests")
    if failed and failed != ["tests"]:
        print(f"FAILED: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
