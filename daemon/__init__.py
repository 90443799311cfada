"""Papilio's daemon: a clock, sockets, disks, threads, an API and a command line around the pure node of `protocol`.

The name is the project's architecture's; so the program wants an environment of its own (cli/doorway.py). May import
`protocol`; nothing there imports this. This file imports nothing.
"""

VERSION = "0.1.0"
"""Version of the program, as in pyproject.toml; formats and protocol have versions of their own."""
