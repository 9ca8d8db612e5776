"""Where the pelvis is, of a tool that gives another point of the body."""

from types import SimpleNamespace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from preprocess.body_fit.init.from_motion import _in_front_of_camera
from preprocess.body_fit.landmarks import LANDMARKS, OFFSETS
from preprocess.body_fit.sequence import BodySequence
from preprocess.body_fit.source.motion import Motion


def test_the_middle_of_the_hips_is_no_translation(body):
    """Somebody bends down, until they are upside down, about a pelvis that keeps its place."""
    frames, pelvis = 7, np.array([0.2, 0.1, 3.0])
    root = Rotation.from_euler("x", np.linspace(180, 0, frames)[:, None], degrees=True).as_matrix()
    joints = body.template(body.shape_mean).joints.double().numpy()
    middle = joints[[body.joint_names.index(f"{side}_hip") for side in ("left", "right")]].mean(0) - joints[0]
    motion = Motion(
        at=np.arange(float(frames)),
        rotations=np.tile(np.eye(3), (frames, 24, 1, 1)),
        transl=pelvis + root @ middle,
        hips=pelvis + root @ middle,
        betas=np.zeros(10),
        K=np.array([[500.0, 0, 300], [0, 500, 300], [0, 0, 1]]),
    )
    sequence = BodySequence(body, LANDMARKS, OFFSETS, torch.arange(4), frames)
    evidence = SimpleNamespace(image=torch.zeros(frames, len(LANDMARKS), 2), image_weight=None, K=None)
    with torch.no_grad():
        for rest in (None, torch.tensor([0.0, -0.2, 0.03])):  # the free body, and SMPL
            found = _in_front_of_camera(sequence, evidence, motion, torch.from_numpy(root).float(), rest)[1]  # type: ignore[arg-type]
            np.testing.assert_allclose(found, np.tile(pelvis, (frames, 1)), atol=1e-4)
