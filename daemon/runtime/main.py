"""The process of a node: signals, log, and how it ends (reports.py has the exit codes).

The first SIGTERM or SIGINT begins the orderly end, the second ends everything at once. A node that stops itself, or
whose disk fails, leaves a report and its log says where; what an operator has to put right is said in words only.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog
import trio

from daemon import VERSION
from daemon.collector import calm_collector
from daemon.config.node import Node
from daemon.net.interface import NetConfig, PeerAddress
from daemon.observe.cpu import CpuClock
from daemon.observe.limited import Limited
from daemon.observe.lines import Lines
from daemon.observe.logs import configure
from daemon.observe.notify import Notifier
from daemon.runtime.clock import Clock
from daemon.runtime.descriptors import room_for
from daemon.runtime.driver import NodeStopped
from daemon.runtime.edges import Edge, RuntimeSetup
from daemon.runtime.peers import Peers
from daemon.runtime.pump import SyncFailed
from daemon.runtime.reports import ExitCode, Recent, write_report
from daemon.runtime.runtime import NodeRuntime
from daemon.store.directory import repair_command
from daemon.store.errors import SegmentDamaged, StateDamaged, StoreFailed
from daemon.store.lock import InUse
from protocol.errors import INTERNAL_ERROR, OperatorFault, PapilioError
from protocol.snapshot.keeping import Keep


class AtOnce(Exception):
    """A second signal came."""


def run_node(node: Node, edges: Sequence[Edge] = ()) -> ExitCode:
    """Run the node until it ends; the exit code. `edges`: what serves clients, besides the network."""
    recent = Recent()
    log_settings = node.settings.log
    machine = {"auto": None, "json": True, "console": False}[log_settings.format]
    configure(machine=machine, level=getattr(logging, log_settings.level.upper()), also=recent)
    _tell_room(node)
    limiter = Limited()
    clock = Clock()
    lines = Lines(limiter, lambda: clock.now().wall_ms)
    cpu = CpuClock() if node.settings.metrics.cpu_by_part else None
    runtime = NodeRuntime(setup_of(node, cpu), peers_of(node, limiter), edges, lines, notifier=Notifier(), clock=clock)
    calm_collector()
    try:
        trio.run(_supervise, runtime)
    except BaseException as fault:  # noqa: BLE001 - whatever ended it is told and becomes an exit code
        return _ended(runtime, node.data_directory, fault, recent)
    return ExitCode.STOPPED


def _tell_room(node: Node) -> None:
    room = room_for(node)
    if room.api_connections < room.api_connections_wanted:
        log: Any = structlog.get_logger()
        words = "fewer clients are served at once than api.connections_max says: raise the limit of open files"
        log.warning("few_files", files=room.files, api_connections=room.api_connections, words=words)


def setup_of(node: Node, cpu: CpuClock | None = None) -> RuntimeSetup:
    """The runtime's part of a node's configuration."""
    return RuntimeSetup(
        directory=node.data_directory,
        genesis=node.network.genesis,
        node_key=node.node_key.public,
        voting_key=node.voting_key,
        journal_id=node.journal_id,
        member=node.member,
        verify_workers=node.settings.workers.verify,
        voting_keys=node.voting_keys,
        pinned=node.pinned,
        cpu=cpu,
        join_by_snapshot=node.settings.storage.sync == "snapshot" and bool(node.dial),
        keep=Keep(node.settings.storage.keep_blocks, node.settings.storage.keep_ms),
        snapshot_slot_ms=1000 * node.settings.storage.snapshot_interval_seconds,
    )


def peers_of(node: Node, limiter: Limited) -> Peers:
    """The network's part."""
    settings = node.settings.peers
    dial = tuple(PeerAddress(key, node.addresses[key].host, node.addresses[key].port) for key in node.dial)
    config = NetConfig(
        listen=((settings.listen.host, settings.listen.port),),
        dial=dial,
        connections_max=settings.connections_max,
        connections_per_address_max=settings.connections_per_address_max,
    )
    return Peers(
        config,
        node.node_key,
        node.network.genesis,
        limiter,
        observers=node.observers,
        configured=frozenset(node.addresses),
    )


async def _supervise(runtime: NodeRuntime) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_signals, runtime)
        await runtime.run()
        nursery.cancel_scope.cancel()


async def _signals(runtime: NodeRuntime) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        first = True
        async for number in signals:
            if not first:
                raise AtOnce
            first = False
            runtime.stop(signal.Signals(number).name)


def _ended(runtime: NodeRuntime, directory: Path, group: BaseException, recent: Recent) -> ExitCode:
    """Say why it ended, leave a report where it is ours, and give the exit code."""
    log: Any = structlog.get_logger()
    fault = _first(group)
    if isinstance(fault, AtOnce | KeyboardInterrupt):
        log.warning("stopped_at_once")
        return ExitCode.AT_ONCE
    code = fault.code if isinstance(fault, PapilioError | NodeStopped) else INTERNAL_ERROR
    words = fault.words if isinstance(fault, PapilioError | NodeStopped) else f"{type(fault).__name__}: {fault}"
    if isinstance(fault, OperatorFault):
        log.error("cannot_run", code=code, words=words)
        return ExitCode.IN_USE if isinstance(fault, InUse) else ExitCode.OPERATOR
    if isinstance(fault, SegmentDamaged | StateDamaged):
        log.critical("disk_damaged", code=code, words=f"{words}; {repair_command(directory)}")
        return ExitCode.DISK_FAILED
    disk = isinstance(fault, SyncFailed | StoreFailed)
    report = write_report(
        directory,
        code=code,
        words=words,
        fault=fault,
        doing=fault.doing if isinstance(fault, NodeStopped) else {},
        status=None if runtime.status is None else runtime.status(),
        version=VERSION,
        recent=recent,
    )
    log.critical("node_stopped", code=code, words=words, report=str(report) if report else "could not be written")
    return ExitCode.DISK_FAILED if disk else ExitCode.BROKEN


def _first(fault: BaseException) -> BaseException:
    """Of several faults at once the one that tells most: the others followed from it."""
    faults = list(_leaves(fault))
    for kind in (NodeStopped, SyncFailed, StoreFailed, PapilioError, AtOnce, KeyboardInterrupt, Exception):
        found = next((one for one in faults if isinstance(one, kind)), None)
        if found is not None:
            return found
    return faults[0]


def _leaves(fault: BaseException) -> Iterator[BaseException]:
    if isinstance(fault, BaseExceptionGroup):
        for inner in fault.exceptions:
            yield from _leaves(inner)
    else:
        yield fault
