"""Gains of the training pictures: `exposure=fixed` or `exposure=learned`.

A camera that chooses exposure and white balance for each picture multiplies the light of the whole scene by a number
for each channel. Pictures hold encoded values, which are nearly a power of the light, and a power of a product is the
product of the powers: so encoded values are multiplied by a gain, too.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hashhuman.errors import UserError


class FixedExposure(nn.Module):
    """`exposure=fixed`: all pictures were taken alike. It has no parameters, and launches nothing.

    Args:
        n_pictures: number of training pictures.
    """

    def __init__(self, n_pictures: int) -> None:
        super().__init__()

    def log_gains(self) -> None:
        """None: all gains are 1."""

    def expose(
        self, color: Float[Tensor, "N 3"], pictures: Int[Tensor, "N"] | None, log_gains: None
    ) -> Float[Tensor, "N 3"]:
        """The colours themselves."""
        return color

    def parameter_groups(self) -> list[dict[str, Any]]:
        """No groups."""
        return []


class LearnedExposure(nn.Module):
    """`exposure=learned`: a gain for each training picture and channel, learned with the avatar, at first 1.

    The logarithms of the gains have the mean zero over the pictures, so that the avatar keeps the colours of the
    pictures' mean. The gains are those of the training pictures alone: whatever else is rendered has a gain of 1.

    Args:
        n_pictures: P, the number of training pictures.
        lr: learning rate of the logarithms.
        warmup_steps: steps in which the learning rate rises: the first steps know no colours yet.
    """

    def __init__(self, n_pictures: int, lr: float, warmup_steps: int) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(n_pictures, 3))  # logarithms of gains, up to a common one
        self.lr, self.warmup_steps = lr, warmup_steps

    def log_gains(self) -> Float[Tensor, "P 3"]:
        """Natural logarithms of the gains (RGB) of all training pictures; differentiable."""
        return self.raw - self.raw.mean(0)

    def expose(
        self, color: Float[Tensor, "N 3"], pictures: Int[Tensor, "N"] | None, log_gains: Float[Tensor, "P 3"]
    ) -> Float[Tensor, "N 3"]:
        """Colours as the cameras took them. Sizes are fixed, and nothing is read back to the host.

        Args:
            color: what the avatar radiates, RGB; may be multiplied by the opacity.
            pictures: which training picture each row belongs to.
            log_gains: what `log_gains` returned.

        Raises:
            UserError: if it is not known which picture a ray belongs to.
        """
        if pictures is None:
            raise UserError("exposure=learned needs batches that know their pictures: use exposure=fixed.")
        return color * log_gains.exp().index_select(0, pictures)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """One group, with a learning rate of its own and a `factor` of it at each step."""
        return [{"params": [self.raw], "name": "exposure", "lr": self.lr, "factor": self._factor}]

    def _factor(self, step: int) -> float:
        return min(1.0, (step + 1) / max(self.warmup_steps, 1))


Exposure = FixedExposure | LearnedExposure
ExposureFactory = Callable[..., Exposure]  # called with `n_pictures`
