"""Curves over the frames of a clip as inline SVG, coloured by page.css."""

import dataclasses
import math
from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Bool, Float, Int

from preprocess.findings import Limits

WIDTH, HEIGHT = 400, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 8, 8, 24  # margins for the numbers of the axes


@dataclasses.dataclass(frozen=True)
class Chart:
    """One figure over the frames of a clip.

    Args:
        title: its name.
        unit: its unit.
        limits: drawn as lines, unless they lie above the chart.
        top: the highest value shown; None makes space for the curve and the first limit.
    """

    title: str
    unit: str
    limits: Limits
    top: float | None = None

    def svg(self, frames: Int[np.ndarray, "F"], values: Float[np.ndarray, "F"], marked: Bool[np.ndarray, "F"]) -> str:
        """The chart as an `<svg>` element.

        Args:
            frames: numbers of the F frames, ascending.
            values: of the figure; NaN leaves a gap.
            marked: frames that get a darker background.
        """
        known = values[np.isfinite(values)]
        top = self.top or max(1.1 * float(known.max(initial=0)), 1.25 * (self.limits[0] or 0), 1e-6)
        span = max(int(frames[-1] - frames[0]), 1)

        def x(frame: float) -> float:
            return _LEFT + (frame - frames[0]) / span * (WIDTH - _LEFT - _RIGHT)

        def y(value: float) -> float:
            return HEIGHT - _BOTTOM - min(value, top) / top * (HEIGHT - _TOP - _BOTTOM)

        parts = [*self._background(x, frames[marked].tolist()), *self._grid(x, y, frames, top)]
        for limit, kind in zip(self.limits, ("fine", "bad")):
            if limit is not None and limit <= top:
                parts.append(f'<path class="{kind}" d="M{_LEFT} {y(limit):.1f}H{WIDTH - _RIGHT}"/>')
        points = [(x(frame), y(value)) if np.isfinite(value) else None for frame, value in zip(frames, values)]
        parts.append(f'<path class="curve" d="{path_data(points)}"/>')
        label = escape(f"{self.title}, {self.unit}", quote=True)
        return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'

    def _background(self, x, frames: Sequence[int]) -> list[str]:
        half = (x(1) - x(0)) / 2
        return [
            f'<rect class="marked" x="{x(frame) - half:.1f}" y="{_TOP}" width="{2 * half:.1f}" '
            f'height="{HEIGHT - _TOP - _BOTTOM}"/>'
            for frame in frames
        ]

    def _grid(self, x, y, frames: np.ndarray, top: float) -> list[str]:
        parts = []
        for value in ticks(0, top, 4):
            parts.append(f'<path class="grid" d="M{_LEFT} {y(value):.1f}H{WIDTH - _RIGHT}"/>')
            parts.append(f'<text x="{_LEFT - 5}" y="{y(value) + 3.5:.1f}" text-anchor="end">{value:g}</text>')
        for frame in ticks(float(frames[0]), float(frames[-1]), 6):
            parts.append(f'<text x="{x(frame):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{frame:g}</text>')
        return parts


def path_data(points: Sequence[tuple[float, float] | None]) -> str:
    """The data of an SVG path through the points; None interrupts it, and a single point becomes a dot."""
    words, pen_down = [], False
    for point in points:
        if point is not None:
            words.append(f"{'L' if pen_down else 'M'}{point[0]:.1f} {point[1]:.1f}" + "h.01" * (not pen_down))
        pen_down = point is not None
    return "".join(words)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from `low` to `high`, at most about `most` of them, at steps of 1, 2 or 5 times a power of ten."""
    span = max(high - low, 1e-9)
    power = 10 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= most)
    return [round(i * step, 10) for i in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]
