"""Which of a few hundred points of the skin the camera sees."""

import torch
from jaxtyping import Bool
from torch import Tensor

from preprocess.body_fit.sequence import Posed

FACING = 0.3  # the least cosine between the normal and the direction to the camera: skin at the rim slides
BESIDE = 0.04  # metres across the view within which a point hides what is behind it: the points' distance, about
BEFORE = 0.08  # metres along the view: nearer ones are of the same limb


@torch.no_grad()
def visible(posed: Posed) -> Bool[Tensor, "F M"]:
    """Points that face the camera and have no other such point before them."""
    seen = -(posed.normals * torch.nn.functional.normalize(posed.vertices, dim=-1)).sum(-1) > FACING
    depth = posed.vertices[..., 2]
    across = posed.vertices[..., :2] * (depth.mean(1, keepdim=True) / depth)[..., None]
    beside, before = BESIDE * posed.size, BEFORE * posed.size
    for f in range(len(seen)):  # frame by frame: all at once would take frames x points x points of memory
        hides = seen[f] & (torch.cdist(across[f], across[f]) < beside) & (depth[f] < depth[f, :, None] - before)
        seen[f] &= ~hides.any(1)
    return seen
