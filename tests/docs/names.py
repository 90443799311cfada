"""What exists, for documents to name: commands, events of the log, metrics, keys of files, paths of the API."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Final

import click
from prometheus_client.core import Metric

from daemon.api.counters import ApiCounters
from daemon.api.table import table
from daemon.api.telling import api_source
from daemon.cli import papilio
from daemon.config.inspection import MODELS
from daemon.config.problems import inner_model
from daemon.observe.cpu import CpuClock
from daemon.observe.metrics import COUNTERS, GAUGES, disk_source, node_source
from protocol.errors import CODES
from protocol.ledger.genesis import Parameters
from tests.docs.blocks import ROOT

_SAYS: Final = (
    r'\b_?log\.(?:debug|info|warning|error|critical)\(\s*"(\w+)"',
    r'_limited\(\s*"(\w+)"',
    r'_line\(\s*(?:f?"[^"]*"|\w+),\s*"(\w+)"',
    r'\bnote\(\s*"(\w+)"',
    r'\.log\(\w+\.levelno, "(\w+)"',
)
_TOLD_OTHERWISE: Final = {"block_final": "block", "envelope_refused": "refused"}
"""Notes of the node that have no line of their own (daemon/observe/lines.py)."""
_NOT_A_NODE: Final = ("daemon/demo", "daemon/client", "protocol/sim")


def events() -> frozenset[str]:
    """Names of all lines that a node may log, as they stand in the source."""
    found: set[str] = set()
    for package in ("daemon", "protocol"):
        for file in (ROOT / package).rglob("*.py"):
            if not str(file.relative_to(ROOT)).startswith(_NOT_A_NODE):
                text = file.read_text("utf-8")
                found |= {name for pattern in _SAYS for name in re.findall(pattern, text)}
    return frozenset(_TOLD_OTHERWISE.get(name, name) for name in found)


def metrics() -> frozenset[str]:
    """Names of all metrics as they are scraped, without the suffixes of histograms."""
    counted: dict[str, int] = dict.fromkeys(COUNTERS, 1)
    now: dict[str, int] = dict.fromkeys(GAUGES, 1)
    families: list[Metric] = [
        *node_source(lambda: (counted, now))(),
        *disk_source(lambda: 1)(),
        *api_source(ApiCounters())(),
        *CpuClock().source(),
    ]
    return frozenset(family.name + ("_total" if family.type == "counter" else "") for family in families)


def paths() -> frozenset[str]:
    """Paths of the API."""
    return frozenset(route.path for route in table())


def keys() -> frozenset[str]:
    """Keys of configuration files."""
    found = {field.name for field in fields(Parameters)}
    waiting: list[Any] = list(MODELS.values())
    while waiting:
        model = waiting.pop()
        for name, info in model.model_fields.items():
            found.add(name)
            inner = inner_model(info.annotation)
            if inner is not None:
                waiting.append(inner)
    return frozenset(found)


def codes() -> frozenset[str]:
    """Refusal codes."""
    return frozenset(CODES)


def invocations(text: str) -> Iterator[list[str]]:
    """Every `papilio ...` in a text of commands or a code span, cut into words."""
    for line in text.replace("\\\n", " ").splitlines():
        for found in re.findall(r"(?:^|[\s;/(|])papilio ((?:(?![;|#&)]).)+)", f" {line}"):
            yield shlex.split(found.replace("…", "x").replace("'", "").strip())


def wrong_with(words: list[str]) -> str:
    """What no command of ours takes in these words; empty if all is well. Values are not looked at."""
    command: click.Command = papilio
    context = click.Context(papilio)
    options: Mapping[str, click.Parameter] = {}
    rest = list(words)
    while rest and isinstance(command, click.Group) and not rest[0].startswith("-"):
        inner = command.get_command(context, rest[0])
        if inner is None:
            return "" if rest[0].isupper() else f"{command.name} has no command {rest[0]!r}"
        command = inner
        rest = rest[1:]
    options = {name: parameter for parameter in command.params for name in parameter.opts}
    known = {*options, "--help", "-h"}
    unknown = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in known]
    return f"{command.name} has no option {', '.join(unknown)}" if unknown else ""
