"""The members of a run, as they govern: who votes changes while everything else goes on (C-21 to C-23).

Every now and then one member proposes a change, others approve, new voting keys say that they are ready, and somebody
executes it: each by envelopes to random nodes, again until the state of some node shows the effect. The changes: a
spare node becomes a validator of a new member, a validator leaves, one takes the place of another, one voting key is
replaced, all of them are, one power is changed. New keys are made on the machine that will use them; the machines
erase old ones themselves.

It knows what it needs of the chain from the tables of whichever honest node has executed most.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from protocol.apps.members.changes import approvals_needed, new_voting_keys, read_change, read_council
from protocol.apps.members.records import (
    OPEN,
    PROPOSALS,
    AddMember,
    AddValidator,
    Approve,
    Change,
    Execute,
    Proposal,
    Propose,
    Ready,
    RemoveValidator,
    RotateVotingKey,
    SetPower,
)
from protocol.codec import encode
from protocol.crypto.contexts import Context
from protocol.crypto.signing import SigningKey
from protocol.ledger.genesis import Genesis
from protocol.ledger.members import is_member, next_validators
from protocol.ledger.records import Envelope, EnvelopeBody, Operation, account_name
from protocol.ledger.state import StateReader
from protocol.sim.bench import Bench
from protocol.sim.events import MS_US, Schedule, chance
from protocol.sim.host import Host
from protocol.sim.signatures import Scheme
from protocol.sim.surroundings import WALL_START_MS

_LOOKS_MAX = 25
"""Looks at the state after which a proposal is put again, or given up: another like it was executed before."""


CHANGES = ("add", "remove", "replace", "rotate", "rotate_all", "power")
"""What members change."""


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """How often members change who votes. Times in ms."""

    weights: tuple[tuple[str, int], ...] = (
        ("add", 4),
        ("remove", 3),
        ("replace", 3),
        ("rotate", 3),
        ("rotate_all", 2),
        ("power", 1),
    )
    pause_ms: tuple[int, int] = (50, 500)
    """Between the end of one change and the next proposal."""
    look_ms: int = 60
    """Between two looks at the state."""
    least: int = 4
    most: int = 6
    """Validators of every set."""


class World(Protocol):
    """What the members see."""

    schedule: Schedule
    hosts: list[Host]
    network_id: bytes
    genesis: Genesis
    bench: Bench


class Members:
    """All members of a run."""

    def __init__(self, world: World, plan: ChangePlan, scheme: Scheme, generator: Random) -> None:
        self.world = world
        self.plan = plan
        self.scheme = scheme
        self.generator = generator
        self.accounts = {
            host.member: scheme.key(f"{host.member} account") for host in world.hosts if host.member is not None
        }
        """Member -> the key of its account."""
        self.keys: dict[bytes, SigningKey] = {}
        """New voting keys."""
        self.ended = False
        self.counts: dict[str, int] = {}
        self._lifetime_ms = min(10_000, world.genesis.parameters.envelope_ttl_max_ms * 3 // 4)
        """Of their envelopes: clocks that are behind take them too."""
        self._names = [name for name, weight in plan.weights for _ in range(weight)]
        self._serial = 0
        self._seen = 0
        self._proposing: tuple[str, Propose] | None = None
        self._next_us = 0
        self._looks = 0

    def begin(self) -> None:
        """Govern until `end`."""
        self._pause()
        self._look()

    def end(self) -> None:
        """Begin and advance nothing more; what is under way may still be carried out."""
        self.ended = True

    def _pause(self) -> None:
        low, high = self.plan.pause_ms
        self._next_us = self.world.schedule.now_us + self.generator.randint(low, high) * MS_US

    def _look(self) -> None:
        if self.ended:
            return
        honest = [host for host in self.world.hosts if host.honest and host.node is not None]
        if honest:
            self._govern(max(honest, key=lambda host: host.disk.executed.last))
        self.world.schedule.after(self.plan.look_ms * MS_US, self._look)

    def _govern(self, host: Host) -> None:
        state = StateReader(host.disk.tables)
        council = read_council(state)
        if self._proposing is not None and council.proposals > self._seen:
            self._seen, self._proposing, self._looks = council.proposals, None, 0
        proposal = None if self._seen == 0 else state.get(PROPOSALS, (self._seen,))
        self._looks += 1
        if proposal is not None and proposal.status == OPEN and self._looks < _LOOKS_MAX:
            self._advance(state, proposal, approvals_needed(council))
            return
        if self._proposing is None:
            if self.world.schedule.now_us < self._next_us:
                return
            self._choose(state)
            self._looks = 0
            self._pause()
        if self._proposing is not None and self._looks % _LOOKS_MAX == 0:
            member, propose = self._proposing
            self._send(self.accounts[member], "propose", propose)

    # -- Carrying one through -----------------------------------------------------------------------

    def _advance(self, state: StateReader, proposal: Proposal, needed: int) -> None:
        number = self._seen
        voters = [name for name in sorted(self.accounts) if is_member(name, state)]
        for name in voters[: needed + 1]:
            if name not in proposal.approvals and len(proposal.approvals) < needed:
                self._send(self.accounts[name], "approve", Approve(number))
        lacking = [key for key in new_voting_keys(map(read_change, proposal.changes)) if key not in proposal.ready]
        for key in lacking:
            owner = self.world.hosts[self.world.bench.owners[key]]
            if owner.node is not None:
                self._send(self.keys[key], "ready", Ready(number, key, owner.disk.executed.last))
        if not lacking and len(proposal.approvals) >= needed:
            self._send(self.accounts[self.generator.choice(voters)], "execute", Execute(number))
            self._pause()

    def _send(self, key: SigningKey, name: str, arguments: Any) -> None:
        up = [host for host in self.world.hosts if host.node is not None]
        if not up:
            return
        world = self.world
        self._serial += 1
        valid_until_ms = WALL_START_MS + world.schedule.now_us // MS_US + self._lifetime_ms
        body = encode(
            EnvelopeBody(
                world.network_id,
                account_name(key.public),
                b"governs!" + self._serial.to_bytes(8, "big"),
                valid_until_ms,
                (Operation("members", name, encode(arguments)),),
                (key.public,),
            )
        )
        data = encode(Envelope(body, (key.sign(Context.ENVELOPE, world.network_id, body),)))
        self.generator.choice(up).submit((data,))

    # -- Choosing one -------------------------------------------------------------------------------

    def _choose(self, state: StateReader) -> None:
        entries = next_validators(state).validators
        name = self.generator.choice(self._names)
        changes: list[Change] = []
        voting = [entry.voting_key for entry in entries]
        spare = [
            host
            for host in self.world.hosts
            if host.honest
            and not host.begins_by_snapshot
            and host.index not in {self.world.bench.owners[key] for key in voting}
        ]
        leaving = self.generator.choice(voting)
        if name in ("add", "replace") and spare and (name == "replace" or len(voting) < self.plan.most):
            changes += self._joins(self.generator.choice(spare), state)
        if (name == "remove" and len(voting) > self.plan.least) or (name == "replace" and changes):
            changes.append(RemoveValidator(leaving))
        if name == "rotate":
            changes.append(self._rotates(leaving))
        if name == "rotate_all":
            changes += [self._rotates(key) for key in voting]
        if name == "power":
            changes.append(SetPower(leaving, self.generator.randint(1, 2)))
        if not changes or not self._tolerable(state, changes):
            return
        self.counts[name] = self.counts.get(name, 0) + 1
        members = [member for member in sorted(self.accounts) if is_member(member, state)]
        expires_ms = WALL_START_MS + self.world.schedule.now_us // MS_US + 3_600_000
        propose = Propose(tuple(encode(change) for change in changes), name, expires_ms)
        self._proposing = (self.generator.choice(members), propose)

    def _tolerable(self, state: StateReader, changes: list[Change]) -> bool:
        """Whether members who are held to nothing stay below a third: more than that is promised to nobody."""
        powers = {entry.voting_key: entry.power for entry in next_validators(state).validators}
        for change in changes:
            match change:
                case AddValidator() | SetPower():
                    powers[change.voting_key] = change.power
                case RemoveValidator():
                    del powers[change.voting_key]
                case RotateVotingKey():
                    powers[change.new_voting_key] = powers.pop(change.voting_key)
        hosts, owners = self.world.hosts, self.world.bench.owners
        hostile = sum(power for key, power in powers.items() if not hosts[owners[key]].honest)
        return 3 * hostile < sum(powers.values())

    def _joins(self, host: Host, state: StateReader) -> list[Change]:
        """A node becomes a validator; now and then of a new member."""
        key = self._key(host)
        changes: list[Change] = []
        member = host.member
        if member is None or not is_member(member, state):
            member = f"joined {host.index:03}"
            if not is_member(member, state):
                account = self.scheme.key(f"{member} account")
                self.accounts[member] = account
                changes.append(AddMember(member, account_name(account.public), 2**50))
        power = 2 if chance(self.generator, 200) else 1
        return [*changes, AddValidator(member, host.setup.node_key, key, power)]

    def _rotates(self, voting_key: bytes) -> Change:
        host = self.world.hosts[self.world.bench.owners[voting_key]]
        return RotateVotingKey(voting_key, self._key(host))

    def _key(self, host: Host) -> bytes:
        """A new voting key, on the machine that will use it."""
        self._serial += 1
        key = self.scheme.key(f"voting key {self._serial}")
        self.keys[key.public] = key
        self.world.bench.owners[key.public] = host.index
        host.hold(key)
        return key.public
