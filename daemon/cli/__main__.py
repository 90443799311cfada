"""`python -m daemon.cli`: the command line where the command `papilio` is not installed, in a checkout say."""

from __future__ import annotations

import sys

from daemon.cli import main

if __name__ == "__main__":
    sys.exit(main())
