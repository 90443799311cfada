"""Plots as SVG text: lines over time, bars of a histogram, stacked bars. No library, no script, no address.

Colours are CSS variables of the page, so that one drawing serves light and dark; every mark that matters has a title,
which browsers show on hovering.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 240
LEFT: Final = 64
RIGHT: Final = 110
TOP: Final = 14
BOTTOM: Final = 42
PLOT_WIDTH: Final = WIDTH - LEFT - RIGHT
PLOT_HEIGHT: Final = HEIGHT - TOP - BOTTOM
BAR_HEIGHT: Final = 22
BAR_GAP: Final = 12


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot. values: None where there is nothing. colour: a CSS variable's name."""

    name: str
    values: Sequence[float | None]
    colour: str
    dashed: bool = False


def over_time(title: str, unit: str, at_s: Sequence[float], lines: Sequence[Line]) -> str:
    """Lines over seconds, from zero; each is named at its end."""
    top = nice_top(max((v for line in lines for v in line.values if v is not None), default=1.0))
    span = max(at_s[-1] if at_s else 1.0, 1e-9)

    def place(at: float, value: float) -> tuple[float, float]:
        return LEFT + at / span * PLOT_WIDTH, TOP + PLOT_HEIGHT * (1 - value / top)

    parts = [*_frame(unit, [(value, place(0, value)[1]) for value in _ticks(top)], "seconds from the start")]
    step = nice_step(span / 6)
    steps = [number * step for number in range(math.floor(span / step) + 1)]
    parts += [_x_tick(place(at, 0)[0], f"{at:g}") for at in steps]
    labels: list[tuple[float, Line]] = []
    for line in lines:
        points = [place(at, v) for at, v in zip(at_s, line.values, strict=True) if v is not None]
        if points:
            dash = ' stroke-dasharray="5 4"' if line.dashed else ""
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="var(--{line.colour})" stroke-width="2"{dash}>'
                f"<title>{escape(line.name)}</title></polyline>"
            )
            labels.append((points[-1][1], line))
    return _svg(title, [*parts, *_end_labels(labels)], HEIGHT)


def histogram(title: str, bins: Sequence[tuple[float, int]], marks: Mapping[str, float]) -> str:
    """Bars over a logarithmic scale of ms; bins as of `arithmetic.histogram`. marks: name to ms, drawn across."""
    if not bins:
        return ""
    low = 10 ** math.floor(math.log10(bins[0][0]) - 1e-9)
    high = max(10 ** math.ceil(math.log10(bins[-1][0])), low * 10)
    top = nice_top(max(count for _, count in bins) * 1.2)  # the marks' words stand above the bars

    def across(ms: float) -> float:
        return LEFT + (math.log10(ms) - math.log10(low)) / (math.log10(high) - math.log10(low)) * PLOT_WIDTH

    ticks = [(value, TOP + PLOT_HEIGHT * (1 - value / top)) for value in _ticks(top)]
    parts = [*_frame("transactions", ticks, "milliseconds, logarithmic")]
    decades = round(math.log10(high / low))
    shown = [low * 10**decade * factor for decade in range(decades) for factor in (1, 2, 5)]
    parts += [_x_tick(across(ms), f"{ms:g}") for ms in (*shown, high)]
    growth = 10 ** (1 / 20)
    for edge, count in bins:
        left, right, height = across(max(edge / growth, low)), across(edge), PLOT_HEIGHT * count / top
        width = max(right - left - 1, 1)
        if count:
            parts.append(
                f'<rect x="{left + 0.5:.1f}" y="{TOP + PLOT_HEIGHT - height:.1f}" width="{width:.1f}" '
                f'height="{height:.1f}" fill="var(--one)"><title>up to {edge:g} ms: {count:,}</title></rect>'
            )
    for row, (name, ms) in enumerate(marks.items()):
        x = across(min(max(ms, low), high))
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{TOP + PLOT_HEIGHT}" stroke="var(--ink)" '
            f'stroke-dasharray="3 3"/><text x="{x + 4:.1f}" y="{TOP + 11 + 14 * row}" class="strong">'
            f"{escape(name)} {ms:g} ms</text>"
        )
    return _svg(title, parts, HEIGHT)


def stacked(title: str, unit: str, rows: Mapping[str, Mapping[str, float]], colours: Mapping[str, str]) -> str:
    """One bar a row, divided; the parts are named below."""
    height = TOP + len(rows) * (BAR_HEIGHT + BAR_GAP) + BOTTOM
    longest = max((sum(parts.values()) for parts in rows.values()), default=0.0) or 1.0
    drawn = []
    for number, (name, parts) in enumerate(rows.items()):
        y, x = TOP + number * (BAR_HEIGHT + BAR_GAP), float(LEFT + 20)
        drawn.append(f'<text x="{LEFT + 12}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        for part, value in parts.items():
            width = value / longest * (PLOT_WIDTH - 20)
            if width >= 0.5:
                drawn.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{max(width - 1.5, 0.5):.1f}" height="{BAR_HEIGHT}" '
                    f'fill="var(--{colours.get(part, "muted")})"><title>{escape(name)}, {escape(part)}: '
                    f"{value:g} {escape(unit)}</title></rect>"
                )
            x += width
        drawn.append(
            f'<text x="{x + 6:.1f}" y="{y + 15}" class="strong">{sum(parts.values()):.2f} {escape(unit)}</text>'
        )
    x = float(LEFT + 20)
    for part, colour in colours.items():
        y = height - BOTTOM + 14
        drawn.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="var(--{colour})"/>')
        drawn.append(f'<text x="{x + 17}" y="{y}">{escape(part)}</text>')
        x += 34 + 7.5 * len(part)
    return _svg(title, drawn, height)


def nice_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, at least this."""
    power = 10.0 ** math.floor(math.log10(max(least, 1e-9)))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))


def nice_top(value: float) -> float:
    """Where an axis from zero ends: a whole number of its steps, not below `value`."""
    step = nice_step(max(value, 1e-6) / 4)
    return step * max(1, math.ceil(value / step - 1e-9))


def _ticks(top: float) -> list[float]:
    step = nice_step(top / 4)
    return [number * step for number in range(round(top / step) + 1)]


def _frame(unit: str, ticks: Sequence[tuple[float, float]], across: str) -> list[str]:
    """Horizontal lines with their numbers, and what the axes count."""
    parts = []
    for value, y in ticks:
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + PLOT_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--grid)"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,.10g}</text>')
    middle = TOP + PLOT_HEIGHT / 2
    parts.append(f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">{unit}</text>')
    parts.append(f'<text x="{LEFT + PLOT_WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{across}</text>')
    return parts


def _x_tick(x: float, words: str) -> str:
    return f'<text x="{x:.1f}" y="{TOP + PLOT_HEIGHT + 17}" text-anchor="middle">{words}</text>'


def _end_labels(labels: Sequence[tuple[float, Line]]) -> list[str]:
    """Names at the lines' ends, moved apart where they would lie on each other."""
    drawn, below = [], -math.inf
    for end, line in sorted(labels, key=lambda label: label[0]):
        y = below = max(end, below + 15)
        x = LEFT + PLOT_WIDTH + 8
        drawn.append(f'<rect x="{x}" y="{y - 5:.1f}" width="10" height="10" fill="var(--{line.colour})"/>')
        drawn.append(f'<text x="{x + 15}" y="{y + 4:.1f}">{escape(line.name)}</text>')
    return drawn


def _svg(title: str, parts: Sequence[str], height: float) -> str:
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {height:g}" role="img" '
        f'aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg></figure>'
    )
