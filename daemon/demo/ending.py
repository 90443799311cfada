"""The ending: a stranger verifies a receipt offline, and four disks hold the same state.

Both are done by processes of their own. The stranger's has an empty directory with network.toml, a document and its
proof, and, where the machine lets us, no network at all. The recomputations read one node's disk each and believe
nothing but genesis.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import trio

from daemon.client import points
from daemon.config.network import Network
from daemon.demo.commands import PAPILIO, auditing, environment
from daemon.demo.nodes import NodeProcess
from daemon.demo.people import ISSUER
from daemon.demo.stage import DemoFailed, Stage
from daemon.demo.story import Case

UNVERIFIED: Final = 5
"""Exit code of `papilio proof verify` for what proves nothing (daemon.cli.exits)."""
ROOT_SHOWN: Final = 16


async def tell_proof(stage: Stage, case: Case, network: Network) -> None:
    """Export a receipt's proof, and verify it where there is nothing but network.toml."""
    teller = stage.teller
    document = case.documents[0]
    task = case.recorded[document.name]
    teller.chapter("A stranger verifies a receipt")
    teller.say(
        f"Somebody is given {document.name}, a proof file, and network.toml, and has nothing else. No node is asked."
    )
    place = case.directory / "stranger"
    place.mkdir()
    shutil.copy(network.file, place / "network.toml")
    (place / document.name).write_bytes(document.data)
    data = await stage.client(ISSUER).proof(task.sealed.transaction)
    (place / "receipt.proof").write_bytes(data)
    (place / "altered.proof").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    isolation = await isolated()
    command = [*PAPILIO, "proof", "verify", "receipt.proof", "--document", document.name]
    teller.verbatim(f"$ papilio proof verify receipt.proof --document {document.name}")
    code, out = await run([*isolation, *command], place)
    for line in out.splitlines():
        teller.say(re.sub(r"\b([0-9a-f]{16})[0-9a-f]{48}\b", r"\1…", line.strip()), indent="     ")
    altered_code, _ = await run([*isolation, *PAPILIO, "proof", "verify", "altered.proof"], place)
    where = "with networking switched off" if isolation else "networking could not be switched off on this machine"
    teller.figure(len(data), f"bytes of proof, verified by a process of its own ({where})")
    teller.say("With one bit of the proof turned over, the same command refuses it.")
    if code != 0 or altered_code != UNVERIFIED:
        raise DemoFailed(f"the proof verified with exit code {code}, the altered one with {altered_code}:\n{out}")
    case.facts["proof"] = {
        "transaction": task.sealed.transaction.hex(),
        "bytes": len(data),
        "verified": code == 0,
        "altered_refused": altered_code == UNVERIFIED,
        "networking_off": bool(isolation),
    }


async def tell_end(stage: Stage, case: Case, network: Network, programme: bytes) -> None:
    """The same state at one height: asked of four APIs, and computed again from four disks."""
    teller, nodes = stage.teller, stage.nodes
    teller.chapter("The same state everywhere")
    height = stage.meter.height
    asked = {member: await root_at(stage, member, height) for member in nodes}
    teller.say(
        f"The state root at height {height:,}, asked of each node, and computed again from each disk by a process that "
        "checks every signature and executes every block from the beginning:"
    )
    found: dict[str, Mapping[str, Any]] = {}
    limiter = trio.CapacityLimiter(max(1, os.cpu_count() or 1))

    async def recompute(node: NodeProcess) -> None:
        async with limiter:
            _, out = await run(auditing(network.file, node.data_directory, height), case.directory)
            found[node.member] = json.loads(out)

    async with trio.open_nursery() as nursery:
        for node in nodes.values():
            nursery.start_soon(recompute, node)
    computed = {member: str(found[member].get("state_root", "failed")) for member in nodes}
    teller.table(
        [
            ("member", "asked", "computed again"),
            *((member, *(f"{root[:ROOT_SHOWN]}…" for root in (asked[member], computed[member]))) for member in nodes),
        ]
    )
    _require_same(stage, asked, computed, found)
    case.facts["end"] = {"height": height, "state_root": asked[ISSUER], "asked": asked, "recomputed": found}
    await _tell_books(stage, case, programme)


