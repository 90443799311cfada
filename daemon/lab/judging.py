"""The end of a run: what the nodes' directories hold, judged by the checkers that there are.

    agreement   no two disks hold different blocks at a height; no two finalizations of one view differ
    validity    every history passes the audit: form, signatures, certificates, execution from genesis, state store
    votes       no key of theirs signed what C-10 forbids: every vote, proposal and certificate on every disk
    durability  every receipt that a client saw is on every disk: its transaction in that block at that place of the
                segments, and the same receipt in the state
    soundness   no node left a crash report, or evidence against another; nothing with a bad signature is final

The audit is `papilio audit`, in a process of its own for each directory (daemon/audit). Who signed what is established
by the simulator's `Facts`, with real signatures, and judged by its `Votes`. What passed over the wire is not seen here:
it is encrypted. A vote is durable before it is sent, so the journals hold what was said, as far back as they reach.

Nodes have ended when this is done. The directories are all it looks at: a test alters one and looks whether it is
found.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import trio

from daemon.client import Receipt
from daemon.config.network import Network
from daemon.demo.commands import auditing, environment
from daemon.runtime.evidence import FOLDER, SUFFIX
from daemon.store.directory import open_to_read
from daemon.store.errors import SegmentDamaged
from daemon.store.files import OsFiles
from daemon.store.journal import look_at
from protocol.codec import decode
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.errors import PapilioError
from protocol.ledger.index import locate, receipt_at
from protocol.ledger.records import Batch, Block
from protocol.node.interface import JournalKind
from protocol.sim.bench import Bench
from protocol.sim.checkers.votes import Votes
from protocol.sim.facts import Facts, transactions_of
from protocol.sim.host import Host
from protocol.sim.signatures import Real

SHOWN: Final = 5
"""Violations of one rule at one node that are told; more are counted."""
SIGNED: Final = frozenset({JournalKind.VOTE, JournalKind.PROPOSAL, JournalKind.CERTIFICATE})


@dataclass(frozen=True, slots=True)
class Disk:
    """One node's data directory, and its number."""

    index: int
    data: Path


@dataclass(frozen=True, slots=True)
class Wrong:
    """A rule that does not hold, and at which node."""

    rule: str
    words: str
    node: int | None = None


@dataclass(slots=True)
class Judgement:
    """What was found. checked: how much of what was looked at, by rule. heights: last block of each disk."""

    wrong: list[Wrong] = field(default_factory=list)
    checked: dict[str, str] = field(default_factory=dict)
    heights: dict[int, int] = field(default_factory=dict)
    nullified: list[tuple[int, int]] = field(default_factory=list)
    state_root: str = ""
    codes: dict[str, int] = field(default_factory=dict)


async def judge(
    network: Network, disks: list[Disk], receipts: Mapping[bytes, Receipt], bad: set[bytes], tell: Callable[[str], None]
) -> Judgement:
    """Judge these directories; `tell` hears what is done."""
    tell(f"reading {len(disks)} disks: blocks, receipts, journals")
    found = await trio.to_thread.run_sync(read_disks, network, disks, receipts, bad)
    await _audits(network, disks, found, tell)
    return found


def read_disks(network: Network, disks: list[Disk], receipts: Mapping[bytes, Receipt], bad: set[bytes]) -> Judgement:
    """All rules but validity."""
    found = Judgement()
    reading = _Reading(network, receipts, bad, found)
    for disk in disks:
        reading.disk(disk)
    reading.end()
    return found


# -- Disks, read here -------------------------------------------------------------------------------


class _Onlooker:
    """What `Votes` asks of a bench: all here are held to the rules."""

    def __init__(self, facts: Facts, reading: _Reading) -> None:
        self.facts = facts
        self._reading = reading

    def is_honest(self, _voting_key: bytes) -> bool:
        return True

    def violated(self, rule: str, words: str, _host: Host | None) -> None:
        self._reading.say(rule, words)


