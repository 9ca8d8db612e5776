"""The fastest step that the device and the avatar allow."""

from torch.optim import Optimizer

from hashhuman.training.step.eager import EagerStep, Objective
from hashhuman.training.step.graph import GraphStep, device_of


def automatic_step(objective: Objective, optimizer: Optimizer, obstacle: str | None = None) -> EagerStep | GraphStep:
    """A `GraphStep` on a GPU if nothing keeps the objective from being captured, else an `EagerStep`.

    Args:
        objective, optimizer: as for `EagerStep`.
        obstacle: what keeps the objective from being captured as a CUDA graph, as a clause; None if nothing does. On a
            GPU, one printed line tells it.
    """
    if device_of(optimizer).type != "cuda":
        return EagerStep(objective, optimizer)
    if obstacle is None:
        return GraphStep(objective, optimizer)
    print(f"step=auto: kernels are launched one by one, since {obstacle}", flush=True)
    return EagerStep(objective, optimizer)
