"""Paths of the camera that films an animation: one camera for each frame."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.body.visibility import world_vertices
from hashhuman.errors import UserError
from hashhuman.evaluation.orbit import orbit
from hashhuman.evaluation.product import spread
from hashhuman.geometry import skinning
from hashhuman.geometry.camera import Camera

FRAMED = 40  # frames, evenly spaced, whose bodies decide how large the picture must be


class Orbit:
    """The camera turns around the person and goes along with the hips.

    Args:
        height: of the pictures (pixels).
        turns: how often it goes around during the motion; 0: it stays in front of where the person looks at first.
        azimuth: degrees by which it begins beside the front, counter-clockwise seen from above.
    """

    def __init__(self, height: int, turns: float, azimuth: float) -> None:
        self.height, self.turns, self.azimuth = height, turns, azimuth

    def __call__(
        self, poses: Sequence[BodyPose], template: BodyTemplate, up: Float[Tensor, "3"], datamodule: Any
    ) -> list[Camera]:
        """A camera for each pose, in the run's world. `up` is the world's upward direction (unit)."""
        moves = [_along_ground(hips(pose, template) - hips(poses[0], template), up) for pose in poses]
        framed = spread(list(zip(poses, moves)), FRAMED)
        points = torch.cat([world_vertices(template, pose) - move for pose, move in framed])
        found = []
        for index, move in enumerate(moves):
            angle = self.azimuth + 360 * self.turns * index / len(poses)
            (camera,) = orbit(points, up, turned(front(poses[0]), up, angle), 1, self.height, widest=WIDEST)
            found.append(moved(camera, move))
        return found


class Fixed:
    """The camera stands still and sees the whole path.

    Args:
        height: of the pictures (pixels).
        azimuth: degrees beside the front of the first frame, counter-clockwise seen from above.
    """

    def __init__(self, height: int, azimuth: float) -> None:
        self.height, self.azimuth = height, azimuth

    def __call__(
        self, poses: Sequence[BodyPose], template: BodyTemplate, up: Float[Tensor, "3"], datamodule: Any
    ) -> list[Camera]:
        """The camera, once for each pose, in the run's world. `up` is the world's upward direction (unit)."""
        points = torch.cat([world_vertices(template, pose) for pose in spread(poses, FRAMED)])
        cameras = orbit(points, up, turned(front(poses[0]), up, self.azimuth), 1, self.height, widest=WIDEST)
        return cameras * len(poses)


class Filmed:
    """The recording's camera. The motion begins where the recording began.

    Args:
        height: of the pictures (pixels); null: as in training.
        camera: its number among those of the recording.
    """

    def __init__(self, height: int | None, camera: int) -> None:
        self.height, self.camera = height, camera

    def __call__(
        self, poses: Sequence[BodyPose], template: BodyTemplate, up: Float[Tensor, "3"], datamodule: Any
    ) -> list[Camera]:
        """The camera, once for each pose. Raises UserError if the recording has no camera of this number."""
        names = datamodule.subject.camera_names
        if self.camera >= len(names):
            raise UserError(f"animate.camera.camera={self.camera}: the recording's cameras are 0 to {len(names) - 1}.")
        camera = datamodule.subject.camera(self.camera)
        own = datamodule.scale(camera.height, camera.width)
        scale = own if self.height is None else self.height / camera.height
        return [camera.scaled(scale)] * len(poses)


WIDEST = 16 / 9  # ratio of a picture's width to its height


def hips(pose: BodyPose, template: BodyTemplate) -> Float[Tensor, "3"]:
    """The root joint's position in the world (m)."""
    return skinning.transform(pose.world_from_posed(), template.joints[0].to(pose.transl))


def front(pose: BodyPose) -> Float[Tensor, "3"]:
    """Where the body faces (unit, world)."""
    return skinning.axis_angle_to_matrix(pose.orient)[:, 2]


def turned(direction: Float[Tensor, "3"], up: Float[Tensor, "3"], degrees: float) -> Float[Tensor, "3"]:
    """A direction turned about `up`."""
    return skinning.axis_angle_to_matrix(up * math.radians(degrees)) @ direction


def moved(camera: Camera, move: Float[Tensor, "3"]) -> Camera:
    """The camera at another place, `move` away (m)."""
    return Camera(camera.K, camera.R, camera.T - camera.R @ move, camera.height, camera.width)


def _along_ground(vector: Float[Tensor, "3"], up: Float[Tensor, "3"]) -> Float[Tensor, "3"]:
    return vector - (vector @ up) * up
