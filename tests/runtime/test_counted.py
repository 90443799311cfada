"""Each effect is carried out by the hands it is given to, and its time belongs to the part whose work it is."""

from __future__ import annotations

import trio

from daemon.observe.cpu import CpuClock, Part
from daemon.runtime.counted import PARTS, CountedHands
from daemon.runtime.pump import AT_ONCE
from protocol.node.interface import CheckBatch, Effect, Note, Persist, Priority, Send
from tests.observe.test_cpu import burn


class Busy:
    """Hands that take time."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Effect]] = []

    def begin(self, effect: Effect) -> None:
        burn()
        self.seen.append(("begin", effect))

    def carry_out(self, effect: Effect) -> None:
        burn()
        self.seen.append(("carry_out", effect))


def test_time_is_counted_where_it_belongs_and_every_effect_is_passed_on() -> None:
    hands, clock = Busy(), CpuClock()
    counted = CountedHands(hands, clock)
    check, send, note = CheckBatch(1, b"batch"), Send((b"peer",), Priority.CONSENSUS, b"vote"), Note("block", {})

    async def main() -> None:
        with clock.window():
            counted.begin(check)
            counted.carry_out(send)
            counted.begin(note)
            await trio.lowlevel.checkpoint()

    trio.run(main)
    assert hands.seen == [("begin", check), ("carry_out", send), ("begin", note)]
    found = clock.seconds()
    assert found[Part.SIGNATURES] >= 0.03
    assert found[Part.NETWORK] >= 0.03
    assert found[Part.OTHER] >= 0.03, "the note, on a task of no part"


def test_what_is_checked_at_once_is_a_part_of_its_own() -> None:
    assert {kind for kind in AT_ONCE if kind.__name__.startswith("Check")} <= PARTS.keys()
    assert Persist not in PARTS, "the pump's own"
