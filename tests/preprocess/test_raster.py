import numpy as np
import pytest
from scipy.spatial import Delaunay

from preprocess.raster import rasterise
from tests import toy


@pytest.mark.parametrize(("frame", "camera"), [(0, 0), (1, 1), (2, 2), (4, 1)])
def test_agrees_with_casting_a_ray_through_every_pixel(frame, camera):
    body, view = toy.template(), toy.camera(camera, 96)
    vertices = toy.world_vertices(body, frame)
    seen = rasterise(view.project(vertices).numpy(), body.faces.numpy(), view.height, view.width)
    cast = toy.cast(vertices, body.faces, view)
    assert (seen >= 0).sum() > 500
    np.testing.assert_array_equal(seen >= 0, cast >= 0)
    # where two faces meet within rounding, either may be seen
    assert (seen != cast).mean() < 1e-3


def test_covers_pixel_centres_and_edges():
    triangle = np.array([[1.0, 1.0, 2.0], [5.0, 1.0, 2.0], [1.0, 5.0, 2.0]])
    seen = rasterise(triangle, np.array([[0, 1, 2]]), 7, 8)
    y, x = np.mgrid[0:7, 0:8]
    np.testing.assert_array_equal(seen == 0, (x >= 1) & (y >= 1) & (x + y <= 6))
    assert seen.dtype == np.int32 and seen.min() == -1
    shifted = rasterise(triangle + np.array([0.01, 0, 0]), np.array([[2, 1, 0]]), 7, 8)  # the other winding
    np.testing.assert_array_equal(shifted == 0, (x >= 2) & (y >= 1) & (x + y <= 6))


def test_a_triangulated_sheet_has_no_cracks():
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0], [30, 0], [0, 20], [30, 20]])
    points = np.concatenate([corners, rng.integers(0, [31, 21], (60, 2)), rng.uniform(0, [30, 20], (60, 2))])
    points = np.unique(points, axis=0)
    seen = rasterise(np.c_[points, rng.uniform(1, 2, len(points))], Delaunay(points).simplices, 21, 31)
    assert (seen >= 0).all()


def test_crossing_faces_meet_where_their_depths_do():
    # two sheets through x = 8 in space: depth 1 + 0.1 X and 1.8 - 0.1 X at picture x = 10 X / depth
    def sheet(depth_at_0, depth_at_8, y):
        return [[0, y, depth_at_0], [80 / depth_at_8, y, depth_at_8]]

    left, right = sheet(1.0, 1.8, 0), sheet(1.0, 1.8, 4)
    rising = np.array([*left, *right])
    falling = np.array([*sheet(1.8, 1.0, 0), *sheet(1.8, 1.0, 4)])
    faces = np.array([[0, 1, 3], [0, 3, 2]])
    seen = rasterise(np.concatenate([rising, falling]), np.concatenate([faces, faces + 4]), 5, 80)
    # they cross at X = 4, depth 1.4: x = 28.57
    near = np.where(seen[2] < 0, -1, seen[2] // 2)
    assert (near[:29] == 0).all() and (near[29:45] == 1).all()


def test_leaves_out_what_lies_behind_the_camera_or_has_no_area():
    triangle = np.array([[1.0, 1.0, 2.0], [5.0, 1.0, -2.0], [1.0, 5.0, 2.0], [3.0, 1.0, 2.0], [1.0, 3.0, 2.0]])
    faces = np.array([[0, 1, 2], [0, 3, 0], [0, 3, 4]])
    seen = rasterise(triangle, faces, 6, 6)
    assert set(np.unique(seen)) == {-1, 2}
    assert (rasterise(triangle + np.array([100, 0, 0]), faces, 6, 6) == -1).all()
    big = np.array([[-1e6, -1e6, 1.0], [1e6, -1e6, 1.0], [0, 1e6, 1.0]])
    assert (rasterise(big, np.array([[0, 1, 2]]), 6, 6) == 0).all()
