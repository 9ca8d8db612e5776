"""Terms of the training objective: small modules that take the `Prediction` of one step."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hashhuman.avatar.prediction import Prediction
from hashhuman.deformer.residual import Residual
from hashhuman.errors import UserError
from hashhuman.gpu.side_stream import SideStream
from hashhuman.pose.motion import accelerations
from hashhuman.renderer.volume import before

Needs = Literal["weights", "poses", "rays"]


class Loss(nn.Module):
    """A term of the objective.

    Args:
        weight: factor of the term in the sum; with 0 the term is not computed.
        start: share of the training, in [0, 1], before which the term is not computed either.
        every: steps between two computations of the term, which then counts as often.
    """

    needs: Needs = "rays"  # what of a step it reads; see `weighted_sum`
    on_patches = False  # whether it compares patches, which are drawn only while such a term is computed

    def __init__(self, weight: float, start: float = 0.0, every: int = 1) -> None:
        super().__init__()
        self.weight, self.start, self.every = weight, start, every

    def due(self, step: int) -> bool:
        """Whether the term is computed in a step, counted from 1."""
        return step % self.every == 0

    def check_patches(self, count: int, size: int) -> None:
        """Raises UserError, before training, if it cannot work with `count` patches of `size` pixels a side."""

    def forward(self, prediction: Prediction) -> Float[Tensor, ""]:
        """The unweighted term."""
        raise NotImplementedError


class ColorLoss(Loss):
    """Mean squared colour error over the batch's backgrounds; random ones also make empty space transparent."""

    def forward(self, prediction: Prediction) -> Float[Tensor, ""]:
        return per_ray(color_errors(prediction), prediction)


class MaskLoss(Loss):
    """Mean squared difference between opacity and the mask's coverage."""

    def forward(self, prediction: Prediction) -> Float[Tensor, ""]:
        return per_ray((prediction.rendering.alpha - prediction.batch.mask).square(), prediction)


class SparsityLoss(Loss):
    """Mean opacity of the rays that miss the person. Unlike the squared opacity, it also penalises a faint haze."""

    def forward(self, prediction: Prediction) -> Float[Tensor, ""]:
        return per_ray(prediction.rendering.alpha * (prediction.batch.mask == 0), prediction)


class DistortionLoss(Loss):
    """Concentrates the weights of a ray: Barron et al., "Mip-NeRF 360" (2022), Eq. 15, with distances in metres.

    The double sum over a ray's samples takes linear time with prefix sums, because t ascends along each ray.
    """

    def forward(self, prediction: Prediction) -> Float[Tensor, ""]:
        weights, samples = prediction.rendering.weights, prediction.rendering.samples
        between = 2 * weights * (samples.t * before(weights, samples) - before(weights * samples.t, samples))
        within = weights.square() * samples.delta / 3
        return (between + within).sum() / len(samples.complete)


class ResidualSizeLoss(Loss):
    """Mean length of the learned displacements (m), which keeps them as small as the images allow."""

    def forward(self, prediction: Prediction) -> Float[Tensor, ""]:
        residual = prediction.residual
        return prediction.rendering.alpha.new_zeros(()) if residual is None else mean_length(residual.value, residual)


class ResidualSmoothnessLoss(Loss):
    """Mean length of the difference (m) between displacements at neighbouring surface points."""

    def forward(self, prediction: Prediction) -> Float[Tensor, ""]:
        residual = prediction.residual
        if residual is None:
            return prediction.rendering.alpha.new_zeros(())
        return mean_length(residual.value - residual.nearby, residual)


