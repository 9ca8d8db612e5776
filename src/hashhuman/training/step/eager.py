"""A step whose kernels are launched one by one: runs anywhere."""

import dataclasses
from typing import Protocol, runtime_checkable

from torch import Tensor
from torch.optim import Optimizer

from hashhuman.gpu.capacity import Needed, RayCapacity


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one batch of rays."""

    total: Tensor  # what is minimised
    terms: dict[str, Tensor]  # each loss by name, unweighted
    needed: Needed


@runtime_checkable
class Objective(Protocol):
    """Draws a batch and renders it."""

    def __call__(self, share: float = 1.0, capacity: RayCapacity | None = None) -> Outcome:
        """`share` scales the number of rays; `room` fixes the sizes of what they need (`Avatar.forward`)."""
        ...


class EagerStep:
    """Forward, backward, update.

    Args:
        objective: what is minimised.
        optimizer: of the parameters.
    """

    def __init__(self, objective: Objective, optimizer: Optimizer) -> None:
        self.objective, self.optimizer = objective, optimizer

    def __call__(self, share: float = 1.0, capacity: RayCapacity | None = None) -> Outcome:
        """Takes one step; the figures are those before it."""
        outcome = self.objective(share, capacity)
        self.optimizer.zero_grad(set_to_none=True)
        outcome.total.backward()
        self.optimizer.step()
        terms = {name: term.detach() for name, term in outcome.terms.items()}
        return Outcome(outcome.total.detach(), terms, outcome.needed)
