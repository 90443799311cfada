"""The door of the command `papilio`: looks whether Python would find our packages, and refuses in words if not.

Our packages are named `daemon` and `protocol`, and others use these names too: python-daemon installs a `daemon`. Two
in one environment overwrite each other; one that comes earlier on the path hides ours, and all that a user would see
is an import error. So the wheel carries this file as the module `papilio` at its top (pyproject.toml), where it does
not need `daemon` to be ours, and the command starts in it. It imports the standard library only and finds packages
without importing them: a foreign one does not get to run.

A package is taken for ours by the first words of its `__init__` and a file inside; both packages must lie side by side.
This protects from accidents, not from someone who wants to be taken for us.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

OURS = {"daemon": ('"""Papilio\'s daemon', "cli/exits.py"), "protocol": ('"""Papilio\'s protocol', "limits.py")}
"""Package -> how its `__init__` begins, and a file that lies in it (not this one: the wheel has it at its top only)."""
EXIT_CONFIGURATION = 78
"""`ExitCode.CONFIGURATION`, which cannot be imported before this has been looked at."""


def refusal() -> str:
    """Why the program cannot run here and what to do, in words; empty if it can."""
    places: dict[str, Path | None] = {}
    for name, marks in OURS.items():
        spec = PathFinder.find_spec(name)
        places[name] = _home(spec, *marks)
        if places[name] is None:
            return _words(name, spec)
    if places["daemon"] != places["protocol"]:
        found = "\n".join(f"    {place}/{name}" for name, place in places.items())
        return f"papilio's two packages come from two installations:\n{found}\n{_ADVICE}"
    return ""


_ADVICE = """\
papilio needs an environment of its own, for example:
    python3 -m venv papilio-env
    papilio-env/bin/pip install papilio"""


def _home(spec: ModuleSpec | None, begins: str, inside: str) -> Path | None:
    """The folder that the package of ours lies in; None if what Python finds is not ours."""
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        return None
    package = Path(spec.submodule_search_locations[0])
    try:
        is_ours = Path(spec.origin).read_text(encoding="utf-8").startswith(begins) and (package / inside).is_file()
    except (OSError, UnicodeDecodeError):
        return None
    return package.parent.resolve() if is_ours else None


def _words(name: str, spec: ModuleSpec | None) -> str:
    if spec is None:
        return f"papilio's package {name!r} is missing from this environment; install papilio again.\n{_ADVICE}"
    where = Path(spec.origin or next(iter(spec.submodule_search_locations or ()), "nowhere")).resolve()
    lines = [f"another package named {name!r} stands where papilio's should be:", f"    {where}"]
    entry = next((part for part in sys.path if part and where.is_relative_to(Path(part).resolve())), None)
    if entry is not None:
        lines.append(f"Python finds it through the entry {entry!r} of its path (PYTHONPATH, or this environment).")
    lines += ["Take it out of this environment or off the path, then install papilio again; or better:", _ADVICE]
    return "\n".join(lines)


def main() -> int:
    """Refuse in words, or go in."""
    words = refusal()
    if words:
        print(f"papilio: {words}", file=sys.stderr)
        return EXIT_CONFIGURATION
    from daemon.cli import main as enter

    return enter()


if __name__ == "__main__":
    sys.exit(main())
