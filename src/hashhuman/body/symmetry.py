"""The symmetry of the body: which vertex lies opposite each vertex."""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from torch import Tensor

from hashhuman.body.template import BodyTemplate


def opposite(template: BodyTemplate) -> tuple[Int[Tensor, "V"], Float[Tensor, "V"]]:
    """The vertex opposite each vertex in canonical space, and the distance (m) between it and the exact mirror image.

    The plane of symmetry is x = that of the root joint.
    """
    points = template.canonical_vertices.detach().cpu().double().numpy()
    plane = float(template.joints[0, 0])
    distance, index = KDTree(points).query(points * [-1, 1, 1] + [2 * plane, 0, 0])
    device = template.vertices.device
    return torch.from_numpy(np.asarray(index)).to(device), torch.from_numpy(np.asarray(distance)).float().to(device)
