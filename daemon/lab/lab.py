"""A scenario on real processes, from its network to a report; nothing of it is left running, however it ends.

`preparing.prepare` has read the scenario, refused what cannot be made here, and said how long the rest takes. `run_lab`
makes the network (making.py), puts the proxy between its nodes, starts them, lets clients come and go while faults
happen (load.py, driver.py), waits for rest (ending.py), ends the nodes in order, and judges their directories
(judging.py).

The first violation ends the faults; nodes are ended and judged all the same, so that a report says all that is wrong.
Ctrl-C, SIGTERM and SIGHUP end a run in order, without a report. The directory is removed if it was not named and every
rule held.
"""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, TypeVar

import trio

from daemon.config.texts import Address
from daemon.demo.interrupts import Interrupted, end_on_signal, leaves
from daemon.demo.nodes import HOST, NodeEnded, free_ports
from daemon.demo.telling import Standing, Teller
from daemon.lab.driver import Driver
from daemon.lab.ending import bound_ms, mend, prove, settle
from daemon.lab.judging import Disk, Judgement, judge
from daemon.lab.lines import Lines, Pair, name_of
from daemon.lab.load import Clients
from daemon.lab.making import Made, Place, connect, links_of, make
from daemon.lab.preparing import Prepared
from daemon.lab.proxy import Proxy
from daemon.lab.report import LabReport, last_lines
from daemon.lab.spaces import SWITCH, disk, networks
from daemon.lab.stage import Stage
from daemon.scenarios.page import length, picture
from protocol.errors import PapilioError
from protocol.sim.facts import Violation
from protocol.sim.scenarios import Scenario
from protocol.sim.trace import Trace

T = TypeVar("T")

READY_SECONDS: Final = 300.0
"""A second or two is usual; a machine that does much else takes its time."""
PEER_PORT: Final = 7100
API_PORT: Final = 8100
"""Of each node in a network of its own."""


def run_lab(
    prepared: Prepared, seed: int, directory: Path, teller: Teller, *, namespaces: bool, command: str
) -> tuple[LabReport, str]:
    """Run it in `directory`, which is new or empty; the report, and the picture of it as HTML.

    Raises PapilioError: what could not be made or started; Interrupted.
    """
    run = _Run(prepared, seed, directory.absolute(), teller, namespaces, command)
    try:
        return trio.run(run.all)
    except BaseExceptionGroup as group:
        known = next((leaf for leaf in leaves(group) if isinstance(leaf, PapilioError)), None)
        if known is None:
            raise
        raise known from None


@dataclass(slots=True)
class _Acted:
    """What came of the part with faults."""

    ran_ms: int
    calm_ms: int | None
    settled_ms: int | None
    driver: Driver
    clients: Clients
    proofs: str


