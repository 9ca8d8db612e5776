"""An optimizer step that is captured as a CUDA graph and replayed.

A step launches hundreds of small kernels, which the GPU finishes several times faster than the host can launch them. A
graph needs fixed array sizes, so samples and rows get capacities: what earlier steps needed, times a slack.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from hashhuman.errors import UserError
from hashhuman.gpu.capacity import RayCapacity
from hashhuman.gpu.cuda_graph import capture, on_side_stream
from hashhuman.gpu.part_rows import padded
from hashhuman.training.step.eager import EagerStep, Objective, StepResult

SLACK = 1.15  # ratio of the capacity to the most that was needed
MAX_RAY_FACTOR = 6.0  # the most rays of a step, as a multiple of the configured number
CHECK_EVERY = 300  # steps between two checks that capacities suffice, for which the host waits for the GPU


class GraphStep:
    """Takes the steps of `EagerStep` in one launch each. The first steps are eager, to measure sizes.

    As training learns which space is empty, rays need fewer samples. So the step is captured again from time to time,
    with more rays, until it needs as many samples as the first steps did. It is also captured again when a check finds
    that a capacity no longer suffices.

    Args:
        objective: see `EagerStep`.
        optimizer: see `EagerStep`; a torch optimizer that can be captured (Adam, AdamW). It is set to be capturable.
        measured_steps: number of eager steps, which measure the sizes for the first capture.
        first_revision: number of captured steps after which the number of rays is adapted for the first time. The
            interval doubles each time.
        obstacle: reason why the objective cannot be captured, as a clause; None if it can.

    Raises:
        UserError: without a GPU, or if there is an obstacle.
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
        self.require(device)
        for group in optimizer.param_groups:  # as a tensor, since the graph would keep the present value of a number
            group["lr"] = torch.tensor(float(group["lr"]), device=device)
            group |= {"capturable": True, "fused": True, "foreach": False}
        self.eager = EagerStep(objective, optimizer)
        self.measured_steps, self.next_revision = measured_steps, first_revision
        self.calls, self.captured_at = 0, 0
        self.ray_factor = 1.0  # number of rays, as a multiple of the configured number
        self.max_samples: int | None = None  # samples that a step may need: the most that the first steps needed
        self.most: Tensor | None = None  # the most needed since the last capture: samples, then rows of each part
        self.capacity = RayCapacity(0, ())  # capacity of the last capture
        self.graph: torch.cuda.CUDAGraph | None = None
        self.measures = False  # whether the next step shall measure sizes instead of being captured
        self.resumed = False  # whether sizes come from a checkpoint, and nothing has been captured since
        self.result: StepResult

    @staticmethod
    def require(device: torch.device) -> None:
        """Raises UserError if steps cannot be captured on the device."""
        if device.type != "cuda":
            raise UserError("step=graph captures CUDA graphs and needs a GPU: use step=eager or step=auto.")

    def __call__(self) -> StepResult:
        """Takes one step. The next call overwrites the returned tensors."""
        self.calls += 1
        if self.calls <= self.measured_steps:
            result = self.eager()
            self._measure(result)
            return result
        since = self.calls - self.captured_at
        if self.graph is None:
            if self.measures:
                return self._measure_again()
            if self.resumed:
                return self._capture()
            if self.max_samples is None:
                self.max_samples = self._needed()[0]
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
        """Makes the next step be captured again. Call it when memory that the graph reads was replaced."""
        self.graph = None

    def remeasure(self) -> None:
        """Makes the next step measure its sizes, and the one after it be captured again.

        Call it when a step begins to compute more or fewer things than before.
        """
        self.graph, self.measures = None, self.most is not None

    def state_dict(self) -> dict[str, Any]:
        """The planned sizes and when they are revised. A continued training then takes steps of the same sizes."""
        if not self.captured_at:
            return {}  # still measuring, which a few steps repeat
        capacity = [self.capacity.samples, list(self.capacity.rows or ())]
        names = ("calls", "captured_at", "next_revision", "ray_factor", "max_samples", "most")
        return {name: getattr(self, name) for name in names} | {"capacity": capacity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues with the sizes of a checkpoint; an empty state, as of `EagerStep`, changes nothing."""
        if not state:
            return
        samples, rows = state["capacity"]
        for name in ("calls", "captured_at", "next_revision", "ray_factor", "max_samples"):
            setattr(self, name, state[name])
        self.most = state["most"].to(device_of(self.eager.optimizer))
        self.capacity, self.resumed = RayCapacity(samples, tuple(rows)), True

    def _measure(self, result: StepResult) -> None:
        """Updates the largest needed sizes, on the device."""
        if result.needs is None:
            raise UserError("step=graph needs an avatar that reports the sizes it needs: use step=eager")
        needed = torch.cat([result.needs.samples, result.needs.rows]).float()
        if self.most is None:
            self.most = needed.clone()
        else:
            torch.maximum(self.most, needed, out=self.most)

    def _measure_again(self) -> StepResult:
        """Takes one eager step without capacities, whose needs replace those of earlier steps.

        Patches come on top of the single rays. If they had to share what the first steps needed, most single rays would
        be given up for them, and haze would grow beside the person.
        """
        assert self.most is not None
        self.measures = self.resumed = False
        self.most.zero_()
        result = self.eager(self.ray_factor)
        self._measure(result)
        self.max_samples = max(self.max_samples or 0, self._needed()[0])
        return result

    def _needed(self) -> list[int]:
        """The largest needed samples, then rows of each part. The host waits for the GPU."""
        assert self.most is not None
        return [int(size) for size in self.most.tolist()]

    def _revise(self) -> StepResult:
        """Plans new sizes from the measured ones, takes one eager step with them, and captures the following steps."""
        samples, *rows = self._needed()
        self.ray_factor, self.capacity = plan(samples, rows, self.ray_factor, self.max_samples or 0)
        self.captured_at = self.calls
        return self._capture()

    def _capture(self) -> StepResult:
        """Takes one eager step with the present sizes, and captures the following steps."""
        self.resumed = False
        self.graph = None  # frees its memory before the next capture

        def step() -> StepResult:
            result = self.eager(self.ray_factor, self.capacity)
            self._measure(result)
            return result

        assert self.most is not None
        self.most.zero_()
        result = on_side_stream(step)
        self.eager.optimizer.zero_grad(set_to_none=True)  # so that gradients are allocated in the graph's memory
        self.graph, self.result = capture(step)
        return result


def plan(samples: int, rows: Sequence[int], ray_factor: float, max_samples: int) -> tuple[float, RayCapacity]:
    """Plans the number of rays of a step, and the capacity that they need.

    Args:
        samples: the most samples that a step needed.
        rows: the most rows of each part that a step needed.
        ray_factor: number of rays of these steps, as a multiple of the configured number.
        max_samples: the samples that a step may need; 0 if the first steps needed none.

    Returns:
        The new ray factor, and the capacity with slack.
    """
    factor = min(ray_factor * max(max_samples, 1) / max(samples, 1), MAX_RAY_FACTOR)
    growth = SLACK * factor / ray_factor
    sizes = [padded(max(1, math.ceil(needed * growth))) for needed in (samples, *rows)]
    return factor, RayCapacity(sizes[0], tuple(sizes[1:]))


def device_of(optimizer: Optimizer) -> torch.device:
    """The device of the optimizer's parameters."""
    return optimizer.param_groups[0]["params"][0].device
