"""The restarter: an honest node on a machine that crashes and returns every few seconds, for the whole run.

Nobody lies here; but the others must not depend on it, also when it leads, and what it signs must survive each crash.
It goes on after the last fault of a run: the network owes progress beside it.
"""

from __future__ import annotations

from protocol.sim.byzantine.actor import Actor, Stage
from protocol.sim.events import MS_US

UP_MS = (300, 2_500)
DOWN_MS = (20, 700)


def play(stage: Stage) -> None:
    """Fall and boot, again and again."""
    draw, schedule, host = stage.generator.randint, stage.schedule, stage.host

    def fall() -> None:
        if host.up:
            host.fall("crashes again")
            stage.did("crash")
        schedule.after(draw(*DOWN_MS) * MS_US, rise)

    def rise() -> None:
        if not host.up:
            host.boot()
            stage.did("return")
        schedule.after(draw(*UP_MS) * MS_US, fall)

    schedule.after(draw(*UP_MS) * MS_US, fall)


RESTARTER = Actor("crashes and returns every few seconds", play, ("crash", "return"))
