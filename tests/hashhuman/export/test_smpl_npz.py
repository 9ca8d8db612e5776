"""The archive's poses put the joints where the run has them, by SMPL's formula."""

import numpy as np
import pytest
import torch

from hashhuman.body.conventions import transl_from_smpl
from hashhuman.export.smpl_npz import smpl_arrays
from hashhuman.geometry import skinning
from tests.hashhuman.export.solid import template


def test_joints_by_smpls_formula(exports):
    arrays = smpl_arrays(exports.skeleton, exports.motion)
    joints, parents = torch.from_numpy(arrays["joints"]), arrays["parents"].tolist()
    rotations = skinning.axis_angle_to_matrix(torch.from_numpy(arrays["poses"]).reshape(6, 5, 3))
    bones = skinning.forward_kinematics(rotations, joints, parents)  # turns about the pelvis, which stays
    own = skinning.transform(bones, joints).numpy() + arrays["transl"][:, None]
    assert own == pytest.approx(exports.motion.joints(exports.skeleton), abs=1e-6)
    assert arrays["mocap_framerate"] == pytest.approx(25)
    orient, transl = (torch.from_numpy(arrays[name]) for name in ("global_orient", "transl"))
    ours = transl_from_smpl(orient, transl, joints[0])
    pelvis = (skinning.axis_angle_to_matrix(orient) @ joints[0]) + ours
    assert pelvis.numpy() == pytest.approx(exports.motion.root, abs=1e-6)
    assert list(arrays["joint_names"]) == list(template().joint_names) and np.isfinite(arrays["poses"]).all()
