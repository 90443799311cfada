"""The README and the examples beside the code, run as they stand against a node that really runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.client.local import LocalNetwork

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "daemon" / "client" / "README.md"
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def desk(tmp_path: Path, papilio_network: LocalNetwork) -> Path:
    """A directory to work in, with the network's directory `ledger` and the command papilio in it."""
    (tmp_path / "ledger").symlink_to(papilio_network.directory.resolve())
    (tmp_path / "bin").mkdir()
    for name, arguments in (("papilio", "-P -m daemon.cli.doorway"), ("python3", "-P")):
        command = tmp_path / "bin" / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        command.chmod(0o755)
    return tmp_path


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README says how to use curl, which is not here")
def test_the_readme_works_as_it_stands(desk: Path, papilio_network: LocalNetwork) -> None:
    blocks = FENCED.findall(README.read_text(encoding="utf-8"))
    assert [language for language, _ in blocks] == ["sh"] * 5 + ["python"] * 2
    shell = "".join(code for language, code in blocks if language == "sh")
    said = run(["sh", "-eux", "-c", shell], desk, papilio_network)
    assert "It records the very bytes of delivery.txt" in said
    assert '"status":"final"' in said
    for language, code in blocks:
        if language == "python":
            said += run([sys.executable, "-W", "error", "-c", code], desk, papilio_network)
    assert "already_recorded" in said
    assert "RECORDED: the transaction was applied" in said
    assert "10 recorded" in said


def run(command: list[str], desk: Path, network: LocalNetwork) -> str:
    path = f"{desk / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "PAPILIO_NODE": network.endpoint}
    done = subprocess.run(command, cwd=desk, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
