"""A forest plot as SVG: one estimate with its interval per line, and a line at 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from protocols.text import one_line

LINE, TOP, NAME, PLOT, SAID = 26, 44, 190, 380, 230
"""Heights and widths in pixels."""
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1a1a1a } .axis { font-size: 11px; fill: #555 }
line { stroke: #555 } .grid { stroke: #ddd } .zero { stroke: #1a1a1a } .interval { stroke: #1f5fa8; stroke-width: 2 }
circle { stroke: #1f5fa8; stroke-width: 2; fill: #fff } circle.told { fill: #1f5fa8 }
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """One line of the plot: a value with its interval and the text `said` beside it. `told`: the value differs
    significantly from 0; its circle is filled."""

    name: str
    value: float
    interval: tuple[float, float]
    said: str
    told: bool


def forest_plot(title: str, marks: Sequence[Mark]) -> str:
    """The figure as a complete SVG file; all marks share one scale, which includes 0."""
    ends = [end for mark in marks for end in (*mark.interval, mark.value)]
    step = _step(max([0.0, *ends]) - min([0.0, *ends]) or 1.0)
    low, high = math.floor(min([0.0, *ends]) / step), math.ceil(max([0.0, *ends]) / step)
    high = max(high, low + 1)
    bottom = TOP + LINE * len(marks)

    def x(value: float) -> float:
        return NAME + PLOT * (value / step - low) / (high - low)

    drawn = [_text(8, 20, title)]
    for tick in range(low, high + 1):
        at = x(tick * step)
        drawn.append(_line(at, TOP - 8, at, bottom, "grid" if tick else "zero"))
        drawn.append(_text(at, bottom + 16, f"{tick * step:+.4g}" if tick else "0", "axis", "middle"))
    for place, mark in enumerate(marks):
        y = TOP + LINE * (place + 0.5)
        first, last = mark.interval
        drawn.append(_text(8, y + 4, mark.name, longest=26))
        drawn.append(_line(x(first), y, x(last), y, "interval"))
        drawn.append(f'<circle class="{"told" if mark.told else ""}" cx="{x(mark.value):.1f}" cy="{y:.1f}" r="5"/>')
        drawn.append(_text(NAME + PLOT + 14, y + 4, mark.said))
    width, height = NAME + PLOT + SAID, bottom + 28
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def _step(span: float) -> float:
    """The distance of ticks: 1, 2 or 5 times a power of ten, so that `span` has four to ten steps."""
    power = 10.0 ** math.floor(math.log10(span / 4))
    return next(power * factor for factor in (5, 2, 1) if span / (power * factor) >= 4)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start", longest: int = 100) -> str:
    shown = escape(one_line(text, longest))
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{shown}</text>'
