"""An avatar whose field is known: the toy's boxes, each rigid on its joint, each of one colour."""

import dataclasses
from collections.abc import Sequence

import torch

from hashhuman.avatar.images import RenderedImage
from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.data.subject import Picture
from hashhuman.geometry import skinning
from hashhuman.geometry.camera import Camera
from tests import toy
from tests.hashhuman.fakes import FakeAvatar, FakeData

DENSITY, EDGE = 400.0, 0.0015  # 1/m; metres over which it falls off
COLORS = torch.from_numpy(toy.COLOURS) / 255


def template() -> BodyTemplate:
    """The toy with one joint for each box."""
    body = toy.template()
    return dataclasses.replace(body, lbs_weights=torch.eye(5).repeat_interleave(8, 0))


class SolidAvatar(FakeAvatar):
    """Implements `VolumetricAvatar`, and of `Avatar` only what exporting needs.

    Args:
        thick: how far the person is thicker than the body (m).
    """

    def __init__(self, thick: float = 0.0) -> None:
        super().__init__()
        self.thick = thick

    def scene(self, poses: Sequence[BodyPose], time: Sequence[int] | None = None) -> torch.Tensor:
        """Each body's maps from the world to the rest space of its boxes: F J 4 4."""
        bones = template().bone_transforms(torch.stack([pose.body_pose for pose in poses]))
        world = torch.stack([pose.world_from_posed() for pose in poses])
        return skinning.invert_affine(world[:, None] @ bones)

    def query(self, positions, scene, directions=None, frames=None) -> tuple[torch.Tensor, torch.Tensor]:
        """Colour and density of the box that a place is deepest in."""
        maps = scene[torch.zeros(len(positions), dtype=torch.long) if frames is None else frames]
        nearest, box = self._nearest(maps, positions)
        return COLORS[box].float(), DENSITY * torch.sigmoid(-nearest / EDGE)

    def _nearest(self, maps: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The least signed distance (m) from a box, and which box that is."""
        return torch.stack([self.outside(skinning.transform(maps[:, j], positions), j) for j in range(5)], 1).min(1)

    def _render(self, camera: Camera, pose: BodyPose, background: float) -> RenderedImage:
        """The boxes, which rays approach in steps as long as the distance from them (Hart 1996, "Sphere tracing")."""
        x, y = torch.meshgrid(torch.arange(camera.width), torch.arange(camera.height), indexing="xy")
        rays_o, rays_d = camera.rays(torch.stack([x, y], -1).flatten(0, 1).float())
        maps, depth = self.scene([pose]), torch.zeros(len(rays_o))
        nearest, box, going = (
            torch.ones(len(rays_o)),
            torch.zeros(len(rays_o), dtype=torch.long),
            torch.arange(len(rays_o)),
        )
        for _ in range(80):
            places = rays_o[going] + depth[going, None] * rays_d[going]
            nearest[going], box[going] = self._nearest(maps.expand(len(going), -1, -1, -1), places)
            depth[going] += nearest[going]
            going = going[(nearest[going] > 1e-4) & (depth[going] < 10)]
        seen = (nearest.abs() < 1e-3).float()
        rgb = seen[:, None] * COLORS[box].float() + (1 - seen[:, None]) * background
        size = camera.height, camera.width
        return RenderedImage(rgb.reshape(*size, 3), seen.reshape(size), (seen * depth).reshape(size))

    def outside(self, rest: torch.Tensor, box: int) -> torch.Tensor:
        """Signed distance (m) from a box, up to what matters at its edges."""
        corners = template().vertices[8 * box : 8 * box + 8]
        center, half = (corners.amax(0) + corners.amin(0)) / 2, (corners.amax(0) - corners.amin(0)) / 2
        return ((rest - center).abs() - half).amax(1) - self.thick


class SolidData(FakeData):
    """The toy's data with the rigid body."""

    def __init__(self, root) -> None:
        super().__init__(root, train_frames=6, holdout_every=3)
        self.subject._template = template()  # a cached property

    def camera(self, picture: Picture) -> Camera:
        """The picture's camera, with pixels as small as the person's details."""
        return super().camera(picture).scaled(4.0)
