"""Charts as inline SVG, coloured by page.css."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Bool, Float, Int

Number = int | float
WIDTH, HEIGHT = 400, 190
_MOST = 4 * WIDTH  # points of a curve that are all drawn
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 8, 24  # margins for the numbers of the axes


@dataclasses.dataclass(frozen=True)
class Axes:
    """The axes of a chart.

    Args:
        title: name and unit of what is drawn.
        first, last: the values at the left and the right end.
        low, high: the values at the lower and the upper end.
        log: whether equal distances upwards are equal factors; `low` and `high` are then positive.
    """

    title: str
    first: Number
    last: Number
    low: Number
    high: Number
    log: bool = False

    def x(self, value: Number) -> float:
        """Place of a value to the right (pixels)."""
        return _LEFT + (value - self.first) / max(self.last - self.first, 1e-9) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: Number) -> float:
        """Place of a value upwards (pixels); values beyond an end are drawn there."""
        scale = math.log10 if self.log else float
        low, high = scale(self.low), scale(self.high)
        share = (scale(min(max(value, self.low), self.high)) - low) / max(high - low, 1e-9)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)

    def line(self, value: Number, kind: str) -> str:
        """A horizontal line at a value; `kind` is its class in page.css."""
        return f'<path class="{kind}" d="M{_LEFT} {self.y(value):.1f}H{WIDTH - _RIGHT}"/>'

    def band(self, first: Number, last: Number, kind: str) -> str:
        """A vertical band between two values."""
        left, width = self.x(first), self.x(last) - self.x(first)
        return (
            f'<rect class="{kind}" x="{left:.1f}" y="{_TOP}" width="{width:.1f}" '
            f'height="{HEIGHT - _TOP - _BOTTOM}"/>'
        )  # fmt: skip

    def curve(self, xs: np.ndarray, ys: np.ndarray, style: str = "") -> str:
        """A curve through points, in order; one that is not finite, or not positive on a log scale, leaves a gap.

        Of many points, only the least and the greatest in each column of pixels are drawn, and one that leaves a gap.

        Args:
            xs, ys: their values.
            style: CSS of this curve alone.
        """
        drawn = np.isfinite(ys) & ((ys > 0) | (not self.log))
        if len(xs) > _MOST:
            kept = _outline(np.floor([self.x(x) for x in xs.tolist()]), ys, drawn)
            xs, ys, drawn = xs[kept], ys[kept], drawn[kept]
        points = [(self.x(x), self.y(y)) if good else None for x, y, good in zip(xs.tolist(), ys.tolist(), drawn)]
        own = f' style="{style}"' if style else ""
        return f'<path class="curve"{own} d="{path_data(points)}"/>'

    @functools.cached_property
    def grid(self) -> list[str]:
        """Horizontal lines at round values, and the numbers of both axes."""
        levels = decades(self.low, self.high) if self.log else ticks(self.low, self.high, 4)
        parts = []
        for value in levels:
            parts.append(self.line(value, "grid"))
            text = f'<text x="{_LEFT - 5}" y="{self.y(value) + 3.5:.1f}" text-anchor="end">'
            parts.append(f"{text}{short(value)}</text>")
        for value in ticks(self.first, self.last, 6):
            parts.append(f'<text x="{self.x(value):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{value:g}</text>')
        return parts

    def svg(self, *parts: str) -> str:
        """The chart as an `<svg>` element, of parts that the methods above make, from back to front."""
        label = escape(self.title, quote=True)
        return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def axes_around(title: str, curves: Sequence[tuple[np.ndarray, np.ndarray]], log: bool = False) -> Axes | None:
    """Axes on which all curves have space; None if there is nothing to draw.

    Args:
        title: as for `Axes`.
        curves: the values to the right and upwards of each one.
        log: as for `Axes`; values that are not positive do not count.
    """
    xs = _finite(np.concatenate([np.zeros(0), *(x for x, _ in curves)]))
    ys = _finite(np.concatenate([np.zeros(0), *(y for _, y in curves)]))
    ys = ys[ys > 0] if log else ys
    if not len(ys):
        return None
    low, high = float(ys.min()), float(ys.max())
    if log:
        low, high = low / 1.2, high * 1.2
    else:
        margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
        low, high = low - margin, high + margin
    return Axes(title, 0.0, float(xs.max()), low, high, log)


def _finite(values: Float[np.ndarray, "N"]) -> Float[np.ndarray, "M"]:
    return values[np.isfinite(values)]


def _outline(
    columns: Float[np.ndarray, "N"], ys: Float[np.ndarray, "N"], drawn: Bool[np.ndarray, "N"]
) -> Int[np.ndarray, "M"]:
    """Which points draw a curve as all of them would, in order."""
    good, gaps = np.flatnonzero(drawn), np.flatnonzero(~drawn)
    good = good[np.lexsort((ys[good], columns[good]))]  # by columns, and in each upwards
    _, lowest, count = np.unique(columns[good], return_index=True, return_counts=True)
    _, first = np.unique(columns[gaps], return_index=True)
    return np.unique(np.concatenate([good[lowest], good[lowest + count - 1], gaps[first]]))


def path_data(points: Sequence[tuple[Number, Number] | None]) -> str:
    """The data of an SVG path through the points; None interrupts it, and a single point becomes a dot."""
    words, pen_down = [], False
    for point in points:
        if point is not None:
            words.append(f"{'L' if pen_down else 'M'}{point[0]:.1f} {point[1]:.1f}" + "h.01" * (not pen_down))
        pen_down = point is not None
    return "".join(words)


def short(value: Number) -> str:
    """A number as text that fits beside an axis."""
    text = f"{value:g}"
    return text if len(text) <= 6 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")


def ticks(low: Number, high: Number, most: int) -> list[Number]:
    """Round numbers from `low` to `high`, at most about `most` of them, at steps of 1, 2 or 5 times a power of ten."""
    span = max(high - low, 1e-9)
    power = 10 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= most)
    return [round(i * step, 10) for i in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def decades(low: Number, high: Number, most: int = 5) -> list[Number]:
    """Powers of ten between two positive numbers, or, if they are fewer than two, 1, 2 and 5 times such powers."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    inside = [[float(f"{m}e{p}") for p in powers for m in digits] for digits in ((1,), (1, 2, 5))]
    tens, finer = ([value for value in values if low <= value <= high] for values in inside)
    chosen = tens if len(tens) >= 2 else finer
    return chosen[:: max(1, math.ceil(len(chosen) / most))]
