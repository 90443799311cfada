"""A worker for tests, run as a process of its own: echoes, takes its time, or dies as it is told.

Contents: ["echo", x] answers x; ["steps", n, ms] takes n steps of so many ms each; ["die", path] dies by SIGKILL as
long as the file at `path` holds a number above 0, counting it down, then answers "alive"; ["raise"] raises; ["pid"]
answers the process id.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from daemon.runtime.workers.child import Job, serve, start
from daemon.store.errors import StoreFailed
from protocol.errors import BrokenInvariant


def begin(kind: int, content: Any) -> Job:
    match content:
        case ["echo", value]:
            return value
        case ["pid"]:
            return os.getpid()
        case ["steps", count, ms]:
            for _ in range(count):
                time.sleep(ms / 1000)
                yield
            return "done"
        case ["die", path]:
            left = int(Path(path).read_text())
            if left > 0:
                Path(path).write_text(str(left - 1))
                os.kill(os.getpid(), signal.SIGKILL)
            return "alive"
        case [b"killed" | b"crashed" as how, [path]]:
            left = int(Path(path.decode()).read_text())
            if left == 0:
                raise BrokenInvariant("it lives")
            Path(path.decode()).write_text(str(left - 1))
            os.kill(os.getpid(), signal.SIGKILL if how == b"killed" else signal.SIGUSR1)
        case [b"disk", _]:
            raise StoreFailed("no commit goes through")
        case ["raise"]:
            raise BrokenInvariant("as told")
    raise AssertionError(content)


if __name__ == "__main__":
    pipe, needs = start("fake")
    assert needs == {"for": "tests"}
    serve(pipe, begin)
