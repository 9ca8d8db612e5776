"""Which of the skin's points the camera sees."""

import torch
from jaxtyping import Bool
from torch import Tensor

from preprocess.body_fit.optimise.sequence import Posed

FACING = 0.3  # the least cosine between the normal and the direction to the camera: skin at the rim slides
BESIDE = 0.04  # metres across the view within which a point hides what is behind it: the points' distance, about
BEFORE = 0.08  # metres along the view: nearer ones are of the same limb
CELLS = 2  # of a map of depths within BESIDE
MOST = 200  # cells along a map's side: two metres to either side of the body's middle
NEAREST = 0.1  # metres: what is nearer to the camera, or behind it, is not seen


@torch.no_grad()
def visible(posed: Posed) -> Bool[Tensor, "F M"]:
    """Points that face the camera and have no other such point before them, by a coarse map of least depths."""
    facing = -(posed.normals * torch.nn.functional.normalize(posed.vertices, dim=-1)).sum(-1) > FACING
    facing &= posed.vertices[..., 2] > NEAREST
    depth = posed.vertices[..., 2].clamp_min(NEAREST)
    across = posed.vertices[..., :2] * (depth.mean(1, keepdim=True) / depth)[..., None]
    side = BESIDE * posed.size / CELLS
    corner = torch.maximum(across.amin(1), across.median(1).values - side * MOST / 2)
    cell = ((across - corner[:, None]) / side).long().clamp(0, MOST - 1)
    height, width = int(cell[..., 1].max()) + 1, int(cell[..., 0].max()) + 1
    place = cell[..., 1] * width + cell[..., 0]
    nearest = torch.full((len(depth), height * width), torch.inf, device=depth.device)
    nearest.scatter_reduce_(1, place, depth.where(facing, torch.inf), "amin")
    around = -torch.nn.functional.max_pool2d(
        -nearest.view(-1, 1, height, width), 2 * CELLS + 1, stride=1, padding=CELLS
    )
    return facing & (depth - BEFORE * posed.size <= around.flatten(1).gather(1, place))
