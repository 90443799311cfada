"""Progress of long work: a bar with the time left, on a terminal; elsewhere, and with `--json`, nothing.

The bar is on standard error, so that results can be piped away.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from daemon.cli.output import wants_json


@contextmanager
def progress(words: str) -> Iterator[Callable[[int, int, str], None]]:
    """Who works tells it, as often as it likes, how much is done, of how much, and words beside the bar."""
    if wants_json() or not sys.stderr.isatty():
        yield lambda _done, _total, _beside: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn(words), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[beside]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(words, total=None, beside="")
        yield lambda done, total, beside: bar.update(task, completed=done, total=max(total, 1), beside=beside)
