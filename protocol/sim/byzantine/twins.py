"""Twins: two machines with one node's keys, each with its own disk, each connected to a part of the network (C-24).

Somebody cloned a machine, or started the spare while the first still ran. Both are honest programs; together they sign
what C-10 forbids, and count as one faulty power. A peer keeps one channel for each node key: a link to one twin takes
the place of the link to the other, again and again, and now and then one breaks. A twin that learns of the other stops
itself; an operator who knows no better starts it again.
"""

from __future__ import annotations

from protocol.sim.byzantine.actor import Actor, Stage
from protocol.sim.events import MS_US

MOVE_MS = (100, 900)
RESTART_MS = (200, 1_500)


def play(stage: Stage) -> None:
    """Both boot with everyone else; from then on links move, and whoever stopped is started again."""
    draw, schedule = stage.generator.randint, stage.schedule

    def move() -> None:
        up = [host for host in stage.hosts if host.up]
        served = [host for host in up if any(link.connected for link in stage.network.links_of(host.index))]
        if len(served) == len(stage.hosts):
            stage.did("both connected")
        if served:
            host = stage.generator.choice(served)
            links = [link for link in stage.network.links_of(host.index) if link.connected]
            link = stage.generator.choice(links)
            other = stage.network.hosts[link.high if link.low == host.index else link.low]
            stage.network.disconnect(host.index, other.setup.node_key)
            stage.did("link moved")
        schedule.after(draw(*MOVE_MS) * MS_US, move)

    def restart() -> None:
        for host in stage.hosts:
            if not host.up:
                host.boot()
                stage.did("started again")
        schedule.after(draw(*RESTART_MS) * MS_US, restart)

    schedule.after(draw(*MOVE_MS) * MS_US, move)
    schedule.after(draw(*RESTART_MS) * MS_US, restart)


TWINS = Actor("two machines with one node's keys", play, ("both connected", "link moved", "started again"), machines=2)
