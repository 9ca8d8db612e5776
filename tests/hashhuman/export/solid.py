"""An avatar whose field is known: the toy's boxes, each rigid on its joint, each of one colour."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.geometry import skinning
from tests import toy
from tests.hashhuman.fakes import FakeAvatar, FakeData

DENSITY, EDGE = 400.0, 0.0015  # 1/m; metres over which it falls off
COLORS = torch.from_numpy(toy.COLOURS) / 255


def template() -> BodyTemplate:
    """The toy with one joint for each box."""
    body = toy.template()
    return dataclasses.replace(body, lbs_weights=torch.eye(5).repeat_interleave(8, 0))


class SolidAvatar(FakeAvatar):
    """Implements `VolumetricAvatar`.

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
        distance = torch.stack([self.outside(skinning.transform(maps[:, j], positions), j) for j in range(5)], 1)
        nearest, box = distance.min(1)
        return COLORS[box].float(), DENSITY * torch.sigmoid(-nearest / EDGE)

    def outside(self, rest: torch.Tensor, box: int) -> torch.Tensor:
        """Signed distance (m) from a box, up to what matters at its edges."""
        corners = template().vertices[8 * box : 8 * box + 8]
        center, half = (corners.amax(0) + corners.amin(0)) / 2, (corners.amax(0) - corners.amin(0)) / 2
        return ((rest - center).abs() - half).amax(1) - self.thick

    def warm_up(self) -> None: ...
    def capture_obstacle(self) -> str | None: ...
    def prepare(self, poses: Any) -> Any: ...
    def fit_pose(self, *arguments: Any, **options: Any) -> Any: ...
    def predict(self, *arguments: Any) -> Any: ...
    def after_step(self, scene: Any, step: int) -> bool:
        return False

    def parameter_groups(self) -> list[dict[str, Any]]:
        return []


class SolidData(FakeData):
    """The toy's data with the rigid body."""

    def __init__(self, root) -> None:
        super().__init__(root, train_frames=6, holdout_every=3)
        self.subject._template = template()  # a cached property
