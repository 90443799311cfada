"""From wishes to an exit: data is read, a network made and started, the story told, and nothing left behind.

Whatever ends it (the end of the story, a failure, Ctrl-C, SIGTERM, a closed terminal), the four nodes are stopped in
order, unless they are to be kept and the story came to its end; after kill -9 of the demonstration they stop by
themselves. The directory stays and is told, with the nodes' logs in it, unless it is to be temporary and all went well.
"""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from daemon.config.network import Network
from daemon.config.problems import ConfigurationFault, Problem
from daemon.demo import ending, killing, story
from daemon.demo.data import DOCUMENTS
from daemon.demo.desk import Desk
from daemon.demo.documents import MEMBERS, read_documents
from daemon.demo.interrupts import Interrupted, end_on_signal, leaves
from daemon.demo.load import BUNDLED_PART, divide
from daemon.demo.nodes import NodeEnded, NodeProcess, make_network, start_all, stop_all
from daemon.demo.people import RIDERS, gather
from daemon.demo.stage import Stage, now_ms
from daemon.demo.telling import Teller
from daemon.demo.trips import read_trips
from protocol.errors import PapilioError

VICTIM: Final = "factory"
TRIPS_MIN: Final = 10
TRIPS_A_RIDER: Final = 50
"""Riders are made for the trips: so many trips for each, two riders at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line says. directory: new or empty. system: of the trips, part of their claim keys."""

    directory: Path
    trips: Path
    system: str
    trips_max: int
    documents: Path
    keep: bool
    temporary: bool


def run_demo(wishes: Wishes, teller: Teller) -> dict[str, Any]:
    """Run it; the summary. Raises PapilioError: what could not be read or started, or turned out wrong; Interrupted."""
    try:
        return trio.run(_run, wishes, teller)
    except BaseExceptionGroup as group:
        known = next((leaf for leaf in leaves(group) if isinstance(leaf, PapilioError | BrokenPipeError)), None)
        if known is None:
            raise
        raise known from None


async def _run(wishes: Wishes, teller: Teller) -> dict[str, Any]:
    began = trio.current_time()
    case = read_case(wishes)
    teller.title("papilio: four institutions, one ledger, nobody in the middle")
    network, nodes = make_network(wishes.directory.absolute(), MEMBERS, now_ms(), leashed=not wishes.keep)
    case.directory = wishes.directory.absolute()
    kept = False
    caught: list[int] = []
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_on_signal, caught, nursery.cancel_scope)
            await _tell(wishes, teller, case, network, nodes, began)
            kept = wishes.keep
            nursery.cancel_scope.cancel()
        if caught:
            raise Interrupted(f"ended by {signal.Signals(caught[0]).name}")
    except BaseException:
        teller.say(f"The nodes are stopped. Their logs are in {case.directory}/*/node.log", indent="")
        raise
    finally:
        codes = {} if kept else await stop_all(nodes)
    return _end(wishes, teller, case, nodes, codes)


def read_case(wishes: Wishes) -> story.Case:
    """The data, divided. Raises ConfigurationFault with what is wrong with it."""
    trips = read_trips(wishes.trips, wishes.system, wishes.trips_max)
    division = divide(trips.trips, now_ms())
    usable = len(division.bundled) + len(division.single)
    if usable < max(TRIPS_MIN, BUNDLED_PART):
        expected = f"at least {TRIPS_MIN} trips that are over, not too long, and not the same"
        raise ConfigurationFault([Problem(str(wishes.trips), 0, 0, "", expected, f"{usable}")])
    documents = read_documents(wishes.documents)
    return story.Case(wishes.directory, documents, trips, division, are_carried=wishes.documents == DOCUMENTS)


async def _tell(
    wishes: Wishes, teller: Teller, case: story.Case, network: Network, nodes: list[NodeProcess], began: float
) -> None:
    """The story, chapter by chapter."""
    await _tell_network(teller, case, network, nodes)
    riders = max(2, min(RIDERS, len(case.trips.trips) // TRIPS_A_RIDER))
    people = gather({node.member: node.directory for node in nodes}, riders)
    by_member = {node.member: node for node in nodes}
    stage = Stage(teller, by_member, Desk.of(network.genesis), people, VICTIM)
    async with stage.open():
        await story.tell_evidence(stage, case)
        programme = await story.tell_programme(stage, case)
        await story.tell_bundles(stage, case, programme)
        order = await story.tell_riders(stage, case, programme)
        await story.tell_mistakes(stage, case, programme, order)
        await killing.tell_load(stage, case, programme)
        stage.check()
        await ending.tell_proof(stage, case, network)
        await ending.tell_end(stage, case, network, programme)
        ending.tell_summary(stage, case, trio.current_time() - began)
        if wishes.keep:
            _tell_kept(stage, case, programme)


async def _tell_network(teller: Teller, case: story.Case, network: Network, nodes: list[NodeProcess]) -> None:
    """Make it run."""
    teller.chapter("A network of four members")
    teller.say(
        "Each runs one node: a process with its own keys, disk and ports. Three of the four decide; any one may fail "
        "or lie without harm."
    )
    began = trio.current_time()
    await start_all(nodes)
    rows = [(node.member, f"127.0.0.1:{node.peers.port}", node.url) for node in nodes]
    teller.table([("member", "other nodes", "API"), *rows])
    teller.say(f"They were ready after {trio.current_time() - began:.1f} s. All is in {case.directory}")
    case.facts |= {
        "directory": str(case.directory),
        "network_id": network.network_id.hex(),
        "nodes": {node.member: {"api": node.url, "directory": str(node.directory)} for node in nodes},
    }


def _tell_kept(stage: Stage, case: story.Case, programme: bytes) -> None:
    """Lines to go on with."""
    teller, url = stage.teller, next(iter(stage.nodes.values())).url
    position = max(0, (stage.meter.position or 0) - 2)
    transaction = case.facts["proof"]["transaction"]
    teller.chapter("The network goes on")
    for line in (
        f"curl -s {url}/v1/node",
        f"curl -s {url}/v1/blocks/latest",
        f"curl -s {url}/v1/transactions/{transaction}",
        f"curl -s '{url}/v1/state/points.supply?key={programme.hex()}'",
        f"curl -sN '{url}/v1/events?after={position}'",
        f"curl -s {url}/metrics",
    ):
        teller.verbatim(line)
    teller.say(f"All of the API, for reading: {url}/docs")
    teller.say("To stop the four nodes:")
    teller.verbatim(f"kill $(cat {case.directory}/*/node.pid)")
    case.facts["position"] = position


def _end(wishes: Wishes, teller: Teller, case: story.Case, nodes: list[NodeProcess], codes: Any) -> dict[str, Any]:
    if not wishes.keep:
        case.facts["exit_codes"] = dict(codes)
        unclean = {member: code for member, code in codes.items() if code != 0}
        if unclean:
            raise NodeEnded(
                f"nodes did not end well, exit codes: {unclean}; their logs are in {case.directory}/*/node.log"
            )
        if wishes.temporary:
            shutil.rmtree(case.directory)
            teller.say("All nodes have ended; the directory is removed.")
        else:
            teller.say(f"All nodes have ended. Everything they wrote is in {case.directory}")
    else:
        case.facts["process_ids"] = {node.member: node.process.pid for node in nodes if node.process is not None}
    return case.facts
