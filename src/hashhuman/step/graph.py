"""A step recorded once as a CUDA graph and replayed.

The step launches about a thousand small kernels, which the GPU finishes several times faster than the host can launch
them one by one. A graph needs fixed sizes, so the pairs of points and parts get room for as many as the first
steps needed, and some more.
"""

import math

import torch
from torch import Tensor
from torch.optim import Optimizer

from hashhuman.avatar import Stage
from hashhuman.errors import UserError
from hashhuman.neighbors.grid import GridNeighbors
from hashhuman.step.eager import EagerStep, Objective

ROOM = 1.25  # of the largest number of pairs seen
GRANULE = 256  # pairs; room comes in multiples


class GraphStep:
    """`EagerStep`'s work in one launch. The first calls are eager: they measure, then warm up, then record.

    Args:
        objective, optimizer, stage: as for `EagerStep`; the optimizer must be one of torch's that can be recorded
            (Adam, AdamW), and is told to be.
        measured_steps: eager steps that measure how many pairs there are.

    Raises UserError without a GPU, and for neighbours other than `grid`.
    """

    def __init__(self, objective: Objective, optimizer: Optimizer, stage: Stage, measured_steps: int = 8) -> None:
        if stage.bodies.vertices.device.type != "cuda":
            raise UserError("step=graph records CUDA graphs and needs a GPU: use step=eager")
        if not isinstance(stage.neighbors, GridNeighbors):
            raise UserError("step=graph needs neighbors=grid: others have no fixed size")
        for group in optimizer.param_groups:  # a number would be recorded once and for all
            group["lr"] = torch.tensor(float(group["lr"]), device=stage.bodies.vertices.device)
            group |= {"capturable": True, "fused": True, "foreach": False}
        self.eager = EagerStep(objective, optimizer, stage)
        self.neighbors, self.measured_steps = stage.neighbors, measured_steps
        self.most: list[int] = []
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.result: tuple[Tensor, dict[str, Tensor]]

    def __call__(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Takes one step; the tensors it returns are overwritten by the next one."""
        self.calls += 1
        if self.calls <= self.measured_steps:
            result = self.eager()
            counts = self.neighbors.last_counts
            self.most = [max(pair) for pair in zip(counts, self.most or counts)]
            return result
        if self.calls == self.measured_steps + 1:
            self.neighbors.capacity = [GRANULE * math.ceil(ROOM * most / GRANULE + 1) for most in self.most]
            return self._aside()
        if self.graph is None:
            self.graph = self._record()
        self.graph.replay()
        return self.result

    def _aside(self) -> tuple[Tensor, dict[str, Tensor]]:
        """An eager step on a side stream, so that what recording must not see (lazy initialisation) has happened."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = self.eager()
        torch.cuda.current_stream().wait_stream(stream)
        return result

    def _record(self) -> torch.cuda.CUDAGraph:
        """Records a step without taking it."""
        graph = torch.cuda.CUDAGraph()
        self.eager.optimizer.zero_grad(set_to_none=True)  # so that gradients, too, live in the graph's memory
        with torch.cuda.graph(graph):
            self.result = self.eager()
        return graph
