"""Pinhole cameras in OpenCV's convention: x right, y down, z forward; pixel centres at integer coordinates."""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.geometry import skinning


@dataclasses.dataclass(frozen=True)
class Camera:
    """One calibrated view of undistorted pictures: x_cam = R x_world + T."""

    K: Float[Tensor, "3 3"]  # pixels
    R: Float[Tensor, "3 3"]
    T: Float[Tensor, "3"]  # metres
    height: int
    width: int

    def to(self, device: torch.device | str) -> "Camera":
        """The same camera with its tensors on `device`."""
        return dataclasses.replace(self, K=self.K.to(device), R=self.R.to(device), T=self.T.to(device))

    @property
    def center(self) -> Float[Tensor, "3"]:
        """The camera's position in the world (m)."""
        return -self.R.T @ self.T

    def scaled(self, scale: float) -> "Camera":
        """The camera of the picture resized by `scale`, to whole pixels: a centre c moves to (c + 0.5) s - 0.5.

        s is each axis' own ratio of pixels, which rounding the size can make differ from `scale`.
        """
        height, width = round(self.height * scale), round(self.width * scale)
        ratio = torch.tensor([width / self.width, height / self.height], dtype=self.K.dtype, device=self.K.device)
        K = self.K.clone()
        K[:2] *= ratio[:, None]
        K[:2, 2] += 0.5 * ratio - 0.5
        return dataclasses.replace(self, K=K, height=height, width=width)

    def project(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """World points (m) to pixel x, pixel y and depth along the optical axis (m)."""
        x = points @ self.R.T + self.T
        depth = x[..., 2:]
        pixels = (x @ self.K.T)[..., :2] / depth
        return torch.cat([pixels, depth], -1)

    def rays(self, pixels: Float[Tensor, "*batch 2"]) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "*batch 3"]]:
        """World-space origins and unit directions of the rays through pixels (x, y)."""
        world_from_pixel = (self.R.T @ skinning.invert_linear(self.K)).to(pixels.device)
        directions = pixels @ world_from_pixel[:, :2].T + world_from_pixel[:, 2]
        directions = directions / directions.norm(dim=-1, keepdim=True)
        return self.center.to(pixels.device).expand_as(directions), directions
