"""structlog for a node: without what its log does not use."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from daemon.observe.lean import import_structlog_alone

import_structlog_alone()
print(sorted({"rich", "asyncio", "ssl"} & set(sys.modules)))
import daemon.runtime.main
from daemon.observe.logs import configure
import structlog

configure(machine=True)
structlog.get_logger().info("said", number=1)
print("asyncio" in sys.modules)
import asyncio

print(asyncio.run(asyncio.sleep(0, "the true one")))
"""


def test_a_node_loads_no_more_of_it_than_it_uses() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    found, later, last = done.stdout.splitlines()
    assert found == "[]"
    assert later == "False", "nothing else of a node's needs asyncio"
    assert last == "the true one"
    assert '"event":"said"' in done.stderr
