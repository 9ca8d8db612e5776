"""The mannequin's motion."""

import numpy as np
import torch

from hashhuman.body.template import SMPL_JOINTS, BodyPose


def motion(n_frames: int, rng: np.random.Generator, novel: bool) -> list[BodyPose]:
    """Poses of a person who walks on the spot, swings the arms and turns round once.

    `novel` poses move faster and further than training poses. Numbers are drawn from `rng`.
    """
    wave = 2 * np.pi * (3 if novel else 2) * np.arange(n_frames) / n_frames
    size = rng.uniform(0.6, 1.0, 3) * (1.2 if novel else 1.0)
    body_pose = np.zeros((n_frames, len(SMPL_JOINTS), 3))

    def turn(joint: str, axis: int, angle: np.ndarray) -> None:
        body_pose[:, SMPL_JOINTS.index(joint), axis] = angle

    for side, sign in (("left", 1), ("right", -1)):
        turn(f"{side}_hip", 0, -0.4 * sign * size[0] * np.sin(wave))
        turn(f"{side}_knee", 0, 0.3 * size[0] * (1 + sign * np.sin(wave + 0.5)))
        turn(f"{side}_shoulder", 2, sign * (-0.9 + 0.35 * size[1] * np.sin(wave / 2 + 0.3 * sign)))
        turn(f"{side}_shoulder", 1, 0.4 * sign * size[2] * np.sin(wave))
        turn(f"{side}_elbow", 1, -0.5 * sign * size[1] * (1 + np.sin(wave + sign)))
    turn("spine1", 1, 0.2 * np.sin(wave / 2))
    turn("spine2", 0, 0.1 * np.sin(wave))
    turn("neck", 1, 0.3 * np.sin(wave / 2))
    facing = rng.uniform(0, 2 * np.pi) if novel else 0.0
    yaw = facing + 2 * np.pi * np.arange(n_frames) / n_frames
    sway = np.stack([0.06 * np.sin(wave / 2), 0.015 * np.sin(wave), 0.04 * np.cos(wave / 2)], 1)
    return [
        BodyPose(
            torch.from_numpy(pose).float(),
            torch.tensor([0.0, _wrapped(angle), 0.0]),
            torch.from_numpy(shift).float(),
        )
        for pose, angle, shift in zip(body_pose, yaw, sway)
    ]


def _wrapped(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)
