"""The batch of a training step."""

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.geometry.rays import Rays


@dataclasses.dataclass(frozen=True)
class RayBatch:
    """N rays through pixels, with the pixels' colours."""

    rays: Rays
    color: Float[Tensor, "N 3"]  # the person over `background`, in [0, 1]
    mask: Float[Tensor, "N"]  # coverage by the person, in [0, 1]
    background: Float[Tensor, "N 3"]  # colour behind the person, in [0, 1]
    patch: tuple[int, int, int] | None = None  # (patches, height, width) of the first rays, in raster order
    pictures: Int[Tensor, "N"] | None = None  # positions among the training pictures; None: they are of none
    pixels: Int[Tensor, "N"] | None = None  # positions in the store (`data/pixels.py`); None: they are of none

    def to(self, device: torch.device | str) -> "RayBatch":
        """The same batch on `device`."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor | Rays)}
        return dataclasses.replace(self, **moved)
