"""Losses: small callables over one step's outputs."""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.data.batch import RayBatch
from hashhuman.renderer.volume import Rendering


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the avatar made of a batch of rays."""

    rendering: Rendering
    residual: Float[Tensor, "M 3"] | None  # displacements of the samples' canonical positions (m)


class Loss:
    """A term of the objective.

    Args:
        weight: its factor in the sum; 0 leaves it out.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, prediction: Prediction, batch: RayBatch) -> Float[Tensor, ""]:
        """The unweighted term."""
        raise NotImplementedError


class ColorLoss(Loss):
    """Mean squared colour error over the batch's random backgrounds, which carve free space as well."""

    def __call__(self, prediction: Prediction, batch: RayBatch) -> Float[Tensor, ""]:
        rendering = prediction.rendering
        color = rendering.color + (1 - rendering.alpha[:, None]) * batch.background
        return (color - batch.color).square().mean()


class MaskLoss(Loss):
    """Mean squared error of the opacity against the mask's coverage."""

    def __call__(self, prediction: Prediction, batch: RayBatch) -> Float[Tensor, ""]:
        return (prediction.rendering.alpha - batch.mask).square().mean()


class DistortionLoss(Loss):
    """Pulls a ray's weights together: Barron et al., "Mip-NeRF 360" (2022), Eq. 15, with distances in metres.

    The double sum over samples is computed in linear time from prefix sums, since t ascends along each ray.
    """

    def __call__(self, prediction: Prediction, batch: RayBatch) -> Float[Tensor, ""]:
        weights, samples = prediction.rendering.weights, prediction.rendering.samples
        weight_before = weights.cumsum(1) - weights
        moment_before = (weights * samples.t).cumsum(1) - weights * samples.t
        between = 2 * (weights * (samples.t * weight_before - moment_before)).sum(1)
        within = (weights.square() * samples.delta).sum(1) / 3
        return (between + within).mean()


class ResidualLoss(Loss):
    """Mean squared length of the learned displacements (m^2): skinning explains what it can."""

    def __call__(self, prediction: Prediction, batch: RayBatch) -> Float[Tensor, ""]:
        if prediction.residual is None or not len(prediction.residual):
            return batch.color.new_zeros(())
        return prediction.residual.square().sum(1).mean()


class OpacityLoss(Loss):
    """Entropy of the rays' opacity: a pixel is the person or is not."""

    def __call__(self, prediction: Prediction, batch: RayBatch) -> Float[Tensor, ""]:
        alpha = prediction.rendering.alpha.clamp(1e-4, 1 - 1e-4)
        return -(alpha * alpha.log() + (1 - alpha) * (1 - alpha).log()).mean()


def weighted_sum(
    losses: dict[str, Loss], prediction: Prediction, batch: RayBatch
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """The objective, and each unweighted term by name."""
    terms = {name: loss(prediction, batch) for name, loss in losses.items() if loss.weight}
    return torch.stack([losses[name].weight * term for name, term in terms.items()]).sum(), terms
