"""Compile what is written in C, while the package is built or installed in place; without a compiler, go on without.

Part of hatchling's run (`pyproject.toml`, the wheel's hooks). One file, one command: the compiler that this Python was
built with, or `cc`, and its headers (on Debian and Ubuntu: `gcc`, `python3-dev`). Where either is missing the
installation is as good and slower: every module in C has one in Python that does the same, and is used then.
`papilio version` says which it is. `PAPILIO_PURE=1` leaves it out on purpose.

Deliberately absent: optimisation for this processor alone (a wheel may go elsewhere), and a second kind of failure: an
installation never fails for want of C.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("protocol/crypto/_descent.c")
FLAGS = ("-std=c11", "-O2", "-fPIC", "-Wall", "-Wextra")


def built_name() -> Path:
    """What this Python looks for: the compiled module's place in the packages."""
    return SOURCE.with_suffix(sysconfig.get_config_var("EXT_SUFFIX") or ".so")


def command(root: Path, output: Path) -> list[str]:
    """What compiles it."""
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    shared = ("-bundle", "-undefined", "dynamic_lookup") if sys.platform == "darwin" else ("-shared",)
    digest = hashlib.sha256((root / SOURCE).read_bytes()).hexdigest()
    headers = sysconfig.get_paths()["include"]
    return [*compiler, *FLAGS, *shared, f'-DSOURCE="{digest}"', f"-I{headers}", str(root / SOURCE), "-o", str(output)]


def compile_native(root: Path, output: Path) -> str | None:
    """Compile; None, or why it could not be. One of an older source goes; where it has to stay it is not used."""
    if os.environ.get("PAPILIO_PURE", "") not in ("", "0"):
        words: str | None = "PAPILIO_PURE is set"
    else:
        words = _compiled(root, output)
    if words is not None:
        with suppress(OSError):
            output.unlink()
    return words


def _compiled(root: Path, output: Path) -> str | None:
    """Compile beside the place, and put it there whole: another process may be loading what was there."""
    fresh = output.with_name(f"{output.name}.{os.getpid()}")
    try:
        done = subprocess.run(command(root, fresh), capture_output=True, text=True, errors="replace", check=False)
        if done.returncode == 0:
            fresh.replace(output)
            return None
    except OSError as error:
        return str(error)
    finally:
        with suppress(OSError):
            fresh.unlink()
    return next(iter(done.stderr.splitlines()), f"the compiler ended with {done.returncode}")


class NativeHook(BuildHookInterface[Any]):
    """Called by hatchling before it packs a wheel or installs in place."""

    _scratch: Path | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile: in place, or into the wheel, which is then one for this platform."""
        root = Path(self.root)
        output = root / built_name()
        if version == "standard":
            self._scratch = Path(tempfile.mkdtemp(prefix="papilio-native-"))
            output = self._scratch / output.name
        missing = compile_native(root, output)
        if missing is not None:
            self.app.display_warning(f"without the trie in C: {missing}")
        elif version == "standard":
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            build_data["force_include"][str(output)] = str(built_name())

    def finalize(
        self,
        version: str,  # noqa: ARG002 - hatchling's signature
        build_data: dict[str, Any],  # noqa: ARG002 - the same
        artifact_path: str,  # noqa: ARG002 - the same
    ) -> None:
        """What was compiled for the wheel is in it."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
