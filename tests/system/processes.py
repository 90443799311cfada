"""Processes of `papilio`, and what is done to them from outside.

A node is started in a group of its own and asks the system to be killed when the thread that started it ends, so that
nothing outlives a test run, however that ends; its workers end with it. What it writes goes to `node.log` in its
directory; `events` reads it back. Waits are for conditions (`until`), with a bound that only a broken node reaches.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import trio

ROOT: Final = Path(__file__).resolve().parents[2]
LAUNCH: Final = """
import ctypes, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: whoever started this takes it along
from daemon.cli.doorway import main
sys.exit(main())
"""
PAPILIO: Final = (sys.executable, "-P", "-c", LAUNCH)
PATIENCE_SECONDS: Final = 90.0
"""Reached by what is broken only; several test runs may share two cores."""
POLL_SECONDS: Final = 0.05
ANSWER_SECONDS: Final = 5.0
NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Never used: building one for each client would take longer than asking."""

T = TypeVar("T")
Json = dict[str, Any]


def environment(*first: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*first, ROOT)))}


def papilio(
    *arguments: object, cwd: Path | None = None, prefix: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [*prefix, *PAPILIO, *map(str, arguments)]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS, env=environment(), cwd=cwd
    )


def papilio_done(*arguments: object, cwd: Path | None = None, prefix: Sequence[str] = ()) -> str:
    """Run a command that has to succeed; what it printed."""
    done = papilio(*arguments, cwd=cwd, prefix=prefix)
    assert done.returncode == 0, f"papilio {' '.join(map(str, arguments))}: {done.returncode}\n{done.stderr}"
    return done.stdout


async def until(
    condition: Callable[[], Awaitable[T]], words: Callable[[], str] | str, seconds: float = PATIENCE_SECONDS
) -> T:
    """The first true value of `condition`, asked again and again."""
    with trio.move_on_after(seconds):
        while True:
            value = await condition()
            if value:
                return value
            await trio.sleep(POLL_SECONDS)
    raise AssertionError(f"not within {seconds} s: {words if isinstance(words, str) else words()}")


@dataclass(slots=True)
class NodeProcess:
    """One node.

    peers: HOST:PORT where it listens for others. url: of its API. prefix: of its command line. python_path: where its
    modules are looked for first.
    """

    member: str
    directory: Path
    peers: str
    url: str
    prefix: Sequence[str] = ()
    python_path: Sequence[Path] = ()
    mounted: Path | None = None
    """Where its data is seen from here, if its directory is on a disk that only it has mounted."""
    process: subprocess.Popen[bytes] | None = None
    log_offset: int = field(default=0)
    """Where in the log the present run begins."""

    @property
    def log(self) -> Path:
        return self.directory / "node.log"

    @property
    def data(self) -> Path:
        return self.mounted or self.directory / "data"

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.member} does not run"
        return self.process.pid

    # -- Life ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it; it is not ready yet."""
        assert self.process is None, f"{self.member} runs already"
        self.log_offset = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, *PAPILIO, "run", str(self.directory)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(*self.python_path),
                cwd="/",
                start_new_session=True,
            )

    async def ready(self) -> Json:
        """Wait until its log says that it is ready."""
        return await self.logged("ready")

    async def logged(self, event: str, seconds: float = PATIENCE_SECONDS) -> Json:
        """Wait for a line of the present run's log."""

        async def look() -> Json | None:
            found = next((line for line in self.events() if line.get("event") == event), None)
            if found is None:
                self.check()
            return found

        found = await until(look, lambda: f"{event} in the log of {self.member}\n{self.tail()}", seconds)
        assert found is not None
        return found

    def check(self) -> None:
        """It has not ended."""
        assert self.process is not None, f"{self.member} does not run"
        code = self.process.poll()
        assert code is None, f"{self.member} ended with exit code {code}\n{self.tail()}"

    async def kill(self) -> None:
        """Signal 9: nothing of it gets to run any more."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """Wait until it has ended; its exit code."""
        assert self.process is not None
        handle = os.pidfd_open(self.process.pid)
        try:
            with trio.fail_after(PATIENCE_SECONDS):
                await trio.lowlevel.wait_readable(handle)  # a process's handle is readable once it has ended
        finally:
            os.close(handle)
        code = self.process.wait()
        self.process = None
        return code

    def freeze(self) -> None:
        """SIGSTOP to it and its workers: it holds its connections and says nothing."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    def destroy(self) -> None:
        """At the end of a test: whatever is left of it ends now."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    # -- What it says -------------------------------------------------------------------------------

    def events(self, name: str | None = None) -> list[Json]:
        """Lines of the present run's log, whole ones."""
        with self.log.open("rb") as log:
            log.seek(self.log_offset)
            lines = log.read().split(b"\n")[:-1]
        found = [json.loads(line) if line.startswith(b"{") else {"event": "text", "words": line} for line in lines]
        return [line for line in found if name is None or line["event"] == name]

    def tail(self, lines: int = 12) -> str:
        """The end of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(f"    {self.member}: {line[:300]}" for line in text.splitlines()[-lines:])

    async def get(self, path: str) -> httpx.Response:
        """Ask its API. Raises httpx.HTTPError."""
        async with httpx.AsyncClient(verify=NO_TLS, trust_env=False, timeout=ANSWER_SECONDS) as http:
            return await http.get(self.url + path)

    async def json(self, path: str) -> Json | None:
        """What its API says; None if it does not answer, or refuses."""
        try:
            answer = await self.get(path)
        except httpx.HTTPError:
            return None
        if answer.status_code != 200:
            return None
        found: Json = answer.json()
        return found

    async def status(self) -> Json | None:
        return await self.json("/v1/node")

    async def height(self) -> int:
        """Its final height that is executed; -1 while it does not answer."""
        status = await self.status()
        return -1 if status is None else int(status["executed_height"])

    # -- What the system says -----------------------------------------------------------------------

    def processes(self) -> list[int]:
        """Itself and its workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [self.pid, *map(int, children.read_text().split())]

    def anonymous_kib(self) -> dict[int, int]:
        """RssAnon of itself and its workers: memory that is not a file's."""
        return {pid: _rss_anon_kib(pid) for pid in self.processes()}


def _rss_anon_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise AssertionError(f"the system says nothing of the memory of {pid}")