class _Reading:
    """Reads one disk after the other, and compares with those before."""

    def __init__(self, network: Network, receipts: Mapping[bytes, Receipt], bad: set[bytes], found: Judgement) -> None:
        self._network = network
        self._receipts = receipts
        self._bad = bad
        self._found = found
        self._facts = Facts(network.genesis, Real())
        self._votes = Votes(cast("Bench", _Onlooker(self._facts, self)))
        self._blocks: list[tuple[bytes, int]] = []
        """At height h, at h - 1: digest of header and batches as first read, and on whose disk."""
        self._finalized: dict[tuple[int, int], bytes] = {}
        self._said: Counter[tuple[str, int | None]] = Counter()
        self._at: int | None = None
        self._counts: Counter[str] = Counter()

    def say(self, rule: str, words: str) -> None:
        """Something does not hold at the disk that is read."""
        self._said[rule, self._at] += 1
        if self._said[rule, self._at] <= SHOWN:
            self._found.wrong.append(Wrong(rule, words, self._at))

    def disk(self, disk: Disk) -> None:
        """Read one."""
        self._at = disk.index
        try:
            self._segments(disk)
            self._journal(disk)
        except (PapilioError, OSError) as fault:
            words = fault.words if isinstance(fault, PapilioError) else str(fault)
            self.say("soundness", f"the directory cannot be read: {words}")
        self._left(disk)

    def _segments(self, disk: Disk) -> None:
        onlooker = open_to_read(disk.data, self._network.network_id)
        places: dict[bytes, tuple[int, int]] = {}
        try:
            last = onlooker.segments.last_height
            self._found.heights[disk.index] = last
            for height in range(1, last + 1):
                for position, transaction in enumerate(self._block(onlooker.segments.read, height)):
                    places.setdefault(transaction, (height, position))
            with onlooker.state.reader() as reader:
                for transaction, seen in self._receipts.items():
                    self._durable(transaction, seen, places.get(transaction), reader)
        finally:
            onlooker.close()
        for transaction in self._bad.intersection(places):
            self.say("soundness", f"transaction {transaction.hex()[:16]} is final with a bad signature")

    def _block(self, read: Callable[[int], bytes | None], height: int) -> Iterator[bytes]:
        """Compare one block, take in its certificate; its transactions in order."""
        try:
            data = read(height)
        except SegmentDamaged as damaged:
            self.say("durability", f"block {height} is damaged on this disk: {damaged.words}")
            return
        if data is None:
            self.say("durability", f"block {height} is not on this disk")
            return
        block = decode(Block, data)
        name = digest(Domain.HEADER, block.header + b"".join(block.batches))
        if height == len(self._blocks) + 1:
            self._blocks.append((name, self._at or 0))
        elif height <= len(self._blocks) and self._blocks[height - 1][0] != name:
            words = f"height {height} is another block than on the disk of node {self._blocks[height - 1][1]}"
            self.say("agreement", words)
        if block.finalization is not None:
            self._statement(block.finalization)
        self._counts["blocks"] += 1
        yield from transactions_of([decode(Batch, batch).body for batch in block.batches])

    def _durable(self, transaction: bytes, seen: Receipt, place: tuple[int, int] | None, reader: Any) -> None:
        """One receipt that a client saw."""
        name = transaction.hex()[:16]
        self._counts["receipts"] += 1
        if place != (seen.height, seen.position):
            where = "nowhere" if place is None else f"at height {place[0]}, position {place[1]}"
            told = f"height {seen.height}, position {seen.position}"
            self.say("durability", f"transaction {name}, seen final at {told}, is {where} in the segments")
            return
        located = locate(reader, transaction)
        receipt = None if located is None else receipt_at(reader, located.log_index)
        there = None if located is None or receipt is None else (located.log_index, receipt.code, receipt.time_ms)
        if there != (seen.log_index, seen.code, seen.time_ms):
            self.say("durability", f"transaction {name}, seen as {seen.code}, has another receipt in the state")

    def _journal(self, disk: Disk) -> None:
        _, records, health = look_at(disk.data / "journal", OsFiles(), self._network.network_id, None)
        if health.offset is not None:
            self.say("votes", f"the journal is damaged: {health.words}")
        for kind, data in records:
            if kind in SIGNED:
                self._statement(data)

    def _statement(self, data: bytes) -> None:
        """A vote, proposal or certificate: who signed what (C-7, C-10)."""
        facts, finalization = self._facts.read(data)
        self._counts["statements"] += len(facts)
        for fact in facts:
            self._votes.signed(cast("Host", None), fact)
        if finalization is not None and finalization.proposal is not None:
            at, payload = (finalization.epoch, finalization.view), finalization.proposal.payload
            if self._finalized.setdefault(at, payload) != payload:
                self.say("agreement", f"two payloads are final in view {finalization.view}")

    def _left(self, disk: Disk) -> None:
        """What a node left that stopped itself, or saw another one lie."""
        for report in sorted((disk.data / "reports").glob("crash-*.json")):
            told = json.loads(report.read_text(encoding="utf-8"))
            self.say("soundness", f"the node stopped itself, {told['code']}: {told['words']} ({report.name})")
        for file in sorted((disk.data / FOLDER).glob(f"*{SUFFIX}")):
            self.say("votes", f"the node holds evidence against a validator: {file.name}")

    def end(self) -> None:
        """All disks are read."""
        found, counts = self._found, self._counts
        found.nullified = sorted(self._facts.nullified)
        more = {at: count - SHOWN for at, count in self._said.items() if count > SHOWN}
        found.wrong += [Wrong(rule, f"and {count} more", node) for (rule, node), count in more.items()]
        disks = len(found.heights)
        found.checked["agreement"] = f"{counts['blocks']} blocks of {disks} disks compared, to height {_top(found)}"
        found.checked["votes"] = f"{counts['statements']} signed statements in journals and certificates"
        found.checked["durability"] = f"{len(self._receipts)} receipts that clients saw, looked for on {disks} disks"
        found.checked["soundness"] = f"crash reports, evidence, and {len(self._bad)} envelopes with a bad signature"


