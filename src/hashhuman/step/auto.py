"""The fastest step that the device and the neighbour search allow."""

from torch.optim import Optimizer

from hashhuman.avatar import Stage
from hashhuman.neighbors.grid import GridNeighbors
from hashhuman.step.eager import EagerStep, Objective
from hashhuman.step.graph import GraphStep


def automatic_step(objective: Objective, optimizer: Optimizer, stage: Stage) -> EagerStep | GraphStep:
    """A `GraphStep` on a GPU with `neighbors=grid`, else an `EagerStep`."""
    recordable = stage.bodies.vertices.device.type == "cuda" and isinstance(stage.neighbors, GridNeighbors)
    return (GraphStep if recordable else EagerStep)(objective, optimizer, stage)
