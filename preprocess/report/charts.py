"""Curves of figures over the frames of a clip, with the limits that the doctor judges them by."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from hashhuman.page.charts import Axes
from preprocess.findings import Limits


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
        first, last = float(frames[0]), float(frames[-1])
        axes = Axes(f"{self.title}, {self.unit}", first, max(last, first + 1), 0.0, top)
        bands = [axes.band(frame - 0.5, frame + 0.5, "marked") for frame in frames[marked].tolist()]
        lines = [
            axes.line(limit, kind)
            for limit, kind in zip(self.limits, ("fine", "bad"))
            if limit is not None and limit <= top
        ]
        return axes.svg(*bands, *axes.grid, *lines, axes.curve(frames, values))
