"""Volumes around the body."""

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator

from hashhuman.body import volumes


@pytest.fixture
def body(toy_template):
    return toy_template.vertices.numpy(), toy_template.faces.numpy(), toy_template.lbs_weights.numpy()


def test_nodes_start_below_the_body_and_pass_it(body):
    vertices = body[0]
    nodes = volumes.grid_nodes(vertices, step=0.05, pad=0.1)
    np.testing.assert_allclose(nodes[0, 0, 0], vertices.min(0) - 0.1, atol=1e-6)
    np.testing.assert_allclose(nodes[1, 2, 3] - nodes[0, 0, 0], [0.05, 0.1, 0.15], atol=1e-6)
    past = nodes[-1, -1, -1] - (vertices.max(0) + 0.1)
    assert ((past > -1e-6) & (past < 0.05 + 1e-6)).all()


def test_weights_and_distances_by_brute_force(body):
    vertices, faces, weights = body
    volume, origin, step = volumes.blend_weight_volume(vertices, faces, weights, step=0.1, pad=0.2)
    assert volume.shape[-1] == 6
    assert volume.dtype == np.float32
    rng = np.random.default_rng(0)
    for _ in range(50):
        node = rng.integers(0, volume.shape[:3])
        distance = np.linalg.norm(vertices - (origin + step * node), axis=1)
        assert volume[*node, -1] == pytest.approx(distance.min(), abs=1e-5)
        nearest = np.flatnonzero(distance < distance.min() + 1e-5)
        assert min(np.abs(weights[v] - volume[*node, :-1]).max() for v in nearest) < 1e-6


def test_closest_points_are_up_to_the_caller(body):
    """The caller's function says: half of vertex 0 and half of vertex 9, at 7 m."""

    def closest(points, vertices, faces):
        index = np.tile([0, 9], (len(points), 1))
        return index, np.full(index.shape, 0.5), np.full(len(points), 7.0)

    vertices, faces, weights = body
    volume, _, _ = volumes.blend_weight_volume(vertices, faces, weights, step=0.2, closest=closest)
    np.testing.assert_allclose(volume[..., :-1], np.broadcast_to((weights[0] + weights[9]) / 2, (*volume.shape[:3], 5)))
    assert (volume[..., -1] == 7).all()


def test_sampling_agrees_with_scipy():
    rng = np.random.default_rng(1)
    volume = rng.normal(size=(4, 5, 6, 3)).astype(np.float32)
    origin, step = np.array([-1.0, 0.5, 2.0], np.float32), 0.25
    axes = [origin[k] + step * np.arange(volume.shape[k]) for k in range(3)]
    points = origin + rng.uniform(0, 1, (7, 11, 3)) * step * (np.array(volume.shape[:3]) - 1)
    expected = RegularGridInterpolator(axes, volume)(points)
    found = volumes.sample_volume(
        torch.from_numpy(volume), torch.from_numpy(origin), step, torch.from_numpy(points.astype(np.float32))
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)
    outside = volumes.sample_volume(torch.from_numpy(volume), torch.from_numpy(origin), step, torch.full((1, 3), 99.0))
    np.testing.assert_allclose(outside[0], volume[-1, -1, -1], atol=1e-5)


def test_values_at_vertices_are_not_blended(body):
    vertices, faces, _ = body
    uv = np.random.default_rng(2).uniform(size=(40, 2)).astype(np.float32)
    volume = volumes.uv_volume(vertices, faces, uv, step=0.02)
    found = volumes.vertex_values(volume, volumes.volume_origin(vertices), 0.02, vertices)
    np.testing.assert_array_equal(found, uv)


def test_texture_coordinates_of_front_and_back(body):
    vertices, faces, _ = body
    uv = volumes.front_back_uv(vertices, faces)
    front = vertices[:, 2] > 0  # the toy's boxes are as deep in front as behind
    across = (vertices[:, 0] + 0.71) / 1.42  # from fingertip to fingertip
    np.testing.assert_allclose(uv[:, 0], np.where(front, across / 2, 1 - across / 2), atol=1e-6)
    np.testing.assert_allclose(uv[:, 1], (vertices[:, 1] + 0.75) / 1.62, atol=1e-6)
