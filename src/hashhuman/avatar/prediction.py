"""What an avatar makes of rays, and what losses may see of it."""

import dataclasses

from torch import nn

from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.data.batch import RayBatch
from hashhuman.deformer.pairs import CanonicalPairs
from hashhuman.deformer.residual import Residual
from hashhuman.gpu.capacity import RayNeeds
from hashhuman.renderer.volume import Rendering


@dataclasses.dataclass(frozen=True)
class RayOutputs:
    """Rendered rays, and how they came about."""

    rendering: Rendering
    pairs: CanonicalPairs  # the samples in canonical space, with the residual added
    residual: Residual | None  # learned displacements of the pairs; None where the deformer learns none
    needs: RayNeeds


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Everything that a loss may look at after the forward pass of one step.

    What an avatar of another kind does not have is None.
    """

    batch: RayBatch
    rendering: Rendering
    needs: RayNeeds | None = None
    pairs: CanonicalPairs | None = None
    residual: Residual | None = None
    bodies: PosedBodies | None = None  # differentiable with respect to the poses
    field: nn.Module | None = None  # the canonical field, for losses that query it elsewhere
