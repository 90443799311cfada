"""What is measured: the workloads by name, what the command line may change of them, and one of them under way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from daemon.bench.judging import Sent
from daemon.bench.mixes import workload_of
from daemon.bench.network import Stand
from daemon.bench.trial import ALONE, Beside, Offer, Trial

CONNECTIONS: Final = 16
CONNECTIONS_ONE_A_REQUEST: Final = 64

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line says.

    rate: envelopes a second; None: the workload's own, or a search. transactions: length of the history, where a
    workload has one. mix: instead of the workload's (mixes.py). parts: nodes count CPU time by part.
    """

    workloads: tuple[str, ...]
    nodes: int = 4
    rate: float | None = None
    seconds: float | None = None
    probe_seconds: float = 8.0
    transactions: int | None = None
    mix: str | None = None
    burst: float = 1.0
    beside: Beside = ALONE
    each: int | None = None
    connections: int | None = None
    one_a_request: bool = False
    parts: bool = True
    recompute: bool = False
    profile: bool = False
    directory: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A workload as it is run.

    rate: None: searched, from `first_rate` on. seconds: of the measured stretch. transactions: of its history, 0 where
    it has none. nodes_min: with fewer it means nothing.
    """

    words: str
    mix: str = "single"
    rate: float | None = None
    first_rate: float = 800
    seconds: float = 30
    each: int = 50
    ask: bool = False
    transactions: int = 0
    nodes_min: int = 1


HIGHEST: Final = "the highest rate held with p99 below a second"
KINDS: Final = {
    "light": Kind(words="100 transactions a second, one a request", rate=100, seconds=20, each=1, ask=True),
    "single": Kind(words=HIGHEST),
    "one-a-request": Kind(words=HIGHEST + ", one envelope a request over 64 connections", first_rate=300, each=1),
    "bundled": Kind(words=HIGHEST, mix="bundled", first_rate=40, each=1),
    "hot": Kind(words=HIGHEST, mix="hot"),
    "leader-kill": Kind(
        words="100 transactions a second, one a request, and the leader killed with -9", rate=100, each=1, ask=True,
        nodes_min=4,
    ),
    "catch-up": Kind(words="a node that was away while others went on", transactions=10_000, nodes_min=4),
    "restart": Kind(words="start with a long history, to ready", transactions=20_000),
    "overload": Kind(words="offered twice the most that it can do", seconds=60),
    "growth": Kind(words="the same load on a short and a long history", rate=400, seconds=10, transactions=50_000),
    "validators": Kind(words="the same load on four and on ten validators", rate=200, seconds=15),
    "idle": Kind(words="nobody uses it", rate=0, seconds=120),
}  # fmt: skip
DEFAULT: Final = ("light", "single", "one-a-request", "bundled")


@dataclass(slots=True)
class Session:
    """A workload under way: its network, everything sent so far, and what is found out.

    renew: judges and ends the network, and gives another in its place (run.py).
    """

    stand: Stand
    name: str
    wishes: Wishes
    tell: Tell
    sent: Sent = field(default_factory=Sent)
    found: dict[str, Any] = field(default_factory=dict)
    renew: Callable[[], Awaitable[Stand]] | None = None

    async def afresh(self) -> None:
        """Go on with a network that is new, and has seen nothing."""
        assert self.renew is not None, "a workload that searches is given others"
        self.stand, self.sent = await self.renew(), Sent()

    @property
    def kind(self) -> Kind:
        """As the table has it."""
        return KINDS[self.name]

    @property
    def mix(self) -> str:
        """Of what is sent."""
        return self.wishes.mix or self.kind.mix

    @property
    def seconds(self) -> float:
        """Of the measured stretch."""
        return self.wishes.seconds or self.kind.seconds

    @property
    def rate(self) -> float | None:
        """Envelopes a second; None if they are searched for."""
        return self.wishes.rate or self.kind.rate

    @property
    def transactions(self) -> int:
        """Of the history."""
        return self.wishes.transactions or self.kind.transactions

    def offer(self, rate: float, seconds: float) -> Offer:
        """So much, in this workload's way."""
        wishes, kind = self.wishes, self.kind
        one = wishes.one_a_request or self.name == "one-a-request"
        bulk = kind.each if wishes.mix is None or kind.each == 1 else workload_of(wishes.mix).bulk
        return Offer(
            mix=self.mix,
            envelopes_a_second=rate,
            seconds=seconds,
            each=1 if one else wishes.each or bulk,
            connections=wishes.connections or (CONNECTIONS_ONE_A_REQUEST if one else CONNECTIONS),
            ask=kind.ask and not one,
            burst=wishes.burst,
            beside=wishes.beside,
        )

    def filling(self, envelopes: int) -> Offer:
        """So many envelopes as fast as they are taken: a history."""
        each = workload_of(self.mix).bulk
        plain = replace(self.offer(1.0, 1.0), ask=False, burst=1.0, beside=ALONE)
        return replace(plain, fill=envelopes, each=each, connections=CONNECTIONS)

    def took(self, trial: Trial) -> Trial:
        """Remember what was sent, for the judgement."""
        trial.sent(self.sent)
        return trial
