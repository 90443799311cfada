"""The command refuses in words where a foreign package has our packages' names, before it imports anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.cli import doorway
from daemon.cli.exits import ExitCode

ROOT = Path(__file__).resolve().parents[2]


def ours(folder: Path) -> Path:
    """A folder like the one that the wheel is installed into: the module `papilio` and our two packages."""
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "daemon" / "cli" / "doorway.py", folder / "papilio.py")
    for package in ("daemon", "protocol"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def foreign(folder: Path, name: str = "daemon") -> Path:
    """A package as others have it; it says when it gets to run."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text('"""Another one."""\nprint("FOREIGN CODE RAN")\n')
    return folder


def run(*path: Path, arguments: tuple[str, ...] = ("version",)) -> subprocess.CompletedProcess[str]:
    """The command, with these folders on the path in this order."""
    code = "import sys; from papilio import main; sys.exit(main())"
    settings = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, "-S", "-P", "-c", code, *arguments]
    # Without site-packages, in which an editable papilio would be found; libraries are then given by their folder.
    settings["PYTHONPATH"] += os.pathsep + next(p for p in sys.path if p.endswith("site-packages"))
    return subprocess.run(command, cwd=path[0], env=settings, capture_output=True, text=True, check=False)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == ExitCode.CONFIGURATION == doorway.EXIT_CONFIGURATION
    assert "FOREIGN CODE RAN" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("papilio: ")
    for part in (*words, "python3 -m venv papilio-env", "papilio-env/bin/pip install papilio"):
        assert part in done.stderr


def test_it_goes_in_where_both_are_ours(tmp_path: Path) -> None:
    done = run(ours(tmp_path / "ours"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("papilio ")


def test_a_foreign_package_that_comes_later_is_no_matter(tmp_path: Path) -> None:
    assert run(ours(tmp_path / "ours"), foreign(tmp_path / "theirs")).returncode == 0


@pytest.mark.parametrize("name", ["daemon", "protocol"])
def test_a_foreign_package_that_comes_first(tmp_path: Path, name: str) -> None:
    theirs = foreign(tmp_path / "theirs", name)
    done = run(theirs, ours(tmp_path / "ours"))
    refused(
        done, f"another package named '{name}'", str(theirs / name / "__init__.py"), repr(str(theirs)), "PYTHONPATH"
    )


def test_a_foreign_module_that_comes_first(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "daemon.py").write_text('print("FOREIGN CODE RAN")\n')
    refused(run(theirs, ours(tmp_path / "ours")), str(theirs / "daemon.py"))


def test_a_foreign_package_installed_over_ours(tmp_path: Path) -> None:
    """As `pip install python-daemon` does it: our files stay, the `__init__` is theirs."""
    folder = ours(tmp_path / "ours")
    (folder / "daemon" / "__init__.py").write_text('print("FOREIGN CODE RAN")\n')
    refused(run(folder), "another package named 'daemon'")


def test_a_foreign_package_uninstalled_from_over_ours(tmp_path: Path) -> None:
    """Which takes our `__init__` along."""
    folder = ours(tmp_path / "ours")
    (folder / "daemon" / "__init__.py").unlink()
    refused(run(folder), "'daemon'")


def test_a_package_of_ours_is_missing(tmp_path: Path) -> None:
    folder = ours(tmp_path / "ours")
    shutil.rmtree(folder / "protocol")
    refused(run(folder), "package 'protocol' is missing")


def test_packages_of_two_installations(tmp_path: Path) -> None:
    one, two = ours(tmp_path / "one"), ours(tmp_path / "two")
    shutil.rmtree(one / "protocol")
    refused(run(one, two), "two installations", str(one / "daemon"), str(two / "protocol"))


def test_in_this_environment_all_is_well() -> None:
    assert doorway.refusal() == ""
