"""The command line on a leash: `python -m daemon.cli.leashed run DIRECTORY` ends, in order, when its standard input
does.

For programs that start a node of their own (`papilio dev`, the test fixture): they hold the other end of the pipe, so
however they end, kill -9 too, no node is left behind.
"""

from __future__ import annotations

import os
import signal
import sys
from threading import Thread

from daemon.cli import main
from daemon.runtime.workers.spare import spare_workers


def _hold() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    with spare_workers():  # before there is another thread
        Thread(target=_hold, daemon=True).start()
        sys.exit(main())
