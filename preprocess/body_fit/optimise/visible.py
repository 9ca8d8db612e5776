"""Which vertices of the body the camera sees."""

import torch
from jaxtyping import Bool
from torch import Tensor

from preprocess.body_fit.sequence import Posed

FACING = 0.3  # least cosine between normal and direction to the camera: at the rim, flow follows the outline instead
BESIDE = 0.04  # metres across the view within which a vertex hides what is behind it: about their spacing
BEFORE = 0.08  # metres along the view: a vertex hides only what lies farther behind it; the rest is the same limb
CELLS = 2  # cells of the depth map per BESIDE
MOST = 200  # cells along a side of the depth map: two metres to either side of the body's middle
NEAREST = 0.1  # metres: a vertex nearer to the camera, or behind it, is not visible


@torch.no_grad()
def visible(posed: Posed) -> Bool[Tensor, "F M"]:
    """Vertices that face the camera and are not hidden by another one that does, by a coarse depth map."""
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
