"""Pinhole cameras in OpenCV's convention: x right, y down, z forward; pixel centres at integer coordinates."""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.geometry import skinning


@dataclasses.dataclass(frozen=True)
class Camera:
    """A calibrated pinhole camera without distortion: x_camera = R x_world + T."""

    K: Float[Tensor, "3 3"]  # intrinsics, pixels
    R: Float[Tensor, "3 3"]  # rotation from world to camera
    T: Float[Tensor, "3"]  # metres
    height: int  # pixels
    width: int  # pixels

    def to(self, device: torch.device | str) -> "Camera":
        """The same camera with its tensors on `device`."""
        return dataclasses.replace(self, K=self.K.to(device), R=self.R.to(device), T=self.T.to(device))

    @property
    def center(self) -> Float[Tensor, "3"]:
        """The camera's position in the world (m)."""
        return -self.R.T @ self.T

    def scaled(self, scale: float) -> "Camera":
        """The camera of the picture resized by `scale`, with its size rounded to whole pixels.

        The centre of pixel c moves to (c + 0.5) s - 0.5. s is the ratio of sizes along each axis, which differs from
        `scale` by the rounding.
        """
        height, width = round(self.height * scale), round(self.width * scale)
        ratio = torch.tensor([width / self.width, height / self.height], dtype=self.K.dtype, device=self.K.device)
        K = self.K.clone()
        K[:2] *= ratio[:, None]
        K[:2, 2] += 0.5 * ratio - 0.5
        return dataclasses.replace(self, K=K, height=height, width=width)

    def project(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Projects world points (m) to x and y (pixels), and depth along the optical axis (m)."""
        return project(points, self.K, self.R, self.T)

    def rays(self, pixels: Float[Tensor, "*batch 2"]) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "*batch 3"]]:
        """The rays through pixels (x, y): `rays_o` (m) and unit `rays_d` in world space, on the pixels' device."""
        world_from_pixel = (self.R.T @ skinning.invert_linear(self.K)).to(pixels.device)
        rays_d = pixels @ world_from_pixel[:, :2].T + world_from_pixel[:, 2]
        rays_d = rays_d / rays_d.norm(dim=-1, keepdim=True)
        return self.center.to(pixels.device).expand_as(rays_d), rays_d


def project(
    points: Float[Tensor, "*batch 3"],
    K: Float[Tensor, "*#cameras 3 3"],
    R: Float[Tensor, "*#cameras 3 3"],
    T: Float[Tensor, "*#centers 3"],
) -> Float[Tensor, "*batch 3"]:
    """`Camera.project` for one camera, or for each of several; `T` is broadcast against the points."""
    x = points @ R.mT + T
    depth = x[..., 2:]
    pixels = (x @ K.mT)[..., :2] / depth
    return torch.cat([pixels, depth], -1)
