"""The mannequin's mesh and skeleton."""

import numpy as np
import pytest
import torch

from hashhuman.body.parts import INSTANT_NVR_PARTS, part_of_vertices
from hashhuman.data.synthetic import mannequin
from tests.hashhuman.data.synthetic.segments import distance_to_axis

trimesh = pytest.importorskip("trimesh")


def test_each_capsule_is_a_closed_outward_mesh():
    for capsule in mannequin.mannequin():
        template = mannequin.mesh([capsule])
        mesh = trimesh.Trimesh(template.vertices.numpy(), template.faces.numpy(), process=False)
        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        length = np.linalg.norm(np.subtract(capsule.end, capsule.start))
        volume = np.pi * capsule.radius**2 * (length + 4 / 3 * capsule.radius)
        assert mesh.volume == pytest.approx(volume, rel=0.12)  # a mesh inside the smooth surface
        distance = distance_to_axis(mesh.vertices, np.array(capsule.start), np.array(capsule.end))
        np.testing.assert_allclose(distance, capsule.radius, atol=1e-6)


def test_the_skeleton_is_symmetric_and_named():
    template = mannequin.mesh(mannequin.mannequin())
    joints = dict(zip(template.joint_names, template.joints.numpy()))
    for name, position in joints.items():
        if name.startswith("left_"):
            assert position[0] > 0
            np.testing.assert_allclose(joints[name.replace("left", "right")], position * [-1, 1, 1])
    assert torch.bincount(part_of_vertices(template, INSTANT_NVR_PARTS)).min() > 100
    assert template.uv is not None
    assert 0 <= template.uv.min() <= template.uv.max() <= 1
