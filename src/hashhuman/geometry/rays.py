"""Rays in the world, and those through the pixels of a camera."""

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.geometry.camera import Camera


@dataclasses.dataclass(frozen=True)
class Rays:
    """N rays in world space. Each belongs to one frame, so that one batch can mix the bodies of many frames."""

    rays_o: Float[Tensor, "N 3"]  # origins (m)
    rays_d: Float[Tensor, "N 3"]  # unit directions
    frames: Int[Tensor, "N"]  # row of each ray's body among the posed bodies

    def __len__(self) -> int:
        return len(self.rays_o)

    def __getitem__(self, rows: slice | Tensor) -> "Rays":
        """The rays of some rows: a slice, row numbers or a mask."""
        return Rays(self.rays_o[rows], self.rays_d[rows], self.frames[rows])

    def to(self, device: torch.device | str) -> "Rays":
        """The same rays with their tensors on `device`."""
        return Rays(self.rays_o.to(device), self.rays_d.to(device), self.frames.to(device))


def camera_rays(camera: Camera, device: torch.device) -> Rays:
    """The rays through all pixels of a camera, row by row, on `device`. All belong to the first body: `frames` is 0."""
    x, y = torch.arange(camera.width, device=device), torch.arange(camera.height, device=device)
    pixels = torch.stack(torch.meshgrid(x.float(), y.float(), indexing="xy"), -1).flatten(0, 1)
    rays_o, rays_d = camera.rays(pixels)
    return Rays(rays_o, rays_d, torch.zeros(len(pixels), dtype=torch.long, device=device))
