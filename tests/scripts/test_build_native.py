"""What is written in C is compiled where it can be, and never stands in the way where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from protocol.crypto.trie_descent import native
from scripts import build_native
from scripts.lock import ROOT

needs_compiler = pytest.mark.skipif(
    shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) is None
    or not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists(),
    reason="no C compiler, or no headers of this Python",
)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Where one of an older source lies."""
    path = tmp_path / build_native.built_name().name
    path.write_bytes(b"of an older source")
    return path


@needs_compiler
def test_compiles_without_a_warning(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_native, "FLAGS", (*build_native.FLAGS, "-Wconversion", "-Werror"))
    assert build_native.compile_native(ROOT, output) is None
    load = f"import importlib.util as u; s = u.spec_from_file_location('_descent', {str(output)!r})"
    code = f"{load}; m = u.module_from_spec(s); s.loader.exec_module(m); print(len(m.SOURCE))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "64", done.stderr
    assert [file.name for file in output.parent.iterdir()] == [output.name]


@needs_compiler
@pytest.mark.skipif(os.environ.get("PAPILIO_PURE", "") not in ("", "0"), reason="left out on purpose")
def test_where_there_is_a_compiler_it_is_what_runs() -> None:
    """Otherwise every test of it would be left out, and nobody would notice."""
    assert native, "remove this environment; scripts/test makes it anew"


@pytest.mark.parametrize(
    ("compiler", "words"),
    [("/no/such/compiler", "No such file"), (f"{sys.executable} -c raise(SystemExit(3))", "ended with 3")],
)
def test_without_a_compiler_says_why_and_leaves_nothing(
    compiler: str, words: str, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = sysconfig.get_config_var
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: compiler if name == "CC" else known(name))
    found = build_native.compile_native(ROOT, output)
    assert found is not None
    assert words in found
    assert not list(output.parent.iterdir()), "the one of an older source is gone"


def test_where_nothing_can_be_written_an_installation_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout on a read-only disk: also what can't be removed stands in nobody's way."""
    monkeypatch.setattr(build_native, "command", lambda *_: [sys.executable, "-c", ""])
    found = build_native.compile_native(ROOT, Path("/proc/papilio/_descent.so"))
    assert found is not None
    assert "No such file" in found


def test_left_out_on_purpose(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPILIO_PURE", "1")
    assert build_native.compile_native(ROOT, output) == "PAPILIO_PURE is set"
    assert not output.exists()


def test_a_wheel_without_it_is_for_every_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPILIO_PURE", "1")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "without the trie in C: PAPILIO_PURE is set" in done.stdout + done.stderr
    assert [wheel.name for wheel in tmp_path.iterdir()] == ["papilio-0.1.0-py3-none-any.whl"]
