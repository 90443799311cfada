"""The plugin in a project of somebody else's, as its documentation says; and what is left when that pytest is over."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from daemon.client import pytest_plugin

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = re.compile(r"^    (def test_.*?)^\S", re.MULTILINE | re.DOTALL)


def test_the_documented_use(tmp_path: Path) -> None:
    words = pytest_plugin.__doc__ or ""
    assert 'pytest_plugins = ["daemon.client.pytest_plugin"]' in words
    example = EXAMPLE.search(words)
    assert example is not None
    code = "\n".join(line.removeprefix("    ") for line in example[1].splitlines())
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["daemon.client.pytest_plugin"]\n')
    (tmp_path / "test_mine.py").write_text(
        f"from daemon.client import evidence\n\n{code}\n\n"
        "def test_which(papilio_network):\n    print('node', papilio_network.process.pid)\n"
    )
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    number = re.search(r"node (\d+)", done.stdout)
    assert number is not None
    assert (
        not Path(f"/proc/{number[1]}/cmdline").exists()
        or b"leashed" not in Path(f"/proc/{number[1]}/cmdline").read_bytes()
    )
