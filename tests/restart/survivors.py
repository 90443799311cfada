"""Simulated networks that stop in the middle of anything, and what the survivors' disks say then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

import pytest

from protocol.codec import decode
from protocol.consensus.statements import Proposal, VoteKind
from protocol.crypto.signing import SigningKey
from protocol.ledger.closings import closings
from protocol.ledger.records import Block, Header, header_hash
from protocol.node.interface import JournalKind
from protocol.node.setup import recall_epochs
from protocol.restart.opening import open_report
from protocol.restart.reporting import Held, make_report
from protocol.restart.weighing import Weighed, weigh
from protocol.sim.events import MS_US
from protocol.sim.host import Host
from protocol.sim.run import make_world
from protocol.sim.scenarios import Scenario
from protocol.sim.world import World
from protocol.wire.messages import ProposalMessage

VERIFIERS = ("protocol.proofs.finality", "protocol.consensus.certificates", "protocol.restart.opening")
"""Modules that verify signatures by themselves: a run with stand-in signatures gives them its own verification."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A world that stands still. finals: hashes of blocks that are final somewhere, or may become so without
    survivors."""

    world: World
    survivors: tuple[tuple[Host, SigningKey], ...]
    finals: frozenset[bytes]
    may_be: frozenset[bytes]


@contextmanager
def stand_in(patch: pytest.MonkeyPatch, world: World) -> Iterator[None]:
    """Signatures as in this world."""
    with patch.context() as patched:
        for module in VERIFIERS:
            patched.setattr(f"{module}.verify_message", world.bench.facts.scheme.verify)
        yield


def stopped(scenario: Scenario, seed: int, at_ms: int, generator: Random, *, fewer: int = 0) -> Stopped:
    """A run up to `at_ms`: then all lose power, and of the newest epoch just blocking power comes back, or `fewer`."""
    world = make_world(scenario, seed)
    world.schedule.at(at_ms * MS_US, world.schedule.stop)
    world.run()
    final = {hashed for host in world.hosts for hashed in _appended(host)} | set(world.bench.chain.finalized.values())
    final |= _by_votes(world)
    alive = _chosen(world, generator, fewer)
    for host, _ in alive:
        host.fall("the night came")
        host._replay()
    may_be = _without(world, {key.public for _, key in alive})
    return Stopped(world, alive, frozenset(final), frozenset(may_be))


def _chosen(world: World, generator: Random, fewer: int) -> tuple[tuple[Host, SigningKey], ...]:
    """Machines and the keys that they vote with in the newest epoch; powers are taken to be equal."""
    keys = list(world.bench.facts.voters[max(world.bench.facts.voters)].keys)
    count = len(keys)
    made = {} if world.members is None else world.members.keys
    found = []
    for public in generator.sample(keys, count - (2 * count // 3 + 1) + 1 - fewer):
        host = world.hosts[world.bench.owners[public]]
        first = host.setup.voting_key
        key = first if first is not None and first.public == public else made[public]
        found.append((host, key))
    return tuple(found)


def _appended(host: Host) -> Iterator[bytes]:
    for block in host.disk.blocks:
        yield header_hash(decode(Header, decode(Block, block.short).header))


def _by_votes(world: World) -> set[bytes]:
    """Proposals that a quorum of finalize votes exists for, whether anyone has put them together or not."""
    facts = world.bench.facts
    powers: dict[tuple[int, Proposal | None], int] = {}
    for fact in facts.established:
        if fact.kind is VoteKind.FINALIZE:
            key = fact.epoch, fact.proposal
            powers[key] = powers.get(key, 0) + facts.voters[fact.epoch].powers[fact.signer]
    return {
        proposal.payload
        for (epoch, proposal), power in powers.items()
        if proposal is not None and power >= facts.voters[epoch].quorum
    }


def _without(world: World, survivors: set[bytes]) -> set[bytes]:
    """Notarized proposals that the lost could still make final: all of them that C-10 lets, and who has done so."""
    facts = world.bench.facts
    notarized: dict[tuple[int, Proposal], int] = {}
    finalizers: dict[tuple[int, Proposal], set[int]] = {}
    excluded: set[tuple[int, int, int]] = set()
    for fact in facts.established:
        if fact.kind is VoteKind.NULLIFY:
            excluded.add((fact.epoch, fact.view, fact.signer))
        elif fact.proposal is not None:
            key = fact.epoch, fact.proposal
            power = facts.voters[fact.epoch].powers[fact.signer]
            if fact.kind is VoteKind.NOTARIZE:
                notarized[key] = notarized.get(key, 0) + power
            else:
                finalizers.setdefault(key, set()).add(fact.signer)
    found: set[bytes] = set()
    for (epoch, proposal), power in notarized.items():
        voters = facts.voters[epoch]
        if power < voters.quorum:
            continue
        able = finalizers.get((epoch, proposal), set()) | {
            place
            for place, key in enumerate(voters.keys)
            if key not in survivors and (epoch, proposal.view, place) not in excluded
        }
        if sum(voters.powers[place] for place in able) >= voters.quorum:
            found.add(proposal.payload)
    return found


def held_by(host: Host) -> Held:
    """What the daemon would find on such a disk."""
    disk = host.disk
    blocks = disk.newest_blocks(1)
    epochs = recall_epochs(host.setup.genesis, disk.tables, blocks[-1] if blocks else None)
    closed = []
    for closing in closings(disk.tables):
        ended = disk.closed(closing)
        if ended is None:
            break
        closed.append(ended)
    sets = tuple(validators for _, validators in epochs.sets)
    return Held(tuple(closed), blocks, tuple(disk.journal), sets, not disk.forgotten)


def reports_of(given: Stopped) -> list[bytes]:
    """The survivors' reports."""
    return [make_report(host.setup.genesis, key, held_by(host), 0) for host, key in given.survivors]


def weighed(given: Stopped, patch: pytest.MonkeyPatch) -> Weighed:
    """What follows from them."""
    genesis = given.world.genesis
    with stand_in(patch, given.world):
        return weigh(genesis, [open_report(genesis, data) for data in reports_of(given)])


def kept_hashes(given: Stopped, result: Weighed) -> set[bytes]:
    """Hashes of all blocks that are kept: the base, those below it that survivors hold, and those above."""
    held: dict[bytes, Header] = {}
    for host, _ in given.survivors:
        headers = [decode(Block, block.short).header for block in host.disk.blocks]
        for record in host.disk.journal:
            if record.kind == JournalKind.HEADER:
                headers.append(record.data)
            elif record.kind == JournalKind.PROPOSAL:
                headers.append(decode(ProposalMessage, record.data).header)
        held.update((header_hash(header), header) for header in (decode(Header, data) for data in headers))
    kept = {result.base.hash} | {header_hash(header) for header in result.kept}
    parent = result.base.header.parent
    while parent in held:
        kept.add(parent)
        parent = held[parent].parent
    return kept
