"""How a node ends: exit codes, and the report that it leaves when it stopped itself.

| code | meaning | what a service manager should do |
|---|---|---|
| 0 | stopped in order, on a signal | nothing |
| 70 | the node stopped itself: a broken invariant, a state that differs (L-22), a twin | not restart: look first |
| 74 | the disk failed: a write or sync (L-24), or what is on it is damaged (L-25, L-26) | not restart: look first |
| 75 | the data directory is in use by another node (L-27) | restart later |
| 78 | the operator has to put something right; the words say what | not restart |
| 130 | a second signal: everything ended at once; nothing promised is lost | nothing |

(64 to 78 are those of sysexits.h: EX_SOFTWARE, EX_IOERR, EX_TEMPFAIL, EX_CONFIG.) `RestartPreventExitStatus=70 74 78`
is what the service unit says.

A crash report is one JSON file `reports/crash-<time>.json` in the data directory: code, words, trace, what the node
was doing, the last lines of its log, its status. It holds no content and no keys: byte strings are lengths and hashes
(driver.py), facts go through the log's fences (observe/logs.py). The log names the file. Writing it may fail, on a
broken disk say; then the log alone has to do.
"""

from __future__ import annotations

import json
import os
import traceback
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from daemon.observe.logs import plain
from protocol.node.setup import NodeStatus

REPORTS_KEPT: Final = 20
"""Reports beyond are removed, oldest first: a node that is restarted in a loop does not fill its disk."""
EVENTS_REMEMBERED: Final = 200


class ExitCode(IntEnum):
    """See the table above."""

    STOPPED = 0
    BROKEN = 70
    DISK_FAILED = 74
    IN_USE = 75
    OPERATOR = 78
    AT_ONCE = 130


class Recent:
    """The last events of the log, kept for a report: a structlog processor that stands behind `plain`."""

    def __init__(self) -> None:
        self.events: deque[Mapping[str, Any]] = deque(maxlen=EVENTS_REMEMBERED)

    def __call__(self, _logger: Any, _method: str, event: Any) -> Any:
        self.events.append(dict(event))
        return event


def write_report(
    directory: Path,
    *,
    code: str,
    words: str,
    fault: BaseException,
    doing: Mapping[str, object],
    status: NodeStatus | None,
    version: str,
    recent: Recent,
) -> Path | None:
    """Write a crash report below `directory` and return its path, or None if that failed too."""
    now = datetime.now(UTC)
    report = {
        "time": now.isoformat(),
        "version": version,
        "code": code,
        "words": words,
        "doing": dict(doing),
        "trace": "".join(traceback.format_exception(fault)),
        "status": None if status is None else asdict(status),
    }
    try:
        folder = directory / "reports"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"crash-{now:%Y%m%dT%H%M%S}-{os.getpid()}.json"
        path.write_text(json.dumps({**plain(None, "", report), "events": list(recent.events)}, indent=1) + "\n")
        for old in sorted(folder.glob("crash-*.json"))[:-REPORTS_KEPT]:
            old.unlink()
    except OSError:
        return None
    return path
