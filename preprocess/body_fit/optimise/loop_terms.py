"""The terms of the objective on a CPU: those of the skin are computed in loops."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from hashhuman.cpu.loops import array
from preprocess.body_fit.evidence.evidence import Evidence
from preprocess.body_fit.evidence.flow import AHEAD
from preprocess.body_fit.optimise import term_loops
from preprocess.body_fit.optimise.terms import Terms
from preprocess.body_fit.sequence import BodySequence, Posed


class LoopTerms(Terms):
    """The same terms for a sequence on the CPU, those of the skin in loops (`term_loops`)."""

    def __init__(self, sequence: BodySequence, evidence: Evidence) -> None:
        super().__init__(sequence, evidence)
        e = self.evidence
        self.outline, self.motion, self.contrast = (
            (array(maps.movedim(1, -1)), array(window.origin), array(window.step))
            for maps, window in (
                (e.silhouettes.distance, e.silhouettes), (e.flow.motion, e.flow), (e.texture.contrast, e.texture),
            )
        )  # fmt: skip
        outlines = e.silhouettes
        self.rim = array(outlines.points), array(outlines.normals), outlines.point_valid.numpy()

    def _scale(self, deviation: float) -> Float[np.ndarray, "F"]:
        """Deviations (m) a pixel in each frame."""
        return array(self.metres_per_pixel() / deviation)

    def inside(self, posed: Posed) -> Tensor:
        scale = self._scale(0.02) * self.evidence.silhouettes.valid.numpy()
        return term_loops.inside(posed.vertices, self.evidence.K, *self.outline, scale, 8.0)

    def contour(self, posed: Posed) -> Tensor:
        rim = self.correspondences.rim
        return term_loops.contour(posed.vertices, self.evidence.K, rim, *self.rim, self._scale(0.02), 6.0)

    def flow(self, posed: Posed) -> Tensor:
        seen = self.correspondences.seen, self.correspondences.counts
        return term_loops.flow(posed.vertices, self.evidence.K, *seen, *self.motion, self._scale(0.006), 4.0, AHEAD)

    def texture(self, posed: Posed) -> Tensor:
        seen = self.correspondences.seen, self.correspondences.counts
        return term_loops.texture(posed.vertices, self.evidence.K, *seen, *self.contrast, 2.0, 3.0)
