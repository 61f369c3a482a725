"""Small SVG charts without a library: horizontal bars, and lines over a logarithmic axis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OURS = "#0b6e4f"
COLORS = ("#0b6e4f", "#c8553d", "#3d5a80", "#8e7dbe", "#b08900", "#5f6b6d", "#d17b88", "#4f9da6")
FONT = "font-family='system-ui, sans-serif'"


@dataclass(frozen=True)
class Bar:
    """One bar: its value, the low and high end of its spread, and whether it is ours."""

    label: str
    value: float
    low: float
    high: float
    ours: bool = False


def short(value: float) -> str:
    """Up to three significant digits, with k or M for large numbers."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def text(x: float, y: float, content: str, anchor: str = "start", size: int = 13) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' "
        f"fill='#222'>{escape(content)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, color: str = "#ccc", width: float = 1) -> str:
    return (
        f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' "
        f"stroke='{color}' stroke-width='{width}'/>"
    )


def document(width: int, height: int, parts: Sequence[str]) -> str:
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' "
        f"width='{width}' height='{height}' {FONT}>"
    )
    return "\n".join([head, "<rect width='100%' height='100%' fill='white'/>", *parts, "</svg>\n"])


def bar_chart(title: str, unit: str, bars: Sequence[Bar]) -> str:
    """Horizontal bars from zero with their spread, ours in colour. Less is better."""
    left, row, width = 170, 30, 760
    scale = (width - left - 90) / max((bar.high for bar in bars), default=1.0)
    parts = [text(16, 26, title, size=16), text(16, 46, f"{unit}, less is better", size=12)]
    for index, bar in enumerate(bars):
        y = 62 + index * row
        color = OURS if bar.ours else "#b9c0c2"
        parts.append(text(left - 10, y + 16, bar.label, "end"))
        parts.append(
            f"<rect x='{left}' y='{y}' width='{bar.value * scale:.1f}' height='22' fill='{color}'/>"
        )
        low, high = left + bar.low * scale, left + bar.high * scale
        parts.append(line(low, y + 11, high, y + 11, "#222", 1.5))
        parts.append(text(high + 8, y + 16, short(bar.value)))
    return document(width, 74 + len(bars) * row, parts)


def line_chart(
    title: str, x_unit: str, y_unit: str, series: Mapping[str, Sequence[tuple[float, float]]]
) -> str:
    """One line per series; x is logarithmic, y starts at zero."""
    left, top, right, bottom, width, height = 80, 60, 600, 350, 860, 400
    points = [point for values in series.values() for point in values]
    if not points:
        return document(width, height, [text(16, 26, title, size=16)])
    xs = sorted({x for x, _ in points})
    first, last = math.log(xs[0]), math.log(xs[-1])
    y_top = nice(max(y for _, y in points))

    def across(x: float) -> float:
        return left + (math.log(x) - first) / ((last - first) or 1) * (right - left)

    def up(y: float) -> float:
        return bottom - y / y_top * (bottom - top)

    parts = [text(16, 26, title, size=16), text(16, 46, y_unit, size=12)]
    for step in range(5):
        value = y_top * step / 4
        parts.append(line(left, up(value), right, up(value)))
        parts.append(text(left - 8, up(value) + 4, short(value), "end", 12))
    parts += [text(across(x), bottom + 18, short(x), "middle", 12) for x in xs]
    parts.append(text((left + right) / 2, bottom + 38, x_unit, "middle", 12))
    for index, (name, values) in enumerate(series.items()):
        color = COLORS[index % len(COLORS)]
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in values)
        parts.append(f"<polyline points='{path}' fill='none' stroke='{color}' stroke-width='2'/>")
        parts += [
            f"<circle cx='{across(x):.1f}' cy='{up(y):.1f}' r='3' fill='{color}'/>"
            for x, y in values
        ]
        y = top + 8 + index * 20
        parts += [
            line(right + 16, y, right + 36, y, color, 3),
            text(right + 42, y + 4, name, size=12),
        ]
    return document(width, height, parts)


def nice(value: float) -> float:
    """The next of 1, 2, 4, 5, 8, 10 times a power of ten at or above the value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value * 0.999)
