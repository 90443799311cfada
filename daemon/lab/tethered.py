"""The command line on a tether: `python -m daemon.lab.tethered PID run DIRECTORY` is killed when the process PID ends.

PID is who starts it. The kernel does it (PR_SET_PDEATHSIG), so it holds however the lab ends, kill -9 too, and for a
node that is frozen at that moment, which a closed pipe (daemon/cli/leashed.py) could not tell anything. The node's
workers end with it: they are children of a process that is gone, and the kernel continues stopped ones of its group.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> int:
    """Tie the tether, then go on as `papilio`."""
    parent = int(sys.argv[1])
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return 1  # it ended before the tether was tied
    from daemon.cli import main as papilio

    return papilio(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
