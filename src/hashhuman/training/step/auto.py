"""Chooses the fastest step that the device of the parameters allows."""

from torch.optim import Optimizer

from hashhuman.training.step.eager import EagerStep, Objective
from hashhuman.training.step.graph import GraphStep, device_of


def automatic_step(objective: Objective, optimizer: Optimizer) -> EagerStep | GraphStep:
    """Makes a `GraphStep` on a GPU, else an `EagerStep`."""
    kind = GraphStep if device_of(optimizer).type == "cuda" else EagerStep
    return kind(objective, optimizer)