class _Run:
    """One run under way."""

    def __init__(
        self, prepared: Prepared, seed: int, directory: Path, teller: Teller, namespaces: bool, command: str
    ) -> None:
        self._prepared = prepared
        self._scenario = prepared.scenario
        self._seed = seed
        self._directory = directory
        self._teller = teller
        self._namespaces = namespaces
        self._command = command

    async def all(self) -> tuple[LabReport, str]:
        """Everything; nothing runs any more when it returns or raises."""
        caught: list[int] = []
        with ExitStack() as stack:
            result: tuple[LabReport, str] | None = None
            async with trio.open_nursery() as nursery:
                await nursery.start(end_on_signal, caught, nursery.cancel_scope)
                made = self._make(stack)
                stack.callback(_destroy, made)
                result = await self._run(made, nursery)
                nursery.cancel_scope.cancel()
        if caught:
            raise Interrupted(f"ended by {signal.Signals(caught[0]).name}; no node is left running")
        assert result is not None, "it was not cancelled"
        return result

    # -- Making -------------------------------------------------------------------------------------

    def _make(self, stack: ExitStack) -> Made:
        """Directories, networks and disks; nothing runs."""
        count = self._prepared.nodes
        prefixes: list[tuple[str, ...]] = [()] * count
        if self._namespaces:
            given = stack.enter_context(networks(count))
            places = [Place(Address(host, PEER_PORT), Address(host, API_PORT)) for host, _ in given]
            prefixes = [prefix for _, prefix in given]
        else:
            ports = iter(free_ports(2 * count))
            places = [Place(Address(HOST, next(ports)), Address(HOST, next(ports))) for _ in range(count)]
        made = make(self._directory, self._scenario, places, time.time_ns() // 1_000_000)
        for node, prefix in zip(made.nodes, prefixes, strict=True):
            node.prefix = prefix
        return made

    def _give_disks(self, stack: ExitStack, stage: Stage) -> None:
        """A disk of its own to each node whose disk will be full."""
        for index in sorted(_full_disks(stage.made, self._scenario)):
            node = stage.nodes[index]
            own = stack.enter_context(disk(node.data))
            node.prefix, node.data_seen = (*node.prefix, *own.inside), own.seen
            stage.disks[index] = own.fill

    # -- Running ------------------------------------------------------------------------------------

    async def _run(self, made: Made, nursery: trio.Nursery) -> tuple[LabReport, str]:
        with ExitStack() as disks:
            disks.callback(_destroy, made)  # nodes end before their disks go
            proxy = Proxy(self._seed)
            await self._connect(made, proxy, nursery)
            scenario = self._scenario
            lines = Lines(proxy, links_of(scenario), scenario.link, scenario.slow_links, len(made.nodes))
            stage = Stage(scenario, self._directory, made, lines, nursery)
            self._give_disks(disks, stage)
            async with self._started(stage):
                began_wall_ms = time.time_ns() // 1_000_000
                acted = await self._act(stage)
                stage.watcher.close()
            async with trio.open_nursery() as stopping:
                for node in stage.nodes:
                    stopping.start_soon(stage.stop, node)
        for node in made.nodes:
            node.data_seen = None  # it was moved back to its directory
        places = [Disk(node.index, node.data) for node in made.nodes]
        judgement = await judge(made.network, places, acted.clients.receipts, acted.clients.bad, self._teller.say)
        return self._end(stage, acted, judgement, began_wall_ms)

    async def _connect(self, made: Made, proxy: Proxy, nursery: trio.Nursery) -> None:
        """A port of the proxy for each way in which a node may dial another."""
        host = SWITCH if self._namespaces else HOST
        ports: dict[Pair, Address] = {}
        for low, high in sorted(links_of(self._scenario)):
            for dialer, dialed in ((low, high), (high, low)):
                target = made.peers[dialed]
                listen = partial(proxy.listen, host=host)
                port = await nursery.start(listen, name_of(dialer), name_of(dialed), (target.host, target.port))
                ports[dialer, dialed] = Address(host, port)
        connect(made, ports)

    @asynccontextmanager
    async def _started(self, stage: Stage) -> AsyncIterator[None]:
        """All nodes run and answer, and are watched, while the block runs."""
        async with trio.open_nursery() as nursery:
            for node in stage.nodes:
                node.start()
            nursery.start_soon(stage.watcher.run)
            with trio.move_on_after(READY_SECONDS):
                await stage.watcher.until(lambda: stage.failed.is_set() or all(s.answers for s in stage.watcher.seen))
            silent = [node for node, seen in zip(stage.nodes, stage.watcher.seen, strict=True) if not seen.answers]
            if silent or stage.failed.is_set():
                tail = "\n".join(f"    {line[:300]}" for node in silent for line in node.tail(5))
                raise NodeEnded(f"{', '.join(node.name for node in silent)} did not start; the log ends\n{tail}")
            stage.begin()
            yield
            nursery.cancel_scope.cancel()

    async def _act(self, stage: Stage) -> _Acted:
        """Faults and clients, then rest."""
        clients = Clients(stage, self._seed)
        driver = Driver(stage, Random(f"{self._seed}/faults"))  # noqa: S311 - repeatable on purpose
        calm_ms: int | None = None
        settled_ms: int | None = None
        proofs = "not done: the run ended before"
        standing = partial(self._standing, stage, driver, clients)
        try:
            async with self._teller.progress(standing), trio.open_nursery() as acting:
                stage.tasks = acting
                acting.start_soon(clients.run)
                calm_ms = await _unless_failed(stage, driver.run)
                if calm_ms is not None:
                    stage.moments.tell("all faults are over")
                    settled_ms = await _unless_failed(stage, partial(settle, stage, clients))
                if settled_ms is not None:
                    damaged = [h.aim.nodes[0] for h in driver.happened if h.fault == "damaged_segment"]
                    await mend(stage, [stage.nodes[index] for index in dict.fromkeys(damaged)])
                    proofs = await prove(stage, clients, Random(self._seed))  # noqa: S311 - a sample
                acting.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await clients.close()
        return _Acted(stage.now_ms(), calm_ms, settled_ms, driver, clients, proofs)

    def _standing(self, stage: Stage, driver: Driver, clients: Clients) -> Standing:
        now_ms, total_ms = stage.now_ms(), max(1, self._prepared.span_ms)
        lasting = ", ".join(words for words, count in driver.lasting.items() if count) or "no fault"
        heights = " ".join("." if height is None else str(height) for height in stage.watcher.heights())
        words = f"s of faults; {len(clients.receipts)} receipts seen, {len(clients.owed)} owed"
        doing = (
            f"now: {lasting}" if now_ms < total_ms or lasting != "no fault" else f"coming to rest, {now_ms // 1000} s"
        )
        more = f"heights {heights}; {doing}"
        return Standing(min(now_ms, total_ms) // 1000, total_ms // 1000, words, more)

    # -- The end ------------------------------------------------------------------------------------

    def _end(self, stage: Stage, acted: _Acted, judgement: Judgement, began_wall_ms: int) -> tuple[LabReport, str]:
        scenario, watcher = self._scenario, stage.watcher
        found = [Violation(wrong.rule, wrong.words, wrong.node, acted.ran_ms * 1000) for wrong in judgement.wrong]
        violations = [*stage.violations, *found]
        report = LabReport(
            scenario=scenario.name,
            words=scenario.words,
            seed=self._seed,
            nodes=len(stage.nodes),
            violations=violations,
            ran_ms=acted.ran_ms,
            calm_ms=acted.calm_ms,
            settled_ms=acted.settled_ms,
            bound_ms=bound_ms(stage),
            factor=self._prepared.factor,
            left_out=self._prepared.left_out,
            blocks=max(judgement.heights.values(), default=0),
            nullified_views=len(judgement.nullified),
            restarts=stage.restarts,
            stall_ms=(watcher.stall.begin_ms, watcher.stall.end_ms),
            faults=dict(acted.driver.counts),
            missing=acted.driver.missing,
            lines=stage.lines.counts(),
            clients=dict(acted.clients.counts),
            refusals=dict(acted.clients.codes),
            codes=judgement.codes,
            checked={**judgement.checked, "proofs": acted.proofs, "liveness": _liveness(acted)},
            tip_height=watcher.final_height,
            state_root=judgement.state_root,
            core_seconds=watcher.core_seconds(),
            timeline=stage.moments.told,
            happened=acted.driver.happened,
            logs=last_lines(stage.nodes, began_wall_ms) if violations else [],
            directory=str(self._directory),
            command=self._command,
            namespaces=self._namespaces,
        )
        return report, _picture(report, stage, acted, judgement)


def _liveness(acted: _Acted) -> str:
    counts = acted.clients.counts
    rest = "the network did not come to rest" if acted.settled_ms is None else "then the network came to rest"
    return f"{counts['posted']} envelopes posted, {counts['final']} final, {counts['expired']} expired; {rest}"


def _picture(report: LabReport, stage: Stage, acted: _Acted, judgement: Judgement) -> str:
    watcher = stage.watcher
    for lane, node in zip(watcher.lanes, stage.nodes, strict=True):
        lane.lives = [(b, None if e is None or e >= acted.ran_ms else e) for b, e in node.lives]
    done_ms = None
    if acted.calm_ms is not None and acted.settled_ms is not None:
        done_ms = acted.calm_ms + acted.settled_ms
    trace = Trace(watcher.lanes, report.happened, acted.ran_ms, acted.calm_ms, done_ms, judgement.nullified)
    settled = "never" if report.settled_ms is None else f"{report.settled_ms / 1000:.1f} s"
    tiles = [
        (length(report.ran_ms), "real time"),
        (f"{report.blocks:,}", "blocks final"),
        (f"{report.nullified_views:,}", "views nullified"),
        (f"{sum(report.faults.values()):,}", "faults"),
        (f"{report.restarts:,}", "restarts"),
        (settled, "to settle after the last fault"),
        (f"{report.clients.get('final', 0):,}", "transactions seen final"),
    ]
    first = report.violations[0] if report.violations else None
    title = f"{report.scenario}, seed {report.seed}, real processes"
    return picture(title, report.words, first, tiles, trace, report.text())


def _full_disks(made: Made, scenario: Scenario) -> set[int]:
    """Nodes whose disk may be full: those that the timetable names, or all."""
    if any(name == "disk_full" for name, _ in scenario.faults.weights):
        return {node.index for node in made.nodes}
    entries = [entry for entry in scenario.timetable if entry.fault == "disk_full"]
    every = tuple(node.index for node in made.nodes)
    return {index for entry in entries for index in entry.aim.nodes or every}


async def _unless_failed(stage: Stage, work: Callable[[], Awaitable[T]]) -> T | None:
    """What `work` gives, or None if a rule is violated before: what is under way is left then."""
    result: T | None = None
    async with trio.open_nursery() as nursery:

        async def leave() -> None:
            await stage.failed.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(leave)
        result = await work()
        nursery.cancel_scope.cancel()
    return result


def _destroy(made: Made) -> None:
    """Whatever is left of the nodes ends now."""
    for node in made.nodes:
        node.destroy()
