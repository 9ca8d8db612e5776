"""Poses of a run against a truth that is made of the run's own poses."""

import json

import numpy as np
import pytest

from benchmarks import run_poses
from benchmarks.placing import named_joints
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.io.files import save_npz
from hashhuman.training import run
from tests.benchmarks.test_real import FIRST, runs, subject  # noqa: F401  (fixtures)


def test_refined_poses_are_measured_as_they_are_rendered(subject, runs, tmp_path):  # noqa: F811
    """The truth has the refined poses of all frames, one of which is held out, and a body of twice the size."""
    module, data, _ = run.load(runs / "toy")
    poses = [module.avatar.refined_pose(data.subject.pose(frame), frame) for frame in range(4)]
    joints = named_joints(data.subject.template(), poses)
    camera, scene = Subject(subject).camera(0), tmp_path / "scenes/toy"
    writer = SubjectWriter(scene)
    writer.write_annots([camera], [np.zeros(5)], [[writer.image_path(0, FIRST)]])
    true = np.full((FIRST + 4, len(joints), 3), np.nan)
    true[FIRST:] = 2 * np.stack(list(joints.values()), 1)
    save_npz(scene / "truth.npz", {"names": np.array(list(joints)), "joints": true})
    (scene / "scene.json").write_text(json.dumps({"frames": FIRST + 4}))
    fitted, refined = run_poses.measured(runs / "toy", scene, subject, "mine")
    assert (fitted["label"], refined["label"], fitted["frames"]) == ("mine, as fitted", "mine, as refined", 4)
    assert refined["scale"] == pytest.approx(2, rel=1e-5) and refined["PA"] < 0.01
    assert abs(fitted["scale"] - 2) > 1e-3  # they turn the body otherwise
    relative = np.stack([x - joints["pelvis"] for name, x in joints.items() if "hand" not in name])
    assert refined["MPJPE"] == pytest.approx(1000 * np.linalg.norm(relative, axis=-1).mean(), rel=1e-4)
