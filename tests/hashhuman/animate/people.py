"""Skeletons and bodies of people for the tests: hand-written positions, any names, any rest pose."""

import dataclasses

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hashhuman.animate.clip import Clip, chained
from hashhuman.body.template import SMPL_JOINTS, BodyTemplate
from hashhuman.export.motion import Motion, Skeleton

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
LEFT = {
    "hip": (0.1, 0.9, 0.0), "knee": (0.12, 0.5, 0.01), "ankle": (0.13, 0.08, -0.02), "foot": (0.14, 0.03, 0.12),
    "collar": (0.04, 1.35, 0.0), "shoulder": (0.17, 1.38, 0.0), "elbow": (0.42, 1.38, 0.0), "wrist": (0.66, 1.38, 0.0),
    "hand": (0.74, 1.38, 0.0),
}  # fmt: skip
MIDDLE = {"pelvis": 0.95, "spine1": 1.05, "spine2": 1.15, "spine3": 1.25, "neck": 1.45, "head": 1.55}
MIXAMO = (
    "Hips", "LeftUpLeg", "RightUpLeg", "Spine", "LeftLeg", "RightLeg", "Spine1", "LeftFoot", "RightFoot", "Spine2",
    "LeftToeBase", "RightToeBase", "Neck", "LeftShoulder", "RightShoulder", "Head", "LeftArm", "RightArm",
    "LeftForeArm", "RightForeArm", "LeftHand", "RightHand", "LeftHandMiddle1", "RightHandMiddle1",
)  # fmt: skip


def skeleton(lowered: float = 0.0, size: float = 1.0) -> Skeleton:
    """A person whose arms are level, or lowered by an angle (degrees); SMPL's joints and names."""
    joints = []
    for name in SMPL_JOINTS:
        side, _, limb = name.rpartition("_")
        x, y, z = LEFT[limb] if side else (0.0, MIDDLE[name], 0.0)
        if limb in ("elbow", "wrist", "hand"):
            shoulder = np.array(LEFT["shoulder"])
            x, y, z = shoulder + Rotation.from_euler("z", -lowered, degrees=True).apply(np.array([x, y, z]) - shoulder)
        joints.append((-x if side == "right" else x, y, z))
    return Skeleton(SMPL_JOINTS, PARENTS, np.array(joints) * size, np.zeros(3))


def template(of: Skeleton) -> BodyTemplate:
    """A body with a small tetrahedron at each joint, and soles on the ground below ankles and toes; rigid."""
    small = 0.01 * np.array([[1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]])
    vertices = [joint + small for joint in of.joints]
    owners = list(range(len(of.names)))
    for joint, name in enumerate(of.names):
        if name.endswith(("ankle", "foot")):
            vertices.append(
                of.joints[joint] * [1, 0, 1] + 0.04 * np.array([[1, 0, 1], [-1, 0, 1], [1, 0, -1], [-1, 0, -1]])
            )
            owners.append(joint)
    weights = np.eye(len(of.names))[np.repeat(owners, 4)]
    faces = [[4 * i + a, 4 * i + b, 4 * i + c] for i in range(len(owners)) for a, b, c in ((0, 1, 2), (0, 2, 3))]
    return BodyTemplate(
        vertices=torch.from_numpy(np.concatenate(vertices)).float(),
        faces=torch.tensor(faces),
        lbs_weights=torch.from_numpy(weights).float(),
        joints=torch.from_numpy(of.joints).float(),
        parents=of.parents,
        joint_names=of.names,
    )


def motion(of: Skeleton, frames: int = 7, seed: int = 0, fps: float = 30.0) -> Motion:
    """A smooth motion of all joints, which begins above the origin and faces +z."""
    random = np.random.default_rng(seed)
    swing = np.sin(np.linspace(0, 2, frames))[:, None, None]
    vectors = 0.5 * swing * random.normal(size=(1, len(of.names), 3))
    rotations = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_quat().reshape(frames, -1, 4)
    root = of.joints[0] + np.outer(np.arange(frames), [0.01, 0.002, 0.03])
    return Motion("walk", np.arange(frames) / fps, rotations, root, np.eye(4))


def clip(of: Skeleton, moved: Motion, names: tuple[str, ...] | None = None, turn: Rotation | None = None) -> Clip:
    """A motion as a clip; `turn`: both its rest pose and its world have other axes."""
    turns, places = chained(of.parents, moved.rotations, np.concatenate(
        [moved.root[:, None], np.broadcast_to(of.offsets()[1:], (len(moved.root), len(of.names) - 1, 3))], 1
    ))  # fmt: skip
    found = Clip(names or of.names, of.parents, of.joints, moved.times, turns, places, None)
    return found if turn is None else reframed(found, turn, turn)


def reframed(of: Clip, rest: Rotation, world: Rotation) -> Clip:
    """The same clip with other axes at rest and in the world."""
    turns = [(world * Rotation.from_quat(turn) * rest.inv()).as_quat() for turn in of.rotations]
    places = np.stack([world.apply(places) for places in of.positions])
    return dataclasses.replace(of, joints=rest.apply(of.joints), rotations=np.stack(turns), positions=places)


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angles (degrees) between rotations."""
    shape = a.shape[:-1]
    between = Rotation.from_quat(a.reshape(-1, 4)).inv() * Rotation.from_quat(b.reshape(-1, 4))
    return np.degrees(between.magnitude()).reshape(shape)
