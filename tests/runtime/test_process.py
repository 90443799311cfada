"""A node as a process: `papilio run`, its signals, its exit codes, and nothing left behind."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-c", "import sys; from daemon.cli import main; sys.exit(main())"]
PATIENCE_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The directory of the only node of a network of one."""
    places = [f"--host-of=a=127.0.0.1:{free_port()}", f"--api-of=a=127.0.0.1:{free_port()}"]
    command = [*COMMAND, "network", "create", str(tmp_path / "net"), "--name", "one", "--members", "a", *places]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_SECONDS)
    return tmp_path / "net" / "a"


class Process:
    """A running node and its log."""

    def __init__(self, node: Path, files: int | None = None) -> None:
        limited = [] if files is None else ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh"]
        self.process = subprocess.Popen([*limited, *COMMAND, "run", str(node)], stderr=subprocess.PIPE, text=True)
        self.lines: list[dict[str, Any]] = []

    def until(self, event: str) -> dict[str, Any]:
        """Read the log up to this event."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(json.loads(line))
            if self.lines[-1]["event"] == event:
                return self.lines[-1]
        raise AssertionError(f"the log ended without {event}: {self.lines[-3:]}")

    def workers(self) -> list[int]:
        command = ["ps", "--ppid", str(self.process.pid), "-o", "pid="]
        return [int(line) for line in subprocess.run(command, check=False, capture_output=True).stdout.split()]

    def end(self) -> int:
        """Its exit code; the rest of the log is read."""
        assert self.process.stderr is not None
        self.lines += [json.loads(line) for line in self.process.stderr]
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def running(node: Path, files: int | None = None) -> Iterator[Process]:
    """files: how many it may open."""
    process = Process(node, files)
    try:
        yield process
    finally:
        process.process.kill()
        process.process.wait()
        assert process.process.stderr is not None
        process.process.stderr.close()


def gone(processes: list[int]) -> bool:
    """Whether all have ended, or do within our patience."""
    return all(_gone(process) for process in processes)


def _gone(process: int) -> bool:
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        # The handle of a process is readable once it has ended.
        return bool(select.select([handle], [], [], PATIENCE_SECONDS)[0])
    finally:
        os.close(handle)


def test_a_signal_ends_it_in_order(node: Path) -> None:
    with running(node) as process:
        assert process.until("ready")["voting"] is True
        workers = process.workers()
        assert len(workers) == 2
        process.process.send_signal(signal.SIGTERM)
        assert process.end() == 0
    assert process.lines[-1]["event"] == "stopped"
    assert gone(workers)


def test_kill_9_leaves_no_worker_and_the_next_start_goes_on(node: Path) -> None:
    with running(node) as process:
        process.until("block")
        workers = process.workers()
        process.process.kill()
        process.process.wait()
    assert gone(workers)
    with running(node) as process:
        assert process.until("ready")["height"] >= 1
        process.process.send_signal(signal.SIGINT)
        assert process.end() == 0


def test_a_second_node_on_the_directory_is_refused(node: Path) -> None:
    """L-27."""
    with running(node) as first:
        first.until("ready")
        with running(node) as second:
            assert second.end() == 75
        assert "another papilio runs on" in second.lines[-1]["words"]
        assert str(first.process.pid) in second.lines[-1]["words"]


def test_a_journal_of_another_id_makes_an_amnesiac(node: Path) -> None:
    """C-24: it follows, and signs nothing; also after another restart."""
    for file in (node / "data" / "journal").iterdir():
        file.unlink()
    for _ in range(2):
        with running(node) as process:
            assert process.until("ready")["voting"] is False
            process.process.send_signal(signal.SIGTERM)
            assert process.end() == 0


def test_what_the_operator_has_to_put_right_is_said_in_words(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "run", str(tmp_path)], check=False, capture_output=True, text=True)
    assert done.returncode == 78
    assert "there is no" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_key_is_in_log_or_process(node: Path) -> None:
    lines = [line for file in (node / "keys").iterdir() for line in file.read_text().splitlines()]
    secrets = [line.strip(' "').rpartition(":")[2] for line in lines if line.startswith("secret")]
    assert len(secrets) >= 2, "the node's and the voting key"
    assert {len(bytes.fromhex(secret)) for secret in secrets} == {32}
    with running(node) as process:
        process.until("block")
        environment = Path(f"/proc/{process.process.pid}/environ").read_text()
        process.process.send_signal(signal.SIGTERM)
        process.end()
    log = json.dumps(process.lines)
    for secret in secrets:
        assert secret[:20] not in log
        assert secret[:20] not in environment
