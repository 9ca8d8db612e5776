"""Places an avatar made from one camera's video among the cameras of a world that others have measured.

The avatar is in the axes of the camera that filmed it. One similarity transform for the whole sequence leads from its
joints to those that are known in the other world: what is wrong with single poses stays wrong. The transform has a
scale besides rotation and translation, since one camera cannot tell it: somebody twice as tall at twice the distance
makes the same pictures.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.errors import UserError
from hashhuman.geometry import skinning
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import load_npz
from preprocess.multiview.triangulation import Similarity, similarity

LEAST_JOINTS = 3  # fewer leave the rotation open where the person does not move


def joint_key(name: str) -> str:
    """The same key for both spellings of a joint's name: 'L_hip' and 'left_hip'."""
    return name.replace("L_", "left_").replace("R_", "right_")


def true_joints(scene: Path) -> dict[str, np.ndarray]:
    """Positions (F, 3) of each joint in all frames of a scene with `truth.npz`, in its world (m), by `joint_key`."""
    truth = load_npz(scene / "truth.npz")
    return {joint_key(str(name)): truth["joints"][:, index] for index, name in enumerate(truth["names"])}


def posed_joints(template: BodyTemplate, pose: BodyPose) -> Float[torch.Tensor, "J 3"]:
    """Positions of a body's joints in the world (m)."""
    bones = template.bone_transforms(pose.body_pose)
    return skinning.transform(pose.world_from_posed() @ bones, template.joints)


def named_joints(template: BodyTemplate, poses: Sequence[BodyPose]) -> dict[str, np.ndarray]:
    """Positions (F, 3) of each joint of a body on the CPU in F poses, in its world (m), by `joint_key`."""
    posed = torch.stack([posed_joints(template, pose.to("cpu")) for pose in poses]).numpy(force=True)
    return {joint_key(name): posed[:, index] for index, name in enumerate(template.joint_names)}


def placement(joints: Mapping[str, np.ndarray], true: Mapping[str, np.ndarray]) -> tuple[Similarity, float]:
    """The similarity transform of joints onto true ones with the least squared error, over those that both name.

    Args:
        joints: positions (F, 3) of each joint in F frames, in the avatar's world, by `joint_key`.
        true: the same frames in the other world.

    Returns:
        The transform, and the mean distance of the joints that is left after it.

    Raises:
        UserError: if both name fewer than `LEAST_JOINTS` joints.
    """
    shared = sorted(joints.keys() & true.keys())
    if len(shared) < LEAST_JOINTS:
        raise UserError(f"The avatar and the truth share the joints {shared}: placing it needs {LEAST_JOINTS} or more.")
    x, y = (np.concatenate([named[name] for name in shared]).astype(float) for named in (joints, true))
    found = similarity(x, y)
    return found, float(np.linalg.norm(found(x) - y, axis=-1).mean())


def seen_from(camera: Camera, world_from_subject: Similarity) -> Camera:
    """The camera in the subject's world: x_cam = R (s Q x + q) + T is, up to the factor s, (R Q) x + (R q + T) / s."""
    Q, q = (torch.from_numpy(x).float() for x in (world_from_subject.R, world_from_subject.t))
    T = (camera.R @ q + camera.T) / world_from_subject.scale
    return Camera(camera.K, camera.R @ Q, T, camera.height, camera.width)
