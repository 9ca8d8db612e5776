"""The body's size and fit from several cameras."""

import dataclasses

import numpy as np
import pytest
from rich.progress import Progress

from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import load_npz, write_image
from preprocess.body_fit import cameras as body_cameras
from preprocess.body_fit import result
from preprocess.body_fit.cameras import JOINTS, CameraFit, scaled
from preprocess.keypoints.points import points_path, segmentation_folder
from preprocess.skeleton import NAMES
from preprocess.stage import Stage, run_stage
from tests import toy
from tests.preprocess.several_cameras import keypoints


class FakeFit(Stage):
    """The toy with twelve joints to compare, seen by the first camera as it should be, but in the wrong size."""

    name = "body_fit"

    def __init__(self, joints: np.ndarray, size: float):
        self.joints, self.size = joints, size

    def inputs(self, subject):
        return [points_path(subject)]

    def outputs(self, subject):
        names = ("smpl_params", "smpl_vertices", "smpl_lbs", "pictures/body_fit")
        return [result.report_path(subject), *(subject / name for name in names)]

    def settings(self):
        return {"size": self.size}

    def run(self, subject, progress):
        reader, writer = Subject(subject), SubjectWriter(subject)
        center = reader.camera(0).center
        template = scaled(toy.template(), self.size)
        poses = [toy.pose(frame) for frame in range(4)]
        moved = [dataclasses.replace(p, transl=center + self.size * (p.transl - center)) for p in poses]
        result.write_body(writer, template, moved, list(range(4)), np.array([0.5, 2]))
        nothing = np.zeros(4, bool)
        joints = center.numpy() + self.size * (self.joints - center.numpy())
        fields = (np.arange(4), np.full(4, 1.0), np.full(4, 0.9), nothing, nothing, joints.astype(np.float32))
        result.FitReport(*fields, joint_names=JOINTS).save(result.report_path(subject))
        return "fitted"


@pytest.mark.parametrize("size", [0.8, 1.0, 1.15])
def test_the_other_cameras_tell_the_size(several, views, rng, size):
    joints = rng.normal(0, 0.3, (4, 12, 3))
    points = np.zeros((4, 33, 3))
    points[:, [NAMES.index(name) for name in JOINTS]] = joints
    for camera, view in enumerate(views):
        seen = keypoints(view, points)
        if camera == 2:
            seen.image_points[0] += 150  # a bad frame
        seen.save(points_path(several, camera))
        for frame in range(4):
            write_image(segmentation_folder(several).parent / f"{camera:02d}/{frame:06d}.png", silhouette(view, frame))
    with Progress(disable=True) as progress:
        summary = run_stage(CameraFit(FakeFit(joints, size), pictures=1), several, progress)
    reader = Subject(several)
    for frame in range(4):
        np.testing.assert_allclose(reader.vertices(frame), toy.world_vertices(toy.template(), frame), atol=0.01)
        posed = reader.template().pose_vertices(reader.pose(frame).body_pose)
        world = posed @ reader.pose(frame).world_from_posed()[:3, :3].T + reader.pose(frame).world_from_posed()[:3, 3]
        np.testing.assert_allclose(reader.vertices(frame), world, atol=1e-4)
    np.testing.assert_allclose(load_npz(result.report_path(several))["joints"], joints, atol=0.01)
    assert reader.meta["scale"] == pytest.approx(1 / size, rel=0.005)
    assert summary.startswith("fitted; scaled by") and "points 0, 0 px, IoU 0.9" in summary
    assert sorted(p.name for p in (several / "pictures/body_fit").iterdir()) == ["01", "02"]


def silhouette(view: Camera, frame: int) -> np.ndarray:
    body = toy.template()
    corners = view.project(toy.world_vertices(body, frame)).numpy()
    mask = np.zeros((view.height, view.width), np.uint8)
    seen = body_cameras.result.rasterise(corners, body.faces.numpy(), view.height, view.width) >= 0
    mask[seen] = 255
    return mask


def test_cameras_that_do_not_fit_the_body(several, views, rng):
    joints = rng.normal(0, 0.3, (4, 12, 3))
    points = np.zeros((4, 33, 3))
    for camera, view in enumerate(views):
        keypoints(view, points).save(points_path(several, camera))
    nobody = keypoints(views[1], points)
    nobody.detected[:] = False
    nobody.save(points_path(several, 1))
    with Progress(disable=True) as progress:
        with pytest.raises(UserError, match="does not see the person at all"):
            run_stage(CameraFit(FakeFit(joints, 1.0)), several, progress)
        keypoints(views[1], points[:2]).save(points_path(several, 1))
        with pytest.raises(UserError, match="different frames"):
            run_stage(CameraFit(FakeFit(joints, 1.0)), several, progress)
