"""The API as one task in the node's process: what `daemon.runtime.main.run_node` is given among its edges.

Loopback unless told otherwise. It listens once the node runs, stops with the node's service, and is gone when all its
connections have ended (server.py).
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import Any

import structlog
import trio

from daemon.api.counters import ApiCounters
from daemon.api.dispatch import Dispatcher
from daemon.api.openapi import TableDocuments
from daemon.api.server import Listening, Server
from daemon.api.surroundings import Identity, Surroundings
from daemon.api.table import table
from daemon.api.telling import api_source
from daemon.observe.metrics import Metrics, disk_source, node_source
from daemon.runtime.edges import Running
from protocol.apps.registry import rules_at


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    """What the operator decides.

    port 0: any free one. cors_origins: origins of pages that may ask from a browser; `*`: all.
    """

    host: str = "127.0.0.1"
    port: int = 8100
    connections_max: int = 1_024
    cors_origins: tuple[str, ...] = ()


class ApiEdge:
    """See the essay. `addresses`: where it listens, once it does."""

    def __init__(self, config: ApiConfig) -> None:
        self._config = config
        self._log: Any = structlog.get_logger()
        self.addresses: list[tuple[str, int]] = []

    async def __call__(
        self, running: Running, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until the service stops. Raises OperatorFault if it cannot listen, BrokenInvariant, StoreFailed."""
        counters = ApiCounters()
        around = surroundings_of(running, counters, self._config.cors_origins)
        config = self._config
        server = Server(
            Listening(config.host, config.port, config.connections_max),
            Dispatcher(around, table()).answer,
            counters,
        )
        async with trio.open_nursery() as nursery:
            self.addresses = await nursery.start(server.run, running.service.stopping)
            self._log.info("api_listens", addresses=[f"{host}:{port}" for host, port in self.addresses])
            task_status.started()


def surroundings_of(running: Running, counters: ApiCounters, cors_origins: tuple[str, ...] = ()) -> Surroundings:
    """What handlers are given, of a node that runs."""
    setup, service = running.setup, running.service

    def free_bytes() -> int | None:
        try:
            return shutil.disk_usage(setup.directory).free
        except OSError:
            return None

    sources = [node_source(service.metrics), disk_source(free_bytes), api_source(counters)]
    if setup.cpu is not None:
        sources.append(setup.cpu.source)
    voting_key = None if setup.voting_key is None else setup.voting_key.public
    return Surroundings(
        node=service,
        prover=running.prover,
        identity=Identity(setup.node_key, voting_key, setup.member),
        counters=counters,
        free_bytes=free_bytes,
        metrics=Metrics(sources).text,
        monotonic=time.monotonic,
        started_seconds=time.monotonic(),
        documents=TableDocuments(rules_at(setup.genesis, 1)),
        keeper=running.mender,
        cpu=setup.cpu,
        cors_origins=cors_origins,
    )
