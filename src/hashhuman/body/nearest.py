"""Nearest points of a point set, exactly and on the CPU: for work that is done once before training."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.io.threads import WORKERS


def nearest(
    queries: Float[Tensor, "N 3"], points: Float[Tensor, "V 3"], count: int = 1, within: float = math.inf
) -> tuple[Float[Tensor, "N k"], Int[Tensor, "N k"]]:
    """Distances (m) to the `count` points nearest to each query, ascending, and their indices; on the queries' device.

    Queries that have fewer points `within` metres get infinite distances and the index V for the missing ones.
    """
    from scipy.spatial import KDTree  # the import takes a third of a second, and rendering a run does not need it

    tree = KDTree(points.detach().double().cpu().numpy())
    places = queries.detach().double().cpu().numpy()
    distance, index = tree.query(places, count, distance_upper_bound=within, workers=WORKERS)
    shape = len(queries), count
    distance, index = (torch.from_numpy(np.reshape(found, shape)) for found in (distance, index))
    return distance.to(queries.device, queries.dtype), index.to(queries.device)
