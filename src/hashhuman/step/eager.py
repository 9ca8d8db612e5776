"""A step whose kernels are launched one by one: runs anywhere."""

from collections.abc import Callable

from torch import Tensor
from torch.optim import Optimizer

from hashhuman.avatar import Stage

Objective = Callable[[], tuple[Tensor, dict[str, Tensor]]]  # draws a batch; the total, and each term by name


class EagerStep:
    """Forward, backward, update.

    Args:
        objective: what is minimised.
        optimizer: of the parameters.
        stage: the posed bodies that the objective renders.
    """

    def __init__(self, objective: Objective, optimizer: Optimizer, stage: Stage) -> None:
        self.objective, self.optimizer = objective, optimizer

    def __call__(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Takes one step; returns the objective before it, and its terms."""
        total, terms = self.objective()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()
        return total.detach(), {name: term.detach() for name, term in terms.items()}
