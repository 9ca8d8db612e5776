"""Robust penalties and means, which outliers hardly influence."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def geman_mcclure(squared: Tensor, scale: float) -> Tensor:
    """Geman-McClure penalty of squared residuals: quadratic far below `scale`, and never more than scale^2."""
    return squared / (1 + squared / scale**2)


def charbonnier(residual: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch"]:
    """Charbonnier penalty: half the squared norm near zero, and the norm itself far from it.

    As a penalty on accelerations it suppresses jitter, but lets a jump pass.
    """
    return (1 + residual.square().sum(-1)).sqrt() - 1


def robust_mean(
    features: Float[Tensor, "F K C"], weight: Float[Tensor, "F K"], point: Int[Tensor, "F K"], points: int
) -> Float[Tensor, "F K C"]:
    """What most frames show of each skin point, returned for every observation of that point.

    Iteratively reweighted least squares: frames are weighted down by their distance from the mean, twice; the second
    reweighting multiplies the first.

    Args:
        features: of K observations in each frame, of about one where there is a pattern.
        weight: of each observation.
        point: which skin point each observation shows.
        points: how many skin points there are.
    """
    flat, at = features.flatten(0, 1), point.flatten()

    def mean(weight: Float[Tensor, "F K"]) -> Float[Tensor, "F K C"]:
        rows = torch.cat([flat * weight.flatten()[:, None], weight.flatten()[:, None]], 1)
        sums = rows.new_zeros(points, rows.shape[1]).index_add_(0, at, rows)
        return (sums[:, :-1] / sums[:, -1:].clamp_min(1e-6))[point]

    for _ in range(2):
        weight = weight / (1 + (features - mean(weight)).square().sum(-1) / 2).square()
    return mean(weight)
