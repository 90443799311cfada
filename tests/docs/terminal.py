"""A reader's terminals: one directory, one shell after the other, and what runs beside them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from daemon.cli.remote import DEFAULT_NODE, NODE_VARIABLE
from daemon.client.local import free_port
from tests.docs.blocks import ROOT, Block

SECONDS_MAX: Final = 120.0
_ADDRESS: Final = re.compile(r"(127\.0\.0\.1:|--port )(\d{2,5})\b")


class Aside:
    """A block that goes on running."""

    def __init__(self, command: list[str], place: Path, settings: Mapping[str, str]) -> None:
        self.said: list[str] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            command,
            cwd=place,
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.said.append(line)
                self._news.notify_all()
        with self._news:
            self.said.append("")
            self._news.notify_all()

    def says(self, words: str) -> bool:
        """Whether it says so, before it ends or patience does."""
        with self._news:
            self._news.wait_for(lambda: any(words in line for line in self.said) or "" in self.said, SECONDS_MAX)
            return any(words in line for line in self.said)

    def end(self) -> None:
        """In order: as Ctrl-C, for all that it started; by force if that takes too long."""
        try:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._reader.join(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Terminal:
    """Runs the blocks of one document. A context: what runs beside has ended when it is left."""

    def __init__(self, place: Path) -> None:
        self.place = place / "reader"
        self.place.mkdir()
        self._ports: dict[str, str] = {}
        self._asides: list[Aside] = []
        self.said = ""
        programs = place / "bin"
        programs.mkdir()
        for name, command in (("papilio", "-P -m daemon.cli"), ("python", "-P")):
            file = programs / name
            file.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
            file.chmod(0o755)
        kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        self._settings = {
            **kept,
            "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.place),
            "no_proxy": "127.0.0.1",
        }
        self._settings[NODE_VARIABLE] = self.ported(DEFAULT_NODE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for aside in reversed(self._asides):
            aside.end()

    def ported(self, text: str) -> str:
        """With free ports in place of the document's."""

        def other(match: re.Match[str]) -> str:
            return match[1] + self._ports.setdefault(match[2], str(free_port()))

        return _ADDRESS.sub(other, text)

    def run(self, block: Block) -> None:
        """Run it; what it said is remembered. Fails as the block does."""
        text = self.ported(block.text)
        if block.words[0] == "python":
            command = [str(sys.executable), "-P", "-W", "error", "-c", text]
        else:
            command = ["/bin/sh", "-euc", f"exec {text}" if "background" in block.words else text]
        if "background" in block.words:
            aside = Aside(command, self.place, self._settings)
            self._asides.append(aside)
            assert aside.says(block.until), f"line {block.line}: never said {block.until!r}:\n{''.join(aside.said)}"
            return
        done = subprocess.run(
            command,
            cwd=self.place,
            env=self._settings,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, f"line {block.line}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        self.said += done.stdout + done.stderr

    def compare(self, block: Block) -> None:
        """Each line of an output block is found in what was said, in order."""
        left = self.said.splitlines()
        for line in self.ported(block.text).splitlines():
            pattern = re.compile(".*".join(re.escape(part) for part in line.rstrip().split("…")))
            at = next((at for at, said in enumerate(left) if pattern.fullmatch(said.rstrip())), None)
            assert at is not None, f"line {block.line}: {line!r} does not follow in what was said:\n{self.said}"
            left = left[at + 1 :]
        self.said = ""
