"""A step recorded once as a CUDA graph and replayed.

The step launches hundreds of small kernels, which the GPU finishes several times faster than the host can launch them
one by one. A graph needs fixed sizes, so samples and rows get room for what earlier steps needed, and some more.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from hashhuman.errors import UserError
from hashhuman.gpu.capacity import RayCapacity
from hashhuman.gpu.cuda_graph import on_side_stream, record
from hashhuman.gpu.part_rows import padded
from hashhuman.training.step.eager import EagerStep, Objective, Outcome

SLACK = 1.15  # capacity, over the most that was needed
MOST_RAYS = 6.0  # times as many as at first
LOOK = 300  # steps between two looks at whether there is room enough, for which the host waits


class GraphStep:
    """`EagerStep`'s work in one launch. The first calls are eager and measure; then the step is recorded.

    As training learns what is empty, rays need fewer samples. The step is recorded anew now and then, with as many more
    rays as the room of the first recording holds; and at once where room has become short.

    Args:
        objective, optimizer: as for `EagerStep`; the optimizer must be one of torch's that can be recorded (Adam,
            AdamW), and is told to be.
        measured_steps: eager steps that measure what the first recording needs.
        first_revision: recorded steps after which the number of rays is adapted; then again after twice as many, and so
            on.

    Raises UserError without a GPU.
    """

    def __init__(
        self,
        objective: Objective,
        optimizer: Optimizer,
        measured_steps: int = 4,
        first_revision: int = 300,
    ) -> None:
        device = device_of(optimizer)
        if device.type != "cuda":
            raise UserError("step=graph records CUDA graphs and needs a GPU: use step=eager")
        for group in optimizer.param_groups:  # a number would be recorded once and for all
            group["lr"] = torch.tensor(float(group["lr"]), device=device)
            group |= {"capturable": True, "fused": True, "foreach": False}
        self.eager = EagerStep(objective, optimizer)
        self.measured_steps, self.revision = measured_steps, first_revision
        self.calls, self.recorded_at = 0, 0
        self.share, self.budget = 1.0, 0  # rays, as a factor of the first number; samples a step
        self.most: Tensor | None = None  # samples, then rows of each part: the most needed since the last recording
        self.capacity = RayCapacity(0, ())  # of the last recording
        self.graph: torch.cuda.CUDAGraph | None = None
        self.result: Outcome

    def __call__(self) -> Outcome:
        """Takes one step; the tensors it returns are overwritten by the next one."""
        self.calls += 1
        if self.calls <= self.measured_steps:
            result = self.eager()
            self._note(result)
            return result
        since = self.calls - self.recorded_at
        if self.graph is None:
            self.budget = self._needed()[0]
            return self._revise()
        if since >= self.revision:
            self.revision *= 2
            return self._revise()
        if since % LOOK == 0 and any(needed > room for needed, room in zip(self._needed(), self.capacity.sizes())):
            return self._revise()
        self.graph.replay()
        return self.result

    def _note(self, outcome: Outcome) -> None:
        """Remembers the greatest needed, on the device."""
        needed = torch.cat([outcome.needed.samples, outcome.needed.rows]).float()
        if self.most is None:
            self.most = needed.clone()
        else:
            torch.maximum(self.most, needed, out=self.most)

    def _needed(self) -> list[int]:
        """Samples, then rows of each part, for which the host waits."""
        assert self.most is not None
        return [int(size) for size in self.most.tolist()]

    def _revise(self) -> Outcome:
        """Plans for what was needed, takes one step eagerly with the new sizes, and records the next ones."""
        samples, *rows = self._needed()
        self.share, self.capacity = plan(samples, rows, self.share, self.budget)
        self.recorded_at = self.calls
        self.graph = None  # frees its memory before the next one

        def step() -> Outcome:
            result = self.eager(self.share, self.capacity)
            self._note(result)
            return result

        assert self.most is not None
        self.most.zero_()
        result = on_side_stream(step)
        self.eager.optimizer.zero_grad(set_to_none=True)  # so that gradients, too, live in the graph's memory
        self.graph, self.result = record(step)
        return result


def plan(samples: int, rows: Sequence[int], share: float, budget: int) -> tuple[float, RayCapacity]:
    """How many rays to draw from now on, and the room for what they need.

    Args:
        samples, rows: the most that a step needed: samples, and rows of each part.
        share: the rays that it drew, as a factor of the first number.
        budget: the samples that a step may need; 0 if the first steps needed none.

    Returns:
        The new share, and room with some slack.
    """
    needed = min(share * max(budget, 1) / max(samples, 1), MOST_RAYS)
    grown = SLACK * needed / share
    sizes = [padded(max(1, math.ceil(needed * grown))) for needed in (samples, *rows)]
    return needed, RayCapacity(sizes[0], tuple(sizes[1:]))


def device_of(optimizer: Optimizer) -> torch.device:
    """Where the parameters are."""
    return optimizer.param_groups[0]["params"][0].device
