"""A finished run in Python: load it, give a pose and a camera, get a picture. `docs/python.md` shows it."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from omegaconf import OmegaConf
from scipy.spatial.transform import Rotation

from hashhuman.animate.camera import Orbit
from hashhuman.body.standing import upward
from hashhuman.body.template import BodyPose
from hashhuman.checks import targets
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.gpu.device import device_named
from hashhuman.training import run


@dataclasses.dataclass(frozen=True)
class LoadedRun:
    """A trained avatar and its data."""

    avatar: Any  # a `hashhuman.avatar.protocol.Avatar` in evaluation mode
    data: Any  # a `hashhuman.data.datamodule.SubjectDataModule`
    config: Any  # the run's config, an OmegaConf `DictConfig`

    @property
    def frames(self) -> list[int]:
        """Numbers of the training frames."""
        return list(self.data.train_frames)

    def pose(self, frame: int) -> BodyPose:
        """The body's pose in a frame, as training has corrected it. Raises UserError for a frame without one."""
        return self.avatar.refined_pose(self.data.subject.pose(frame), frame)

    def camera(self, index: int = 0) -> Camera:
        """Camera `index` of the recording, with pictures of the size that the run was trained at."""
        camera = self.data.subject.camera(index)
        return camera.scaled(self.data.scale(camera.height, camera.width))

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the body's joints, in the order of the rows of `BodyPose.body_pose`."""
        return self.data.subject.template().joint_names

    def turned(self, pose: BodyPose, degrees: Mapping[str, Sequence[int | float]]) -> BodyPose:
        """A pose with some joints turned further.

        Args:
            pose: of this run's body; it stays as it is.
            degrees: for the name of each joint to turn, angles about its own axes: about x, then y, then z of the
                turned joint. At rest, x points to the person's left, y up and z to the front.

        Raises:
            UserError: if the body has no joint of a name, or the joint is the root, which `BodyPose.orient` turns.
        """
        body_pose = pose.body_pose.clone()
        for name, angles in degrees.items():
            if name not in self.joints[1:]:
                raise UserError(f"The body has no joint {name!r} to turn; it has {', '.join(self.joints[1:])}.")
            row = self.joints.index(name)
            further = Rotation.from_rotvec(body_pose[row].cpu().numpy()) * Rotation.from_euler("XYZ", angles, True)
            body_pose[row] = torch.from_numpy(further.as_rotvec()).to(body_pose)
        return dataclasses.replace(pose, body_pose=body_pose)

    def around(self, pose: BodyPose, azimuth: int | float = 0, height: int = 512) -> Camera:
        """A camera from which the whole body is seen.

        Args:
            pose: of this run's body.
            azimuth: degrees beside the body's front, counter-clockwise seen from above.
            height: of the pictures (pixels); the width follows from the body's.
        """
        body = self.data.subject.template()
        up = upward(body, [self.data.subject.pose(frame) for frame in self.frames])
        (camera,) = Orbit(height, turns=0.0, azimuth=float(azimuth))([pose.to("cpu")], body, up, self.data)
        return camera

    def render(
        self, pose: BodyPose, camera: Camera, background: float | Sequence[float] = 1.0
    ) -> UInt8[np.ndarray, "H W 3"]:
        """A picture (RGB) of the avatar in a pose from a camera.

        Args:
            pose: of this run's body.
            camera: in the run's world (m).
            background: grey level or RGB in [0, 1].
        """
        device = self.avatar.device
        behind = torch.as_tensor(background, dtype=torch.float32, device=device)
        image = self.avatar.render_image(camera.to(device), pose.to(device), None, behind)
        return np.rint(255 * image.rgb.clamp(0, 1).cpu().numpy()).astype(np.uint8)


def load(
    folder: str | Path, data_root: str | Path | None = None, device: str = "auto", admit: Collection[str] = ()
) -> LoadedRun:
    """Loads a finished run.

    Args:
        folder: the run's folder.
        data_root: its subject folder, if that has moved.
        device: auto, cpu, cuda or cuda:1; auto: a GPU if there is one.
        admit: classes of others that the run may name, such as my_lab.normals.NormalLoss, if you trust them.

    Raises:
        UserError: if the folder is not a run that this revision can load, its subject folder is missing, or it names a
            class that is not admitted.
    """
    moved = None if data_root is None else OmegaConf.create({"data": {"root": str(data_root)}})
    module, data, config = run.load(folder, moved, targets.admitted(admit))
    return LoadedRun(module.avatar.to(device_named(device, "device")), data, config)
