"""Metric points from several cameras."""

import numpy as np

from preprocess.keypoints.camera_axes import to_camera_axes
from preprocess.keypoints.triangulate import triangulated_world_points
from preprocess.skeleton import NAMES
from tests.preprocess.several_cameras import keypoints


def test_triangulates_metric_points(views, rng):
    points = rng.normal(0, 0.3, (4, 33, 3))
    seen = [keypoints(camera, points) for camera in views]
    seen[1].image_points[2, 5] += 200  # one camera is wrong: the other two outvote it
    seen[1].visibility[1, 9] = seen[2].visibility[1, 9] = 0  # seen by one only: stays as it was
    seen[2].detected[3] = False
    metric = triangulated_world_points(seen, views)
    assert (metric[1, 9] == 7).all()
    metric = np.where(metric == 7, np.nan, metric).astype(float)
    K = views[0].K.double().numpy()
    found = to_camera_axes(metric, seen[0].image_points.astype(float), K)
    expected = points @ views[0].R.numpy().T + views[0].T.numpy()
    hips = [NAMES.index("left_hip"), NAMES.index("right_hip")]
    expected -= expected[:, hips].mean(1, keepdims=True)
    known = np.isfinite(found)
    assert known.sum() == known.size - 3
    np.testing.assert_allclose(found[known], expected[known], atol=0.002)


def test_without_hips_nothing_changes(views, rng):
    points = rng.normal(0, 0.3, (2, 33, 3))
    seen = [keypoints(camera, points) for camera in views[:2]]
    seen[1].visibility[1, NAMES.index("left_hip")] = 0
    metric = triangulated_world_points(seen, views[:2])
    assert (metric[1] == 7).all() and not (metric[0] == 7).any()
