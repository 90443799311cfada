"""The wheel holds the packages daemon and protocol, and beside them only the module that the command starts in."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from scripts.lock import ROOT


def test_wheel(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("papilio-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = archive.read(next(n for n in names if n.endswith("entry_points.txt"))).decode()
    assert {name.split("/")[0] for name in names} == {"daemon", "protocol", "papilio.py", "papilio-0.1.0.dist-info"}
    assert "papilio = papilio:main" in entry_points
    compiled = [name for name in names if name.endswith(".so")]
    assert bool(compiled) != wheel.name.endswith("-py3-none-any.whl"), "compiled, it is for this platform only"
    assert [file.name for file in tmp_path.iterdir()] == [wheel.name]
    assert "protocol/limits.py" in names
    shipped = {f"daemon/scenarios/files/{file.name}" for file in (ROOT / "configs" / "scenarios").glob("*.toml")}
    assert shipped <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    started(wheel, tmp_path / "unpacked")


def started(wheel: Path, place: Path) -> None:
    """The command in the wheel finds its own packages and runs, with the checkout nowhere on the path."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    libraries = next(part for part in sys.path if part.endswith("site-packages"))
    start = "import papilio; papilio.main()"
    code = f"import sys; sys.path[:0] = [{str(place)!r}]; sys.path.append({libraries!r}); {start}"
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run([*command, "version"], cwd=place, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("papilio 0.1.0"), done.stderr
    done = subprocess.run([*command, "sim", "list"], cwd=place, capture_output=True, text=True, check=False)
    assert "rolling-restart" in done.stdout, done.stderr
