"""A step whose kernels are launched one by one: runs anywhere."""

import dataclasses
from typing import Protocol, runtime_checkable

from torch import Tensor
from torch.optim import Optimizer

from hashhuman.gpu.capacity import RayCapacity, RayNeeds


@dataclasses.dataclass(frozen=True)
class StepResult:
    """What a step computed of one batch of rays."""

    loss: Tensor  # the weighted sum, which is minimised
    terms: dict[str, Tensor]  # each loss by name, unweighted
    needs: RayNeeds | None


@runtime_checkable
class Objective(Protocol):
    """Draws a batch, renders it, and weighs the losses."""

    def __call__(self, ray_factor: float = 1.0, capacity: RayCapacity | None = None) -> StepResult:
        """`ray_factor` scales the number of rays; `capacity` fixes the sizes of what they need."""
        ...


class EagerStep:
    """Forward, backward, update.

    Args:
        objective: what is minimised.
        optimizer: of the parameters.
        obstacle: what keeps the objective from being captured as a CUDA graph; it does not matter here.
    """

    def __init__(self, objective: Objective, optimizer: Optimizer, obstacle: str | None = None) -> None:
        self.objective, self.optimizer = objective, optimizer

    def __call__(self, ray_factor: float = 1.0, capacity: RayCapacity | None = None) -> StepResult:
        """Takes one step; the figures are those before the update."""
        result = self.objective(ray_factor, capacity)
        self.optimizer.zero_grad(set_to_none=True)
        result.loss.backward()
        self.optimizer.step()
        terms = {name: term.detach() for name, term in result.terms.items()}
        return StepResult(result.loss.detach(), terms, result.needs)

    def invalidate(self) -> None:
        """Nothing is kept from step to step."""
