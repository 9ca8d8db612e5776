"""A step captured once as a CUDA graph and replayed.

A step launches hundreds of small kernels, which the GPU finishes several times faster than the host can launch them.
A graph needs fixed sizes, so samples and rows get capacities: what earlier steps needed, with some slack.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from hashhuman.errors import UserError
from hashhuman.gpu.capacity import RayCapacity
from hashhuman.gpu.cuda_graph import capture, on_side_stream
from hashhuman.gpu.part_rows import padded
from hashhuman.training.step.eager import EagerStep, Objective, StepResult

SLACK = 1.15  # capacity over the most that was needed
MAX_RAY_FACTOR = 6.0  # times as many rays as at first
CHECK_EVERY = 300  # steps between two checks that capacities suffice, for which the host waits


class GraphStep:
    """The work of `EagerStep` in one launch. The first calls are eager and measure; then the step is captured.

    As training learns what is empty, rays need fewer samples. So the step is captured again now and then, with as many
    more rays as the sample capacity of the first capture holds; and at once where a capacity no longer suffices.

    Args:
        objective, optimizer: as for `EagerStep`; the optimizer must be one of torch's that can be captured (Adam,
            AdamW), and is told to be.
        measured_steps: eager steps that measure what the first capture needs.
        first_revision: captured steps after which the number of rays is adapted; then again after twice as many, and so
            on.
        obstacle: what keeps the objective from being captured, as a clause; None if nothing does.

    Raises UserError without a GPU, and with an obstacle.
    """

    def __init__(
        self,
        objective: Objective,
        optimizer: Optimizer,
        measured_steps: int = 4,
        first_revision: int = 300,
        obstacle: str | None = None,
    ) -> None:
        if obstacle is not None:
            raise UserError(f"step=graph cannot be used, since {obstacle}: use step=eager or step=auto.")
        device = device_of(optimizer)
        if device.type != "cuda":
            raise UserError("step=graph captures CUDA graphs and needs a GPU: use step=eager")
        for group in optimizer.param_groups:  # a number would be captured as it is now
            group["lr"] = torch.tensor(float(group["lr"]), device=device)
            group |= {"capturable": True, "fused": True, "foreach": False}
        self.eager = EagerStep(objective, optimizer)
        self.measured_steps, self.next_revision = measured_steps, first_revision
        self.calls, self.captured_at = 0, 0
        self.ray_factor = 1.0  # rays, over the first number
        self.sample_budget: int | None = None  # samples that a step may need: those of the first steps
        self.most: Tensor | None = None  # samples, then rows of each part: the most needed since the last capture
        self.capacity = RayCapacity(0, ())  # of the last capture
        self.graph: torch.cuda.CUDAGraph | None = None
        self.result: StepResult

    def __call__(self) -> StepResult:
        """Takes one step; the next one overwrites the tensors that it returns."""
        self.calls += 1
        if self.calls <= self.measured_steps:
            result = self.eager()
            self._measure(result)
            return result
        since = self.calls - self.captured_at
        if self.graph is None:
            if self.sample_budget is None:
                self.sample_budget = self._needed()[0]
            return self._revise()
        if since >= self.next_revision:
            self.next_revision *= 2
            return self._revise()
        if since % CHECK_EVERY == 0 and any(
            needed > capacity for needed, capacity in zip(self._needed(), self.capacity.sizes())
        ):
            return self._revise()
        self.graph.replay()
        return self.result

    def invalidate(self) -> None:
        """To be called when memory that the graph reads was replaced: the next step is captured again."""
        self.graph = None

    def _measure(self, result: StepResult) -> None:
        """Remembers the most that was needed, on the device."""
        if result.needs is None:
            raise UserError("step=graph needs an avatar that says what capacity it needs: use step=eager")
        needed = torch.cat([result.needs.samples, result.needs.rows]).float()
        if self.most is None:
            self.most = needed.clone()
        else:
            torch.maximum(self.most, needed, out=self.most)

    def _needed(self) -> list[int]:
        """Samples, then rows of each part, for which the host waits."""
        assert self.most is not None
        return [int(size) for size in self.most.tolist()]

    def _revise(self) -> StepResult:
        """Plans for what was needed, takes one step eagerly with the new sizes, and captures the next ones."""
        samples, *rows = self._needed()
        self.ray_factor, self.capacity = plan(samples, rows, self.ray_factor, self.sample_budget or 0)
        self.captured_at = self.calls
        self.graph = None  # frees its memory before the next one

        def step() -> StepResult:
            result = self.eager(self.ray_factor, self.capacity)
            self._measure(result)
            return result

        assert self.most is not None
        self.most.zero_()
        result = on_side_stream(step)
        self.eager.optimizer.zero_grad(set_to_none=True)  # so that gradients, too, live in the graph's memory
        self.graph, self.result = capture(step)
        return result


def plan(samples: int, rows: Sequence[int], ray_factor: float, sample_budget: int) -> tuple[float, RayCapacity]:
    """How many rays to draw from now on, and the capacity for what they need.

    Args:
        samples, rows: the most that a step needed: samples, and rows of each part.
        ray_factor: the rays that it drew, over the first number.
        sample_budget: the samples that a step may need; 0 if the first steps needed none.

    Returns:
        The new factor, and a capacity with some slack.
    """
    factor = min(ray_factor * max(sample_budget, 1) / max(samples, 1), MAX_RAY_FACTOR)
    growth = SLACK * factor / ray_factor
    sizes = [padded(max(1, math.ceil(needed * growth))) for needed in (samples, *rows)]
    return factor, RayCapacity(sizes[0], tuple(sizes[1:]))


def device_of(optimizer: Optimizer) -> torch.device:
    """Where the parameters are."""
    return optimizer.param_groups[0]["params"][0].device
