"""The results of rendering rays, and the part of them that losses may use."""

import dataclasses

from jaxtyping import Float
from torch import Tensor, nn

from hashhuman.avatar.surface import Surface
from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.data.batch import RayBatch
from hashhuman.deformer.pairs import CanonicalPairs
from hashhuman.deformer.residual import Residual
from hashhuman.gpu.capacity import RayNeeds
from hashhuman.pose.table import PosedTable
from hashhuman.renderer.volume import Rendering


@dataclasses.dataclass(frozen=True)
class RayOutputs:
    """Rendered rays with the intermediate results that led to them."""

    rendering: Rendering
    pairs: CanonicalPairs  # the samples in canonical space, with the residual added
    residual: Residual | None  # learned displacements of the pairs; None where the deformer learns none
    needs: RayNeeds


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Everything that a loss may use after the forward pass of one step.

    Fields that an avatar of another kind does not provide are None.
    """

    batch: RayBatch
    rendering: Rendering  # in training, its colours are exposed as the pictures
    needs: RayNeeds | None = None
    pairs: CanonicalPairs | None = None
    residual: Residual | None = None
    bodies: PosedBodies | None = None  # differentiable with respect to the poses
    poses: PosedTable | None = None  # the training frames' poses; None while they are not refined
    log_gains: Float[Tensor, "P 3"] | None = None  # of the training pictures; None while exposure is fixed
    field: nn.Module | None = None  # the canonical field, for losses that query it elsewhere
    surface: Surface | None = None  # what the field shows over the body, completed; None if nothing was carved
