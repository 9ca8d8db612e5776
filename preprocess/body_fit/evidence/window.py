"""Square windows around the person, one for each frame: maps of cells that the fit samples at pixel positions."""

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
    """Bilinear interpolation of the maps at pixels of the pictures; differentiable in the maps and in the pixels.

    Args:
        maps: C values of every cell of each frame's window.
        origin: position of each window's first cell in its picture (pixels; x, y).
        step: pixels from one cell to the next.
        pixels: where to sample each frame's picture (x, y; pixel centres at integers).
        beyond: the value outside a window: `zeros`, or that at the window's `border` (as in `grid_sample`).
    """
    cells = (pixels - origin[:, None]) / step[:, None, None]
    grid = (2 * cells / (maps.shape[-1] - 1) - 1)[:, :, None]
    return torch.nn.functional.grid_sample(maps, grid, padding_mode=beyond, align_corners=True)[..., 0]
