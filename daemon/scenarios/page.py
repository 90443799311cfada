"""A run as a picture: one HTML file that loads nothing and runs nothing.

Time goes from left to right. Above, the final height of each node. Below, a lane a node: when it ran, its views in the
colour of who led them, views that were nullified, a tick for each block that became final, and faults as shaded spans.
Colours are CSS variables, so that one drawing serves light and dark; what matters has a title, shown on hovering.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from protocol.sim.facts import Violation
from protocol.sim.faults import FAULTS
from protocol.sim.faults.aim import Hits
from protocol.sim.faults.driver import Happened, touched
from protocol.sim.run import Report
from protocol.sim.trace import Lane, Trace

WIDTH: Final = 1120
LEFT: Final = 84
RIGHT: Final = 16
PLOT: Final = WIDTH - LEFT - RIGHT
HEIGHTS: Final = 170
"""Of the upper drawing."""
LANE: Final = 58
GAP: Final = 10
COLOURS: Final = 10
LABEL_PIXELS: Final = 6.2
"""About the width of a letter."""

STYLE: Final = """
:root { color-scheme: light dark; --page: #fcfcfb; --ink: #1f2430; --muted: #667085; --grid: #e3e5ea; --lane: #f2f3f5;
  --fault: #d92d20; --up: #98a2b3; --good: #067647; --bad: #b42318;
  --c0: #4e79a7; --c1: #f28e2b; --c2: #59a14f; --c3: #b07aa1; --c4: #76b7b2; --c5: #edc948; --c6: #9c755f;
  --c7: #ff9da7; --c8: #86bcb6; --c9: #79706e; }
@media (prefers-color-scheme: dark) { :root { --page: #15181e; --ink: #e8eaf0; --muted: #9aa3b2; --grid: #2c323d;
  --lane: #1c2028; --fault: #f97066; --up: #667085; --good: #47cd89; --bad: #f97066; } }
body { font: 15px/1.5 system-ui, sans-serif; background: var(--page); color: var(--ink); max-width: 72rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } .words { color: var(--muted); margin: .2rem 0 1rem }
.ok { color: var(--good); font-weight: 600 } .violated { color: var(--bad); font-weight: 600 }
.tiles { display: flex; flex-wrap: wrap; gap: .5rem 2.2rem; margin: 1rem 0 1.4rem }
.tiles b { display: block; font-size: 1.35rem; font-weight: 600; line-height: 1.2 }
.tiles span, .key { color: var(--muted); font-size: .85rem }
.key { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: .6rem 0 1.6rem }
.key i { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .4rem;
  vertical-align: -1px }
figure { margin: 0 } figcaption { font-weight: 600; margin: 1rem 0 .3rem }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif } svg text { fill: var(--muted) }
svg .name { fill: var(--ink); font-size: 12px; font-weight: 600 }
table { border-collapse: collapse; font-size: .86rem; width: 100% }
td, th { padding: .25rem .8rem .25rem 0; text-align: left; border-top: 1px solid var(--grid) }
th { color: var(--muted); font-weight: 500; border: 0 }
pre { font-size: .78rem; overflow-x: auto; background: var(--lane); padding: .8rem; border-radius: 6px }
"""
ROWS_MAX: Final = 200
"""Of the table of faults."""


class Across:
    """Where a moment stands."""

    def __init__(self, end_ms: int) -> None:
        self.end_ms = max(end_ms, 1)

    def x(self, at_ms: float) -> float:
        """Pixels from the left."""
        return LEFT + min(max(at_ms, 0), self.end_ms) / self.end_ms * PLOT

    def ticks(self) -> list[tuple[float, str]]:
        """(ms, words) of about eight round moments."""
        steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800]
        seconds = self.end_ms / 1000
        step = next((step for step in steps if seconds / step <= 10), steps[-1])
        return [(at * 1000, words_of(at * 1000)) for at in range(0, int(seconds) + 1, step)]


def words_of(ms: int) -> str:
    """A moment in the largest unit that is exact."""
    for size, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if ms and ms % size == 0:
            return f"{ms // size} {unit}"
    return f"{ms} ms" if ms else "0"


Tiles = list[tuple[str, str]]
"""(figure, what it is), in large letters."""


def page(report: Report, trace: Trace, words: str) -> str:
    """The whole file, of a simulated run."""
    title = f"{report.scenario}, seed {report.seed}"
    return picture(title, words, report.violation, _tiles(report), trace, report.text())


def picture(title: str, words: str, violation: Violation | None, tiles: Tiles, trace: Trace, text: str) -> str:
    """The whole file, of any run that was traced. text: its report."""
    result = (
        '<span class="ok">every rule held</span>'
        if violation is None
        else f'<span class="violated">violated {escape(violation.rule)}: {escape(violation.words)}</span>'
    )
    figures = "".join(f"<div><b>{escape(a)}</b><span>{escape(b)}</span></div>" for a, b in tiles)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="words">{escape(words)} {result}</p>',
        f'<div class="tiles">{figures}</div>',
        _heights(trace),
        _lanes(trace),
        _key(trace),
        _faults(trace.happened),
        f"<figcaption>Report</figcaption><pre>{escape(text)}</pre>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</html>\n"
    )


def _tiles(report: Report) -> Tiles:
    settled = "never" if report.settled_ms is None else f"{report.settled_ms / 1000:g} s"
    return [
        (length(report.simulated_ms), "simulated"),
        (f"{report.blocks:,}", "blocks final"),
        (f"{report.nullified_views:,}", "views nullified"),
        (f"{sum(report.faults.values()):,}", "faults"),
        (f"{report.restarts:,}", "restarts"),
        (settled, "to settle after the last fault"),
    ]


def length(ms: int) -> str:
    """A length of time to three digits or so."""
    for size, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min")):
        if ms >= 2 * size:
            return f"{ms / size:.1f} {unit}"
    return f"{ms / 1000:.1f} s"


def _svg(title: str, parts: list[str], height: float) -> str:
    inner = "".join(parts)
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {height:.0f}" '
        f'role="img" aria-label="{escape(title)}">{inner}</svg></figure>'
    )


def _grid(across: Across, bottom: float) -> list[str]:
    parts = []
    for at_ms, words in across.ticks():
        x = across.x(at_ms)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom:.0f}" stroke="var(--grid)"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 14:.0f}" text-anchor="middle">{words}</text>')
    return parts


def _moments(trace: Trace, across: Across, bottom: float) -> list[str]:
    """Lines where the last fault was over and where nothing was owed any more."""
    parts = []
    for at_ms, colour, title in (
        (trace.calm_ms, "muted", "the last fault is over"),
        (trace.done_ms, "good", "nothing is owed any more"),
    ):
        if at_ms is not None:
            x = across.x(at_ms)
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom:.0f}" stroke="var(--{colour})" '
                f'stroke-width="1.5" stroke-dasharray="4 3"><title>{title}: {at_ms} ms</title></line>'
            )
    return parts


def _colour(node: int) -> str:
    return f"var(--c{node % COLOURS})"


def _heights(trace: Trace) -> str:
    across, top = Across(trace.end_ms), 8
    highest = max((height for lane in trace.lanes for _, height in lane.heights), default=0) or 1
    low = min((lane.heights[0][1] for lane in trace.lanes if lane.heights), default=0)

    def y(height: int) -> float:
        return top + (HEIGHTS - top) * (1 - (height - low) / max(highest - low, 1))

    parts = _grid(across, HEIGHTS)
    for height in (low, (low + highest) // 2, highest):
        parts.append(f'<text x="{LEFT - 8}" y="{y(height) + 4:.1f}" text-anchor="end">{height:,}</text>')
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(height):.1f}" y2="{y(height):.1f}" stroke="var(--grid)"/>'
        )
    for lane in trace.lanes:
        points = [(x, y(height)) for x, height in _thin([(across.x(at), height) for at, height in lane.heights])]
        if points:
            steps = [f"M{points[0][0]:.1f},{points[0][1]:.1f}"]
            steps += [f"H{x:.1f}V{height:.1f}" for x, height in points[1:]]
            steps.append(f"H{across.x(trace.end_ms):.1f}")
            parts.append(
                f'<path d="{"".join(steps)}" fill="none" stroke="{_colour(lane.index)}" stroke-width="1.8" '
                f'opacity=".85"><title>node {lane.index}</title></path>'
            )
    parts += _moments(trace, across, HEIGHTS)
    return _svg("Final height of each node", parts, HEIGHTS + 20)


def _thin(points: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """The last of the points that fall on one half pixel."""
    kept: dict[int, tuple[float, int]] = {}
    for x, value in points:
        kept[int(x * 2)] = (x, value)
    return list(kept.values())


def _lanes(trace: Trace) -> str:
    across = Across(trace.end_ms)
    bottom = len(trace.lanes) * (LANE + GAP)
    parts = [
        f'<rect x="{LEFT}" y="{_top(lane)}" width="{PLOT}" height="{LANE}" rx="3" fill="var(--lane)"/>'
        for lane in trace.lanes
    ]
    parts += _grid(across, bottom)
    for lane in trace.lanes:
        parts += _lane(lane, trace, across)
    free = [0.0] * len(trace.lanes)
    for happened in trace.happened:
        parts += _span(happened, trace, across, free)
    parts += _moments(trace, across, bottom)
    return _svg("Nodes: life, views by leader, final blocks, faults", parts, bottom + 20)


def _top(lane: Lane) -> int:
    return lane.index * (LANE + GAP)


def _lane(lane: Lane, trace: Trace, across: Across) -> Iterator[str]:
    top = _top(lane)
    kind = "" if lane.validator else " (observer)"
    kind = kind if lane.honest else " (lies)"
    yield f'<text x="{LEFT - 8}" y="{top + 26}" text-anchor="end" class="name">node {lane.index}</text>'
    yield f'<text x="{LEFT - 8}" y="{top + 42}" text-anchor="end">{kind.strip(" ()")}</text>'
    for begin_ms, end_ms in lane.lives:
        x, end = across.x(begin_ms), across.x(trace.end_ms if end_ms is None else end_ms)
        yield f'<rect x="{x:.1f}" y="{top + 6}" width="{max(end - x, 0.6):.1f}" height="5" fill="var(--up)"/>'
        if end_ms is not None:
            yield (
                f'<path d="M{end - 3.5:.1f},{top + 5}l7,7m0,-7l-7,7" stroke="var(--fault)" stroke-width="1.6">'
                f"<title>ends at {end_ms} ms</title></path>"
            )
    nullified = frozenset(trace.nullified)
    for x, width, (epoch, view), leader in _views(lane, trace.end_ms, across):
        is_null = (epoch, view) in nullified
        told = f"view {view}{of_epoch(epoch)}, led by node {leader}{', nullified' if is_null else ''}"
        opacity = ".3" if is_null else "1"
        yield (
            f'<rect x="{x:.1f}" y="{top + 16}" width="{width:.1f}" height="18" fill="{_colour(leader)}" '
            f'opacity="{opacity}"><title>{told}</title></rect>'
        )
        if is_null:
            yield f'<rect x="{x:.1f}" y="{top + 35}" width="{max(width, 1.5):.1f}" height="3" fill="var(--bad)"/>'
    ticks = "".join(f"M{x:.1f},{top + 42}v9" for x, _ in _thin([(across.x(at), h) for at, h in lane.heights[1:]]))
    if ticks:
        yield f'<path d="{ticks}" stroke="{_colour(lane.index)}" stroke-width="1"/>'


def of_epoch(epoch: int) -> str:
    """Said of views where there is more than one epoch."""
    return f" of epoch {epoch}" if epoch > 1 else ""


def _views(lane: Lane, end_ms: int, across: Across) -> Iterator[tuple[float, float, tuple[int, int], int]]:
    """(x, width, (epoch, view), leader) of the views of a lane; of those within one half pixel the last."""
    lives = [end for _, end in lane.lives if end is not None]
    last = -1.0
    for place, (at_ms, view, leader) in enumerate(lane.views):
        until_ms = lane.views[place + 1][0] if place + 1 < len(lane.views) else end_ms
        until_ms = min([until_ms, *(end for end in lives if at_ms <= end)])
        x, end = across.x(at_ms), across.x(until_ms)
        if end - last >= 0.5:
            yield max(x, last), max(end - max(x, last) - 0.3, 0.4), view, leader
            last = end


def _span(happened: Happened, trace: Trace, across: Across, free: list[float]) -> Iterator[str]:
    """A fault, over the lanes of the nodes that it hits; named where a lane has room (from `free` on)."""
    begin_ms, lasts_ms = happened.time_us // 1000, happened.aim.lasts_us // 1000
    x, end = across.x(begin_ms), across.x(begin_ms + lasts_ms)
    width = max(end - x, 1.5)
    everyone = FAULTS[happened.fault].hits is Hits.EVERYTHING or not touched(happened.aim)
    nodes = [lane.index for lane in trace.lanes] if everyone else touched(happened.aim)
    title = escape(f"{happened.fault}: {told(happened)}")
    for node in nodes:
        top = node * (LANE + GAP)
        yield (
            f'<rect x="{x:.1f}" y="{top}" width="{width:.1f}" height="{LANE}" fill="var(--fault)" opacity=".13">'
            f"<title>{title}</title></rect>"
        )
        yield f'<rect x="{x:.1f}" y="{top}" width="{width:.1f}" height="2" fill="var(--fault)" opacity=".7"/>'
        if width > len(happened.fault) * LABEL_PIXELS and x >= free[node]:
            label = happened.fault.replace("_", " ")
            free[node] = x + 10 + len(label) * LABEL_PIXELS
            yield f'<text x="{x + 4:.1f}" y="{top + LANE - 4}" style="fill:var(--fault)">{label}</text>'


def told(happened: Happened) -> str:
    """When, how long, and whom, in words."""
    aim = happened.aim
    at = f"from {happened.time_us // 1000} ms for {aim.lasts_us // 1000} ms"
    if aim.groups:
        return f"{at}, {' | '.join(' '.join(map(str, group)) for group in aim.groups)}"
    whom = f"nodes {' '.join(map(str, aim.nodes))}" if aim.nodes else "everyone"
    return f"{at}, {whom}" + (f" to {' '.join(map(str, aim.to))}" if aim.to else "")


def _key(trace: Trace) -> str:
    leaders = "".join(
        f'<span><i style="background:{_colour(lane.index)}"></i>node {lane.index} leads</span>'
        for lane in trace.lanes[:COLOURS]
        if lane.validator
    )
    more = (
        '<span><i style="background:var(--bad);height:.25rem"></i>view nullified</span>'
        '<span><i style="background:var(--up);height:.3rem"></i>node runs</span>'
        '<span><i style="background:var(--fault);opacity:.3"></i>fault</span>'
        "<span>ticks: a block became final here</span><span>dashed: last fault over; nothing owed</span>"
    )
    cut = "<span>later changes of some nodes are left out</span>" if any(lane.cut_short for lane in trace.lanes) else ""
    return f'<div class="key">{leaders}{more}{cut}</div>'


def _faults(happened: list[Happened]) -> str:
    rows = "".join(
        f"<tr><td>{escape(each.fault)}</td><td>{escape(told(each))}</td>"
        f"<td>{escape(FAULTS[each.fault].words)}</td></tr>"
        for each in happened[:ROWS_MAX]
    )
    more = f"<p class='words'>and {len(happened) - ROWS_MAX} more</p>" if len(happened) > ROWS_MAX else ""
    head = "<tr><th>fault</th><th>when and whom</th><th>what</th></tr>"
    return f"<figcaption>Faults</figcaption><table>{head}{rows}</table>{more}" if rows else ""
