"""Gradients of poses, blurred over time: neighbouring frames are wrong in the same way, and correct each other.

One frame gets few of a step's rays, so that its own gradient is mostly noise, of which Adam makes steps as large as of
a trend. A blur over the frames (a Sobolev gradient) averages the noise, and moves whole stretches of frames out of a
wrong pose at first. It narrows in training, so that each frame finds its own pose in the end.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

REACH = 3  # half of the window, in deviations
EVERY = 20  # steps between two changes of the deviation


class GradientBlur:
    """A Gaussian over the frames' times, whose deviation shrinks geometrically from `first` to `last`.

    Args:
        first: deviation at first (frames).
        last: deviation from `steps` on (frames).
        steps: steps until then.
    """

    def __init__(self, first: float, last: float, steps: int) -> None:
        self.first, self.last, self.steps = first, last, steps
        self.weights = torch.empty(0)

    def start(self, times: Float[Tensor, "F"], step: int) -> None:
        """Takes the frames' times, ascending; the usual distance between two of them is 1."""
        reach = min(math.ceil(REACH * max(self.first, self.last)), len(times) - 1)  # no frame lies farther
        padded = torch.nn.functional.pad(times, (reach, reach), value=math.inf)
        self.distance = padded.unfold(0, 2 * reach + 1, 1) - times[:, None]
        self.weights = torch.empty_like(self.distance)
        self._weigh(step)

    def after_step(self, step: int) -> None:
        """Narrows the Gaussian, in place, every `EVERY` steps."""
        if step % EVERY == 0 and step < self.steps + EVERY:
            self._weigh(step)

    def _weigh(self, step: int) -> None:
        progress = min(1.0, step // EVERY * EVERY / self.steps)
        deviation = self.first * (self.last / self.first) ** progress
        self.weights.copy_(torch.exp(-0.5 * (self.distance / deviation).square()))
        self.weights.div_(self.weights.sum(1, keepdim=True))

    def __call__(
        self, rotation: Float[Tensor, "F J 3"], transl: Float[Tensor, "F 3"]
    ) -> tuple[Float[Tensor, "F J 3"], Float[Tensor, "F 3"]]:
        """The same corrections; the gradients that come back through them are blurred."""
        both = _Blurred.apply(torch.cat([rotation.flatten(1), transl], 1), self.weights)
        return both[:, :-3].unflatten(1, (-1, 3)), both[:, -3:]


class _Blurred(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Float[Tensor, "F C"], weights: Float[Tensor, "F W"]) -> Float[Tensor, "F C"]:  # type: ignore[override]
        ctx.save_for_backward(weights)
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: Float[Tensor, "F C"]):  # type: ignore[override]
        (weights,) = ctx.saved_tensors
        width = weights.shape[1]
        windows = torch.nn.functional.pad(gradient, (0, 0, width // 2, width // 2)).unfold(0, width, 1)
        return (windows @ weights[:, :, None])[:, :, 0], None
