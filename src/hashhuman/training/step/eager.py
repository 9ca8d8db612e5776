"""An optimizer step whose kernels are launched one by one; it runs on every device."""

import dataclasses
from typing import Any, Protocol, runtime_checkable

from torch import Tensor
from torch.optim import Optimizer

from hashhuman.cpu import loops
from hashhuman.gpu.capacity import RayCapacity, RayNeeds


@dataclasses.dataclass(frozen=True)
class StepResult:
    """The losses of one batch of rays."""

    loss: Tensor  # weighted sum of the terms, a scalar
    terms: dict[str, Tensor]  # name -> unweighted term, a scalar
    needs: RayNeeds | None  # needed sizes; None if the avatar does not report them


@runtime_checkable
class Objective(Protocol):
    """Draws a batch of rays, renders it, and computes the losses."""

    def __call__(self, ray_factor: float = 1.0, capacity: RayCapacity | None = None) -> StepResult:
        """`ray_factor` scales the number of rays; `capacity` fixes the sizes of the arrays that they need."""
        ...


class EagerStep:
    """Forward, backward, update.

    Args:
        objective: the objective to minimise.
        optimizer: updates the parameters.
        obstacle: not used here; see `GraphStep`.
    """

    def __init__(self, objective: Objective, optimizer: Optimizer, obstacle: str | None = None) -> None:
        self.objective, self.optimizer = objective, optimizer

    def __call__(self, ray_factor: float = 1.0, capacity: RayCapacity | None = None) -> StepResult:
        """Takes one step. Returns the losses before the update."""
        result = self.objective(ray_factor, capacity)
        self.optimizer.zero_grad(set_to_none=True)
        result.loss.backward()
        with loops.threads_for_torch():  # one pass over the whole table: the longest of PyTorch's operations in a step
            self.optimizer.step()
        terms = {name: term.detach() for name, term in result.terms.items()}
        return StepResult(result.loss.detach(), terms, result.needs)

    def invalidate(self) -> None:
        """Does nothing, since nothing is kept between steps."""

    def remeasure(self) -> None:
        """Does nothing, since sizes are not fixed."""

    def state_dict(self) -> dict[str, Any]:
        """Empty, since nothing is kept between steps."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Does nothing."""
