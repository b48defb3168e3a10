"""Charts as inline SVG, drawn without any library: lines with bands, bars, axes that are linear, logarithmic or normal-deviate.

Colors stand in attributes, so that a chart saved alone looks as it should; classes (`paper`, `ink`, `soft`, `grid`, `s0`…) let a page's style sheet
override them, for dark screens.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

__all__ = ["COLORS", "Axis", "Series", "bar_chart", "line_chart"]

COLORS = ("#1f5fa8", "#c8472b", "#2f8a4e", "#8452a8", "#b98300", "#3c8d93")
WIDTH, HEIGHT = 460, 340
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 46, 46


@dataclass(frozen=True, slots=True)
class Axis:
    """A direction: its label, its ends, its scale ("probit" spreads rates as a normal distribution does) and its ticks."""

    label: str
    low: float
    high: float
    scale: Literal["linear", "log", "probit"] = "linear"
    ticks: tuple[float, ...] = ()

    def place(self, value: float) -> float:
        """Share of the way from `low` to `high`, cut to [0, 1]."""
        a, b, x = (self._bend(item) for item in (self.low, self.high, min(max(value, min(self.low, self.high)), max(self.low, self.high))))
        return (x - a) / (b - a) if b != a else 0.0

    def _bend(self, value: float) -> float:
        if self.scale == "log":
            return math.log10(max(value, 1e-300))
        return NormalDist().inv_cdf(min(max(value, 1e-12), 1 - 1e-12)) if self.scale == "probit" else value

    @property
    def marks(self) -> tuple[float, ...]:
        """Ticks: the given ones, else decades, else about five round numbers."""
        if self.ticks:
            return self.ticks
        if self.scale == "log":
            return tuple(10.0**k for k in range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1))
        rough = (self.high - self.low) / 5 or 1.0
        unit = 10.0 ** math.floor(math.log10(rough))
        step = unit * min((1, 2, 5, 10), key=lambda factor: abs(factor * unit - rough))
        first = math.ceil(self.low / step - 1e-9)
        return tuple(round(k * step, 12) for k in range(first, math.floor(self.high / step + 1e-9) + 1))


@dataclass(frozen=True, slots=True)
class Series:
    """A line through (x, y); `band` holds (x, low, high); `dots` marks points; `dashed` for references."""

    name: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    dots: bool = False
    dashed: bool = False


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)


def _frame(title: str, x: Axis, y: Axis) -> list[str]:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{html.escape(title)}" font-family="system-ui, sans-serif" font-size="11">',
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text class="ink" x="{LEFT}" y="18" font-size="13" font-weight="600" fill="#222">{html.escape(title)}</text>',
    ]
    for mark in x.marks:
        at = _x(x, mark)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#e3e3e3"/>')
        anchor = "end" if at > WIDTH - RIGHT - 12 and len(_number(mark)) > 3 else "middle"
        x_at = at + 8 if anchor == "end" else at
        parts.append(f'<text class="soft" x="{x_at:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="{anchor}" fill="#444">{_number(mark)}</text>')
    for mark in y.marks:
        at = _y(y, mark)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" stroke="#e3e3e3"/>')
        parts.append(f'<text class="soft" x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end" fill="#444">{_number(mark)}</text>')
    parts.append(
        f'<text class="ink" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle" fill="#222">{html.escape(x.label)}</text>'
    )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text class="ink" transform="translate(14 {middle}) rotate(-90)" text-anchor="middle" fill="#222">{html.escape(y.label)}</text>')
    return parts


def _legend(names: Sequence[str]) -> list[str]:
    """Names in a row between title and plot, where no line can run through them."""
    parts, left = [], float(LEFT)
    for k, name in enumerate(names if len(names) > 1 else []):
        parts.append(f'<rect class="s{k % len(COLORS)}" x="{left:.0f}" y="27" width="10" height="10" fill="{COLORS[k % len(COLORS)]}"/>')
        parts.append(f'<text class="ink" x="{left + 14:.0f}" y="36" fill="#222">{html.escape(name[:24])}</text>')
        left += 30 + 6.2 * len(name[:24])
    return parts


def _number(value: float) -> str:
    """A tick's label: whole numbers below a million as they are."""
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e6 else f"{value:.4g}"


def line_chart(title: str, series: Sequence[Series], x: Axis, y: Axis, legend: bool = True) -> str:
    """Lines with their bands."""
    parts = _frame(title, x, y)
    for k, item in enumerate(series):
        color, mark = ("#777", "dash") if item.dashed else (COLORS[k % len(COLORS)], f"s{k % len(COLORS)}")
        if item.band:
            upper = [f"{_x(x, at):.1f},{_y(y, high):.1f}" for at, _, high in item.band]
            lower = [f"{_x(x, at):.1f},{_y(y, low):.1f}" for at, low, _ in reversed(item.band)]
            parts.append(f'<polygon class="{mark}" points="{" ".join(upper + lower)}" fill="{color}" fill-opacity="0.18"/>')
        places = [(_x(x, a), _y(y, b)) for a, b in item.points]
        dash = ' stroke-dasharray="4 4"' if item.dashed else ""
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        parts.append(f'<polyline class="{mark}" points="{line}" fill="none" stroke="{color}" stroke-width="1.8"{dash}/>')
        if item.dots:
            parts += [f'<circle class="{mark}" cx="{a:.1f}" cy="{b:.1f}" r="2.6" fill="{color}"/>' for a, b in places]
    named = [item.name for item in series if not item.dashed]
    return "".join([*parts, *(_legend(named) if legend else []), "</svg>"])


def bar_chart(title: str, edges: Sequence[float], groups: Sequence[tuple[str, Sequence[float]]], x_label: str) -> str:
    """Histograms over common edges, each as shares of its own sum, one over the other."""
    shares = [(name, [value / max(sum(values), 1) for value in values]) for name, values in groups]
    top = max([value for _, values in shares for value in values] + [1e-9])
    x, y = Axis(x_label, edges[0], edges[-1]), Axis("share of comparisons", 0.0, top)
    parts = _frame(title, x, y)
    for k, (_, values) in enumerate(shares):
        for index, value in enumerate(values):
            if value:
                left, right, high = _x(x, edges[index]), _x(x, edges[index + 1]), _y(y, value)
                parts.append(
                    f'<rect class="s{k}" x="{left:.1f}" y="{high:.1f}" width="{max(right - left - 0.5, 0.5):.1f}" height="{HEIGHT - BOTTOM - high:.1f}" '
                    f'fill="{COLORS[k]}" fill-opacity="0.6"/>'
                )
    return "".join([*parts, *_legend([name for name, _ in shares]), "</svg>"])
