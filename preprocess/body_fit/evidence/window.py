"""Square windows of the pictures about the person, one for each frame, whose cells hold what a fit looks up."""

import torch
from jaxtyping import Float
from torch import Tensor


def look_up(
    maps: Float[Tensor, "F C S S"],
    origin: Float[Tensor, "F 2"],
    step: Float[Tensor, "F"],
    pixels: Float[Tensor, "F M 2"],
    beyond: str,
) -> Float[Tensor, "F C M"]:
    """The maps' values at pixels of the pictures, between cells in proportion; differentiable in both.

    Args:
        maps: values of each frame's cells.
        origin: the pixel of each window's first cell.
        step: pixels from one cell to the next.
        pixels: x and y.
        beyond: what is found outside a window: `zeros`, or what its `border` has.
    """
    cells = (pixels - origin[:, None]) / step[:, None, None]
    grid = (2 * cells / (maps.shape[-1] - 1) - 1)[:, :, None]
    return torch.nn.functional.grid_sample(maps, grid, padding_mode=beyond, align_corners=True)[..., 0]
