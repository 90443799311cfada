"""The environment is made once, from just what is locked, and every failure says what to do."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import environment

SCRIPT = environment.ROOT / "scripts" / "environment"


class Steps:
    """Stands in for the commands: records them, and makes a folder that looks like an environment."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.fails_at = ""

    def __call__(self, words: str, command: list[str], root: Path) -> None:
        self.words.append(words)
        if self.fails_at and self.fails_at in words:
            raise environment.CannotMake(f"{words} failed: no such index")
        if words == "creating it":
            place = Path(command[-1])
            (place / "bin").mkdir(parents=True)
            (place / "pyvenv.cfg").touch()
            python = place / "bin" / "python"
            python.write_text(f"#!/bin/sh\necho '{sys.version}'\n")
            python.chmod(0o755)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()
    monkeypatch.setattr(environment, "step", steps)
    return steps


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "a checkout"
    (root / "scripts" / "requirements").mkdir(parents=True)
    for name in ("run.txt", "test.txt", "build.txt"):
        (root / "scripts" / "requirements" / name).write_text(f"# {name}\n")
    (root / "pyproject.toml").write_text("[project]\n")
    for name in environment.INSTALLED[1:]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {name}\n")
    return root


def test_made_once(root: Path, steps: Steps) -> None:
    python = environment.ensure(root, "run")
    assert python == root / ".venv-run" / "bin" / "python"
    assert len(steps.words) == 3
    environment.ensure(root, "run")
    assert len(steps.words) == 3, "the second time nothing is done"


@pytest.mark.parametrize(
    "changed",
    ["pyproject.toml", "daemon/cli/doorway.py", "scripts/requirements/run.txt", "scripts/requirements/build.txt"],
)
def test_made_anew_when_what_it_was_made_from_changes(root: Path, steps: Steps, changed: str) -> None:
    environment.ensure(root, "run")
    (root / ".venv-run" / "left").touch()
    (root / changed).write_text("# another\n")
    environment.ensure(root, "run")
    assert len(steps.words) == 6
    assert not (root / ".venv-run" / "left").exists()


def test_not_made_anew_for_what_the_other_environment_holds(root: Path, steps: Steps) -> None:
    environment.ensure(root, "run")
    (root / "scripts" / "requirements" / "test.txt").write_text("# another\n")
    environment.ensure(root, "run")
    assert len(steps.words) == 3


def test_made_anew_when_the_checkout_moved(root: Path, steps: Steps) -> None:
    environment.ensure(root, "run")
    moved = root.with_name("moved")
    root.rename(moved)
    environment.ensure(moved, "run")
    assert len(steps.words) == 6


def test_another_python_takes_it_as_it_is_unless_named(
    root: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAPILIO_PYTHON", raising=False)
    environment.ensure(root, "run")
    monkeypatch.setattr(sys, "version", "3.99.0 (another)")
    environment.ensure(root, "run")
    assert len(steps.words) == 3
    monkeypatch.setenv("PAPILIO_PYTHON", "/another/python")
    environment.ensure(root, "run")
    assert len(steps.words) == 6


def test_made_anew_when_its_python_was_replaced(root: Path, steps: Steps) -> None:
    python = environment.ensure(root, "run")
    python.write_text("#!/bin/sh\necho '3.99.0 (replaced)'\n")
    environment.ensure(root, "run")
    assert len(steps.words) == 6


def test_a_failure_leaves_nothing_that_looks_finished(root: Path, steps: Steps) -> None:
    steps.fails_at = "hashes"
    with pytest.raises(environment.CannotMake, match="no such index"):
        environment.ensure(root, "run")
    steps.fails_at = ""
    environment.ensure(root, "run")
    assert steps.words[-1] == "installing papilio in place"


def test_a_foreign_folder_is_left_alone(root: Path, steps: Steps) -> None:
    (root / ".venv-run").mkdir()
    (root / ".venv-run" / "thesis.txt").touch()
    with pytest.raises(environment.CannotMake, match="move it away"):
        environment.ensure(root, "run")
    assert (root / ".venv-run" / "thesis.txt").exists()


def test_a_checkout_that_cannot_be_written_says_so(root: Path, steps: Steps) -> None:
    (root / ".venv-run.lock").mkdir()  # as root, too, this cannot be opened for writing
    with pytest.raises(environment.CannotMake, match="It is inside the checkout"):
        environment.ensure(root, "run")
    assert steps.words == []


def test_what_a_failed_command_said_is_shown(root: Path) -> None:
    with pytest.raises(environment.CannotMake, match=r"(?s)making tea failed:.*no water"):
        environment.step("making tea", ["sh", "-c", "echo no water; exit 3"], root)


def bare_path(folder: Path, python: str | None) -> str:
    """A PATH with the few tools that the script calls and, if given, one python3."""
    folder.mkdir()
    for tool in ("dirname", "tail", "sh"):
        source = next(Path(p) / tool for p in os.environ["PATH"].split(":") if (Path(p) / tool).exists())
        (folder / tool).symlink_to(source)
    if python is not None:
        fake = folder / "python3"
        fake.write_text(python)
        fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    return str(folder)


def run_script(path: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), "run"], env={"PATH": path, **settings}, capture_output=True, text=True, check=False
    )


def test_without_python_it_says_what_to_do(tmp_path: Path) -> None:
    done = run_script(bare_path(tmp_path / "bin", None))
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "PAPILIO_PYTHON=/path/to/python3.11" in done.stderr
    assert done.stdout == ""


def test_an_old_python_is_named_with_its_version(tmp_path: Path) -> None:
    done = run_script(bare_path(tmp_path / "bin", "#!/bin/sh\necho 'is Python 3.8, older than 3.11' >&2\nexit 1\n"))
    assert done.returncode == 1
    assert "python3: is Python 3.8, older than 3.11" in done.stderr


def test_the_first_good_python_is_taken_isolated(tmp_path: Path) -> None:
    fake = '#!/bin/sh\n[ "$2" = -c ] && exit 0\nprintf "%s\\n" "$@"\n'
    done = run_script(bare_path(tmp_path / "bin", fake))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["-I", str(SCRIPT.with_suffix(".py")), "run"]


def test_the_named_python_comes_first(tmp_path: Path) -> None:
    path = bare_path(tmp_path / "bin", "#!/bin/sh\nexit 1\n")
    mine = tmp_path / "mine"
    mine.write_text("#!/bin/sh\necho mine\n")
    mine.chmod(0o755)
    assert run_script(path, PAPILIO_PYTHON=str(mine)).stdout.strip() == "mine"
