"""Workers that are there before they are wanted: forked while the node's process is imported modules and no more.

To start a worker as a program of its own costs a third of a second of CPU, all of it for modules that the node's
process imports too. One execute and one verify worker were a third of a node's whole start, and four nodes on two cores
felt it. So `papilio run` forks one of each first of all, and `link.open_link` takes it for the first life of that
worker; the second worker of a kind, and every later life, is started as a program.

**Why it is safe to fork here and nowhere else.** Nothing has been read yet, so a worker holds no key and no
configuration, as one started as a program; there is one thread, so no lock is held by one that the child does not have;
no file of the node's is open, and whatever else was inherited is closed. What differs from a program: the layout of
memory is the node's own, and so is the first environment (from which all is removed that a worker does not get).

On other systems than Linux, without /proc, and where there are threads already, nothing is forked: all workers are
programs.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Final, NoReturn

from daemon.collector import calm_collector, look_seldom
from daemon.runtime.workers.child import die_with_parent
from daemon.runtime.workers.kinds import ENVIRONMENT, EXECUTE, VERIFY
from daemon.scheduling import take_turns

_POLL_SECONDS: Final = 0.01
_STDIN, _STDOUT, _FIRST_OTHER = 0, 1, 3
_ENDING: Final = frozenset({signal.SIGINT, signal.SIGTERM})


class Forked:
    """A forked process, with what `subprocess.Popen` has of it. Not thread-safe."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def kill(self) -> None:
        """SIGKILL, unless it was waited for already."""
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Exit code, or minus the signal. Raises subprocess.TimeoutExpired after so many seconds."""
        ends = None if timeout is None else time.monotonic() + timeout
        while self._code is None:
            found, status = os.waitpid(self.pid, 0 if ends is None else os.WNOHANG)
            if found:
                self._code = os.waitstatus_to_exitcode(status)
            elif ends is not None and time.monotonic() > ends:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            else:
                time.sleep(_POLL_SECONDS)
        return self._code


_there: dict[str, tuple[Forked, socket.socket]] = {}
"""By module: the process, and our end of its pipe."""


@contextmanager
def spare_workers() -> Iterator[None]:
    """Fork one worker of each kind, before anything is read (see the essay); those that nobody took end with the block.

    A block within another one forks nothing. What a node's processes have in common is set first, and stays: how they
    wait for a processor, and how often they look for garbage.
    """
    take_turns()
    look_seldom()
    if _there or not Path("/proc/self/fd").is_dir() or sys.platform != "linux" or threading.active_count() > 1:
        yield
        return
    for module in (EXECUTE, VERIFY):
        import_module(module)
    calm_collector()  # so that no look for garbage copies what is shared
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # who started this may ignore it: then nobody could be waited for
    try:
        for module in (EXECUTE, VERIFY):
            _there[module] = _fork(module)
        yield
    finally:
        while _there:
            _, (process, pipe) = _there.popitem()
            pipe.close()
            process.kill()
            process.wait()


def take_spare(module: str) -> tuple[Forked, socket.socket] | None:
    """The spare worker that runs `module`, if there is one that nobody took."""
    return _there.pop(module, None)


def _fork(module: str) -> tuple[Forked, socket.socket]:
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    # Until the child is on its own way, nothing may send it back through the stack that it has from its parent.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    pid = os.fork()
    if pid == 0:
        _be_worker(module, theirs.fileno(), parent)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    return Forked(pid), ours


def _be_worker(module: str, pipe: int, parent: int) -> NoReturn:
    """The child's whole life: what `python -m module` would be. It never comes back to who called the fork."""
    code = 1
    try:
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        die_with_parent(parent)
        os.dup2(pipe, _STDIN)
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)
        # Not all numbers up to the limit: where there is no close_range(2) that may be a thousand million calls.
        for file in map(int, os.listdir("/proc/self/fd")):
            if file >= _FIRST_OTHER:
                with suppress(OSError):
                    os.close(file)
        for name in os.environ.keys() - ENVIRONMENT:
            del os.environ[name]
        import_module(module).main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)  # as the interpreter does
    except BaseException:  # noqa: BLE001 - told, as the interpreter tells it; nothing may reach the caller's stack
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(code)