def _top(found: Judgement) -> int:
    return max(found.heights.values(), default=0)


# -- Audits, in processes ---------------------------------------------------------------------------


async def _audits(network: Network, disks: list[Disk], found: Judgement, tell: Callable[[str], None]) -> None:
    """`papilio audit` of each directory."""
    results: dict[int, dict[str, Any]] = {}
    limiter = trio.CapacityLimiter(max(1, os.cpu_count() or 1))

    async def audit(disk: Disk) -> None:
        async with limiter:
            command = auditing(network.file, disk.data)
            done = await trio.run_process(
                command, capture_stdout=True, capture_stderr=True, check=False, env=environment()
            )
            results[disk.index] = _read(done.stdout, done.stderr)

    tell(f"auditing {len(disks)} histories: every signature, every block executed again from genesis")
    async with trio.open_nursery() as nursery:
        for disk in disks:
            nursery.start_soon(audit, disk)
    for index, told in sorted(results.items()):
        for words in told.get("wrong", [])[:SHOWN]:
            found.wrong.append(Wrong("validity", words, index))
        if "error" in told:
            found.wrong.append(Wrong("validity", f"the audit failed: {told['error']}", index))
    good = [told for told in results.values() if "error" not in told]
    signatures = sum(told["signatures"] for told in good)
    found.checked["validity"] = f"{len(good)} histories audited: {signatures} signatures, all blocks executed again"
    newest = max(good, key=lambda told: told["height"], default=None)
    if newest is not None:
        found.state_root, found.codes = newest["state_root"], newest["codes"]


def _read(out: bytes, err: bytes) -> dict[str, Any]:
    """An audit's JSON."""
    try:
        told: dict[str, Any] = json.loads(out)
    except ValueError:
        return {"error": err.decode(errors="replace").strip()[-400:] or "nothing came out"}
    return {"error": told["error"]["words"]} if "error" in told else told
