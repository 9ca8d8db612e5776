"""The pictures that a texture is baked from: frames as they were filmed, and the body turned before the camera."""

import dataclasses
from typing import Any

import torch
from scipy.spatial.transform import Rotation

from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.evaluation.product import spread
from hashhuman.geometry import skinning
from hashhuman.geometry.camera import Camera

TILT = 35.0  # degrees, forward and back in turn, which shows the crown of the head and the soles


@dataclasses.dataclass(frozen=True)
class BakedView:
    """A pose, and the camera from which it is seen."""

    camera: Camera
    pose: BodyPose
    time: int | None  # index among the training frames; None: the pose is none of theirs
    share: float  # how much its picture counts


def filmed_views(avatar: Any, datamodule: Any, most: int) -> list[BakedView]:
    """At most `most` evenly spaced training pictures of a run's data module."""
    return [
        BakedView(
            datamodule.camera(picture),
            avatar.refined_pose(datamodule.subject.pose(picture.frame), picture.frame),
            datamodule.train_frames.index(picture.frame),
            1.0,
        )
        for picture in spread(datamodule.splits["train"], most)
    ]


def turned_views(filmed: BakedView, template: BodyTemplate, count: int, share: float) -> list[BakedView]:
    """The body upright before the camera that filmed a view, in the big pose, turned once round in `count` steps.

    The body turns rather than the camera, so that light that is fixed in the world falls onto its front there, too.
    """
    pose, joint = filmed.pose.to("cpu"), template.joints[0].cpu()
    root = skinning.transform(pose.world_from_posed(), joint)
    world_from_camera = Rotation.from_matrix(filmed.camera.R.cpu().double().numpy().T)
    facing = Rotation.from_euler("x", 180, degrees=True)  # the camera's y is down, its z away from it
    made = []
    for step in range(count):
        tilt = Rotation.from_euler("x", TILT if step % 2 else -TILT, degrees=True)
        turn = Rotation.from_euler("y", 360 * step / count, degrees=True)
        orient = torch.from_numpy((world_from_camera * tilt * facing * turn).as_rotvec()).float()
        at_origin = BodyPose(template.big_pose().cpu(), orient, torch.zeros(3))
        transl = root - skinning.transform(at_origin.world_from_posed(), joint)
        made.append(BakedView(filmed.camera, dataclasses.replace(at_origin, transl=transl), None, share))
    return made