class PatchLoss(Loss):
    """A distance between images, such as LPIPS, on the batch's patches.

    Args:
        weight, start: see `Loss`.
        distance: distance between images (B, 3, H, W); returns a scalar, or one value per image pair.
        data_range: range of colours that `distance` expects: [0, 1] or [-1, 1].

    Raises:
        UserError: when called with a batch without patches.
    """

    on_patches = True

    def __init__(self, weight: float, distance: nn.Module, data_range: Sequence[float], start: float = 0.0) -> None:
        super().__init__(weight, start)
        self.distance = distance
        self.low, self.high = data_range

    def check_patches(self, count: int, size: int) -> None:
        """Raises UserError if there are none, or they are smaller than the distance's attribute `smallest` says."""
        smallest = getattr(self.distance, "smallest", 1)
        if not count or size < smallest:
            raise UserError(
                f"A loss on patches needs patches of at least {smallest} pixels a side: set "
                f"data.ray_sampler.n_patches=1 or more, and data.ray_sampler.patch_size={max(size, smallest)}."
            )

    def forward(self, prediction: Prediction) -> Float[Tensor, ""]:
        batch = prediction.batch
        if batch.patch is None:
            raise UserError("A loss on patches needs patches in each batch: set data.ray_sampler.n_patches=1.")
        count = math.prod(batch.patch)
        seen = over_background(prediction)[:count], batch.color[:count]
        x, y = (colors.unflatten(0, batch.patch).permute(0, 3, 1, 2) for colors in seen)
        scale = self.high - self.low
        return self.distance(x * scale + self.low, y * scale + self.low).mean()


class PoseSmoothnessLoss(Loss):
    """Mean squared acceleration of the joints in the world, over the training frames, as m^2 per squared frame.

    It counts less where the person moves fast, and turning counts, too: `pose/motion.py` has both. Frames need not be
    evenly spaced; the unit of time is their usual distance. 0 while poses are fixed.

    Args:
        weight: see `Loss`.
        lever: metres from a joint at which turning counts.
    """

    needs = "poses"

    def __init__(self, weight: float, lever: float) -> None:
        super().__init__(weight)
        self.lever = lever

    def forward(self, prediction: Prediction) -> Float[Tensor, ""]:
        poses = prediction.poses
        if poses is None or len(poses.frames) < 3:
            return prediction.batch.mask.new_zeros(())
        found = accelerations(poses.chain, poses.world_from_posed, poses.frames, self.lever)
        return (poses.steady * found.square().sum((2, 3))).mean()


class PoseDistanceLoss(Loss):
    """Mean squared distance of the refined poses from the fit. 0 while poses are fixed.

    Args:
        weight: see `Loss`.
        transl: weight of a metre of translation against a radian of each joint.
    """

    needs = "poses"

    def __init__(self, weight: float, transl: float) -> None:
        super().__init__(weight)
        self.transl = transl

    def forward(self, prediction: Prediction) -> Float[Tensor, ""]:
        poses = prediction.poses
        if poses is None:
            return prediction.batch.mask.new_zeros(())
        return poses.rotation.square().sum(2).mean() + self.transl * poses.transl.square().sum(1).mean()


class ExposureLoss(Loss):
    """Mean squared logarithm of the training pictures' gains, over pictures and channels. 0 while exposure is fixed."""

    def forward(self, prediction: Prediction) -> Float[Tensor, ""]:
        if prediction.log_gains is None:
            return prediction.rendering.alpha.new_zeros(())
        return prediction.log_gains.square().mean()


def per_ray(errors: Float[Tensor, "N"], prediction: Prediction) -> Float[Tensor, ""]:
    """The mean over the complete rays: those whose samples all fit into the capacity."""
    complete = prediction.rendering.samples.complete
    return (errors * complete).sum() / complete.sum().clamp_min(1)


def color_errors(prediction: Prediction) -> Float[Tensor, "N"]:
    """The squared colour error of each ray, the mean of its channels."""
    return (over_background(prediction) - prediction.batch.color).square().mean(1)


def mean_length(vectors: Float[Tensor, "M 3"], residual: Residual) -> Float[Tensor, ""]:
    """Mean length over the rows in use; 0 if there are none."""
    return (vectors.norm(dim=1) * residual.real).sum() / residual.real.sum().clamp_min(1)


