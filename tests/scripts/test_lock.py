"""The lock, its exports and pyproject.toml say the same; nothing here needs the network."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

from scripts import environment, lock


@pytest.mark.parametrize("name", lock.EXPORTS)
def test_export_equals_the_lock(name: str) -> None:
    assert (lock.DIRECTORY / name).read_text() == lock.export(name), "run: python -m scripts.lock"


def test_a_changed_export_is_seen(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {name: lock.export(name) for name in lock.EXPORTS}
    monkeypatch.setattr(lock, "export", lambda name: texts[name] + ("# more\n" if name == "run.txt" else ""))
    assert lock.stale() == ["run.txt"]


def test_the_lock_fits_pyproject() -> None:
    command = [sys.executable, "-m", "uv", "--no-config", "lock", "--check", "--offline", "--quiet"]
    done = subprocess.run(
        [*command, "--python", sys.executable], cwd=lock.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", lock.EXPORTS)
def test_every_package_has_a_version_and_hashes(name: str) -> None:
    text = (lock.DIRECTORY / name).read_text().replace("\\\n", "")
    packages = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert packages
    for line in packages:
        assert re.match(r"[a-z0-9-]+==[0-9]\S* .*--hash=sha256:[0-9a-f]{64}", line), line


def test_the_build_backend_is_the_locked_one() -> None:
    required = tomllib.loads((lock.ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    exported = (lock.DIRECTORY / "build.txt").read_text()
    assert all(f"\n{requirement} " in exported for requirement in required)


def test_every_environment_is_made_from_exports() -> None:
    assert {f for files in environment.REQUIREMENTS.values() for f in files} == set(lock.EXPORTS)


def test_each_dependency_says_why() -> None:
    lines = (lock.ROOT / "pyproject.toml").read_text().splitlines()
    dependencies = [line for line in lines if re.match(r'    "[a-z0-9-]+[><=]', line)]
    assert len(dependencies) > 10
    assert [line for line in dependencies if "# " not in line] == []