def _require_same(
    stage: Stage, asked: Mapping[str, str], computed: Mapping[str, str], found: Mapping[str, Mapping[str, Any]]
) -> None:
    """Raises DemoFailed unless all roots are one, nothing is wrong, and the disks hold what the client saw."""
    wrong = [f"{member}: {words}" for member in found for words in found[member].get("wrong", [found[member]])]
    if wrong:
        raise DemoFailed("a disk is not what it should be:\n" + "\n".join(f"    {words}" for words in wrong))
    if len({*asked.values(), *computed.values()}) != 1:
        wrong.append(f"roots differ: asked {dict(asked)}, computed {dict(computed)}")
    seen = dict(sorted(stage.meter.final.items()))
    wrong += [
        f"{member}'s disk holds {found[member].get('codes')}, the client saw {seen}"
        for member in found
        if found[member].get("codes") != seen
    ]
    if wrong:
        raise DemoFailed("the nodes do not agree:\n" + "\n".join(f"    {words}" for words in wrong))


async def root_at(stage: Stage, member: str, height: int) -> str:
    """The state root that this node itself has at a height, once it has executed it."""
    await stage.executed(member, height)
    answer = await stage.nodes[member].first_answer(f"/v1/blocks/{height}")
    return str(answer["state_root"])


async def _tell_books(stage: Stage, case: Case, programme: bytes) -> None:
    """What the programme has come to; balances were added up again by the recomputation's audit."""
    teller, client = stage.teller, stage.client(ISSUER)
    supply = await client.state(points.SUPPLIES, programme)
    tally = await client.state(points.TALLIES, programme)
    if supply is None or tally is None:
        raise DemoFailed("the programme has no books")
    teller.say("The programme's books, as the ledger keeps them and the recomputation has added them up again:")
    teller.figure(tally.activities, f"trips recorded, {tally.zero:,} of them of zero metres; {tally.quantity:,} metres")
    teller.figure(supply.grams, "grams of CO2 avoided, by the example factors")
    outstanding = points.outstanding_units(supply)
    teller.figure(
        supply.issued, f"points issued: {supply.redeemed:,} redeemed, {supply.retired:,} retired, {outstanding:,} held"
    )
    case.facts["books"] = {
        "activities": tally.activities,
        "zero": tally.zero,
        "metres": tally.quantity,
        "grams": supply.grams,
        "issued": supply.issued,
        "redeemed": supply.redeemed,
        "retired": supply.retired,
        "outstanding": outstanding,
    }


def tell_summary(stage: Stage, case: Case, seconds: float) -> None:
    """How many, how fast, how long, how large."""
    teller, meter = stage.teller, stage.meter
    refusals = meter.refusals()
    teller.chapter("Summary")
    ok = meter.final["ok"]
    load = case.facts["load"]
    sizes = {member: disk_bytes(node.data_directory) for member, node in stage.nodes.items()}
    teller.figure(
        meter.transactions,
        f"transactions final on all four nodes: {ok:,} applied, {meter.transactions - ok:,} refused by the ledger",
    )
    teller.figure(meter.refused.total(), "more refused by nodes at once")
    teller.figure(
        load["per_second"], f"transactions a second under full load; nodes and load share {os.cpu_count()} cores"
    )
    teller.figure(
        f"{load['p50_ms']:,} ms", f"to the final receipt under that load (median); {load['p99_ms']:,} ms for 99 of 100"
    )
    teller.figure(
        f"{case.facts['documents']['p50_ms']} ms", "to the final receipt of documents, where nobody queues (median)"
    )
    teller.figure(f"{sum(sizes.values()) / 1024 / 1024:.0f} MiB", "on four disks, with what is reserved")
    teller.figure(f"{seconds:.0f} s", "for all of it")
    teller.say("Refusals by code:")
    for code, count in refusals.items():
        if count > 1:
            teller.figure(count, code)
    once = [code for code, count in refusals.items() if count == 1]
    if once:
        teller.figure(1, f"each: {', '.join(once)}")
    case.facts |= {
        "transactions": {"final": meter.transactions, "applied": ok, "refused_by_nodes": meter.refused.total()},
        "refusals": refusals,
        "disk_bytes": sizes,
        "seconds": round(seconds, 1),
    }


async def isolated() -> list[str]:
    """The words before a command that take its network away; none if this machine does not let us."""
    for words in (["unshare", "--net", "--"], ["unshare", "--user", "--map-root-user", "--net", "--"]):
        try:
            code, _ = await run([*words, "true"], Path())
        except OSError:
            return []
        if code == 0:
            return words
    return []


async def run(command: Sequence[str], directory: Path) -> tuple[int, str]:
    """Run a program to its end: exit code, and what it printed (both streams)."""
    done = await trio.run_process(
        list(command),
        cwd=directory,
        env=environment(),
        check=False,
        stdin=b"",
        capture_stdout=True,
        stderr=subprocess.STDOUT,
    )
    return done.returncode, done.stdout.decode(errors="replace")


def disk_bytes(directory: Path) -> int:
    """What the files below occupy on disk."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())