def over_background(prediction: Prediction) -> Float[Tensor, "N 3"]:
    """The rendered colours over the batch's backgrounds."""
    rendering = prediction.rendering
    return rendering.color + (1 - rendering.alpha[:, None]) * prediction.batch.background


def check_losses(losses: Mapping[str, Loss]) -> None:
    """Raises UserError, before training, if a step would have nothing to learn from, or a term needs what is unknown.

    Args:
        losses: all terms of the objective, by name.
    """
    chosen = {name: loss for name, loss in losses.items() if loss.weight}
    if all(loss.start or loss.every > 1 for loss in chosen.values()):
        raise UserError(
            "The first steps would have no loss: at least one, such as loss.color, needs a weight above 0, start=0 and "
            "every=1."
        )
    for name, loss in chosen.items():
        if loss.needs not in get_args(Needs):
            raise UserError(
                f"loss.{name} needs {loss.needs!r}: `needs` of its class must be one of {', '.join(get_args(Needs))}."
            )


def weighted_sum(
    losses: Mapping[str, Loss], prediction: Prediction, side: SideStream | None = None
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """The weighted sum of all terms whose weight is not 0, and each of these terms by name, unweighted.

    A term that is computed every n-th step has n times its weight.

    Args:
        side: made before the rays were rendered. Terms that need only the avatar's weights are computed there beside
            rendering, and terms that need only the poses of the step beside the other terms. None: all in turn.
    """
    side = side or SideStream(torch.device("cpu"))
    chosen = {name: loss for name, loss in losses.items() if loss.weight}

    def computed(needs: str) -> dict[str, Tensor]:
        return {name: loss(prediction) for name, loss in chosen.items() if loss.needs == needs}

    with side.beside():
        terms = computed("weights")
    if (poses := prediction.poses) is not None:
        side.wait(poses.chain, poses.world_from_posed)
    with side.beside():
        terms |= computed("poses")
    terms |= computed("rays")
    side.join()
    terms = {name: terms[name] for name in chosen}
    return torch.stack([chosen[name].weight * chosen[name].every * term for name, term in terms.items()]).sum(), terms


class CompletionLoss(Loss):
    """Teaches the field what the pictures leave open, at random places around the body's surface.

    Over body points that no picture shows, the field is opaque below the completed height and has the completed colour
    (`avatar/surface.py`). Over all body points, it is empty above the clothes. Zero without `callbacks.carve`.

    Args:
        weight, every: see `Loss`.
        per_part: number of places drawn for each part; a multiple of 128.
        seen: factor of the term over body points that pictures show, which decide there themselves.
        clearance: metres above the height of the surface from which on the field is empty.
        length: metres in which a place with the density 1 / length counts as half filled.
    """

    needs = "weights"

    def __init__(
        self, weight: float, per_part: int, seen: float, clearance: float, length: float, every: int = 1
    ) -> None:
        super().__init__(weight, every=every)
        self.per_part, self.seen, self.clearance, self.length = per_part, seen, clearance, length

    def forward(self, prediction: Prediction) -> Float[Tensor, ""]:
        surface, field = prediction.surface, prediction.field
        if surface is None or field is None:
            return prediction.batch.mask.new_zeros(())
        places = surface.draw(self.per_part)
        color, density = field(places.pairs)
        optical = density * self.length
        empty = (places.above > self.clearance) | (places.above_ceiling > self.clearance)
        solid = places.unseen & (places.above < 0) & ~empty
        colored = places.unseen & (places.above < self.clearance)
        error = (color - places.color).square().mean(1)
        # Unlike the opacity, 1 - exp(-optical), this share still has a slope where something opaque must vanish.
        filled = optical / (1 + optical)
        open_ = torch.where(places.unseen, 1.0, self.seen)
        return (open_ * (filled * empty + (1 - filled) * solid + error * colored)).mean()
