"""The demonstration's people and envelopes on the real ledger in memory: nodes' own judgement first, then execution."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from daemon.client import Account
from daemon.client.sealing import Sealed
from daemon.demo.desk import Desk
from daemon.demo.documents import MEMBERS
from daemon.demo.load import Task
from daemon.demo.people import People
from protocol.apps.registry import APPLICATIONS
from protocol.crypto.signing import verify_message
from protocol.errors import BAD_SIGNATURE, PapilioError
from protocol.ledger.admission import admit
from protocol.ledger.envelope import parse_envelope, signature_items
from protocol.ledger.genesis import Genesis, GenesisMember
from tests.ledger.world import World, make_genesis

RIDERS: Final = 4


def accounts(count: int, first: int = 1) -> list[Account]:
    """Accounts with fixed keys."""
    return [Account.from_seed(number.to_bytes(32, "big")) for number in range(first, first + count)]


def make_people(riders: int = RIDERS) -> People:
    """Everybody."""
    members = dict(zip(MEMBERS, accounts(len(MEMBERS), 1_000), strict=True))
    operator, shop, stranger, *others = accounts(riders + 3, 2_000)
    return People(members, operator, shop, tuple(others), stranger)


def genesis_of(people: People) -> Genesis:
    """A network of the members, a minute old."""
    made = make_genesis(len(MEMBERS))
    names = {f"m{at}": name for at, name in enumerate(MEMBERS)}
    return replace(
        made,
        created_ms=time.time_ns() // 1_000_000 - 60_000,
        members=tuple(GenesisMember(name, people.members[name].signers, 1, None) for name in MEMBERS),
        validators=tuple(replace(validator, member=names[validator.member]) for validator in made.validators),
    )


class Ledger:
    """Takes envelopes as a network would: `play` says what became of each, by code."""

    def __init__(self, riders: int = RIDERS) -> None:
        self.people = make_people(riders)
        genesis = genesis_of(self.people)
        self.world = World(genesis, APPLICATIONS[1])
        self.desk = Desk.of(genesis)

    def play(self, tasks: Sequence[Task], block: int = 40) -> list[tuple[str, str]]:
        """For each, in order: who judged it (`node` or `ledger`) and the code. So many envelopes a block."""
        codes: dict[bytes, str] = {}
        judged: list[tuple[str, str]] = []
        for start in range(0, len(tasks), block):
            part = tasks[start : start + block]
            refused = [self._refusal(task.sealed) for task in part]
            taken = [task.sealed.data for task, code in zip(part, refused, strict=True) if code is None]
            step_ms = max(1, time.time_ns() // 1_000_000 - self.world.time_ms)
            done = self.world.run(*taken, step_ms=step_ms)
            assert all(outcome.final for outcome in done.outcomes)
            codes |= {outcome.transaction: outcome.code for outcome in done.outcomes}
            for task, code in zip(part, refused, strict=True):
                judged.append(("ledger", codes[task.sealed.transaction]) if code is None else ("node", code))
        return judged

    def _refusal(self, sealed: Sealed) -> str | None:
        """The code with which a node refuses the envelope, if it does."""
        try:
            parsed = parse_envelope(sealed.data, self.desk.network_id)
            if not all(verify_message(*item) for item in signature_items(parsed)):
                return BAD_SIGNATURE
            clock_ms = time.time_ns() // 1_000_000
            admit(self.world.tables, parsed, clock_ms, self.world.genesis.parameters, MEMBERS[0])
        except PapilioError as fault:
            return fault.code
        return None

    def play_well(self, tasks: Sequence[Task], block: int = 40) -> None:
        """All of them become what they have to."""
        for task, (_, code) in zip(tasks, self.play(tasks, block), strict=True):
            assert code == task.code if task.code else code != "ok", f"{task.kind}: {code}, not {task.code}"
