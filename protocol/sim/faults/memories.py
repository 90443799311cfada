"""Faults of memories (C-24): a disk that is gone, and a machine that is put back to how it was.

Both hit one validator, and only while every other one remembers: more than one at a time is more than a small network
tolerates, and tests of their own say what then happens. So a timetable that names them gives no more than that either.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from protocol.codec import decode
from protocol.consensus.core import Core
from protocol.consensus.statements import Vote, VoteKind
from protocol.node.interface import JournalKind, JournalRecord
from protocol.sim.disk import Disk
from protocol.sim.events import MS_US
from protocol.sim.faults.aim import Aim, End, Hits, Kind, World
from protocol.sim.host import Host
from protocol.wire.messages import ProposalMessage


def empty_disk(host: Host) -> Disk:
    """What a machine has that begins anew with its keys alone: a journal that knows that it is not the first."""
    disk = Disk(host.disk.model, *host.around.services.new_tables(host.setup.genesis))
    disk.forgotten = True
    return disk


def put(host: Host, disk: Disk) -> None:
    """Start a machine on another disk; a running one falls first."""
    host.fall("gets another disk")
    host.disk = disk
    host.start_again()


def _all_remember(world: World) -> bool:
    """Whether every validator runs, knows what it signed, and may sign, in the present epoch.

    Who begins again below it does not look for its memory before it has come there (C-24); and who crashed after it was
    restored remembers from then on, but votes only above its floor.
    """
    nodes = [host.node for host in world.hosts[: len(world.powers)]]
    states = [node.status() for node in nodes if node is not None]
    ready = all(status.memory == "known" and status.view > status.vote_floor for status in states)
    bodies = [getattr(node, "body", None) for node in nodes]
    whole = not any(body.memory.lost for body in bodies if body is not None)  # known to itself once it is a validator
    return ready and whole and len(states) == len(nodes) and len({status.epoch for status in states}) == 1


def _hit(world: World, aim: Aim) -> Host | None:
    """The validator that is hit, if one can be."""
    hosts = [world.hosts[index] for index in aim.nodes[:1] if index < len(world.powers)]
    return hosts[0] if hosts and _all_remember(world) else None


def lost_disk(world: World, aim: Aim) -> End | None:
    """A validator's disk is gone; at the end it begins again with its keys."""
    host = _hit(world, aim)
    if host is None:
        return None
    host.held_down += 1
    host.fall("loses its disk")
    host.disk = empty_disk(host)

    def end() -> None:
        host.held_down -= 1
        host.start_again()

    return end


def _signed(records: Sequence[JournalRecord]) -> set[tuple[int, int, int]]:
    """(epoch, view, kind) of the own statements in a journal."""
    votes = [decode(Vote, record.data) for record in records if record.kind is JournalKind.VOTE]
    messages = [decode(ProposalMessage, record.data) for record in records if record.kind is JournalKind.PROPOSAL]
    proposals = [message.proposal for message in messages]
    return {(vote.epoch, vote.view, vote.kind) for vote in votes} | {
        (proposal.epoch, proposal.view, int(VoteKind.NOTARIZE)) for proposal in proposals
    }


def _can_be_noticed(world: World, host: Host, image: Disk) -> bool:
    """Whether others can tell that the image is older (C-24): by what was signed since, and has reached enough of them.

    What reached nobody exists nowhere but on the disk that is thrown away, and no start can learn of it. Enough: those
    whom it did not reach are no quorum with the one that asks.
    """
    lacking = _signed(host.disk.journal[: host.disk.journal_synced]) - _signed(image.journal)
    aware = [other is not host and _has_seen(other, host, lacking) for other in world.hosts]
    unaware = sum(power for power, knows in zip(world.powers, aware, strict=False) if not knows)
    return not lacking or unaware < 2 * sum(world.powers) // 3 + 1


def _has_seen(other: Host, host: Host, statements: set[tuple[int, int, int]]) -> bool:
    """Whether an honest node holds one of these statements of `host`."""
    key, body = host.setup.voting_key, getattr(other.node, "body", None)
    if body is None or not other.honest or key is None:
        return False
    core: Core = body.machine.core
    signer = core.instance.validators.index_of(key.public)
    seen = {
        (core.instance.epoch, view, int(kind))
        for view, votes in core.keeper.views.items()
        for kind in VoteKind
        if signer in votes.slots[kind]
    }
    return bool(seen & statements)


def old_image(world: World, aim: Aim) -> End | None:
    """At the end a validator's machine is put back to how it was at the beginning.

    If all remember then too, and the others can tell: else it is more than C-24 promises.
    """
    host = _hit(world, aim)
    if host is None:
        return None
    image = host.disk.image()

    def end() -> None:
        if _all_remember(world) and _can_be_noticed(world, host, image):
            host.count("put_back")
            put(host, image)

    return end


def _draw_lost(world: World, generator: Random, lasts_us: int) -> Aim | None:
    aim = _draw_one(world, generator, lasts_us)
    return None if aim is None else Aim(nodes=aim.nodes, lasts_us=generator.randint(MS_US, lasts_us))


def _draw_one(world: World, generator: Random, lasts_us: int) -> Aim | None:
    index = generator.randrange(len(world.powers))
    return Aim(nodes=(index,), lasts_us=lasts_us) if world.hosts[index].honest and _all_remember(world) else None


KINDS = {
    "lost_disk": Kind("a validator's disk is gone; it begins again with its keys", _draw_lost, lost_disk, Hits.NODES),
    "old_image": Kind("a validator's machine is put back to an older copy of it", _draw_one, old_image, Hits.NODES),
}
