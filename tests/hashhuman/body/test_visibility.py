"""Visibility against casting a ray from every vertex to the camera through every triangle."""

import numpy as np
import pytest
import torch

from hashhuman.body.surface import vertex_areas, vertex_normals
from hashhuman.body.visibility import seen_vertices, times_seen, unseen_fractions, visible_vertices
from hashhuman.geometry.camera import Camera
from tests import toy

trimesh = pytest.importorskip("trimesh")


def camera_at(position: list[float], size: int = 200) -> Camera:
    """A camera on the z axis that looks at the origin along -z or +z."""
    back = torch.tensor(position) / torch.tensor(position).norm()
    right = torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]), back)
    right = right / right.norm()
    R = torch.stack([right, torch.linalg.cross(-back, right), -back])
    K = torch.tensor([[1.5 * size, 0, size / 2], [0, 1.5 * size, size / 2], [0, 0, 1]])
    return Camera(K, R, -R @ torch.tensor(position), size, size)


def cast(mesh: trimesh.Trimesh, eye: np.ndarray) -> np.ndarray:
    """Whether the line from each vertex to the eye is free (Moller and Trumbore), in numpy."""
    vertices = np.asarray(mesh.vertices)
    a, b, c = vertices[mesh.faces].transpose(1, 0, 2)
    free = np.ones(len(vertices), bool)
    for i, vertex in enumerate(vertices):
        d = eye - vertex
        p = np.cross(d, c - a)
        det = ((b - a) * p).sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = ((vertex - a) * p).sum(1) / det
            q = np.cross(vertex - a, b - a)
            v, t = (q @ d) / det, ((c - a) * q).sum(1) / det
            free[i] = not ((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-6) & (t < 1)).any()
    return free


@pytest.fixture(scope="module")
def balls() -> trimesh.Trimesh:
    """A ball of 30 cm with a ball of 12 cm in front of it."""
    large, small = (trimesh.creation.icosphere(subdivisions=3, radius=radius) for radius in (0.3, 0.12))
    small.apply_translation((0.05, 0.1, 0.6))
    return trimesh.util.concatenate([large, small])


@pytest.mark.parametrize("position", [[0.0, 0.0, 2.5], [0.0, 0.3, -2.5], [2.0, 0.5, 1.5]])
def test_agrees_with_ray_casting(balls, position):
    vertices, faces = torch.tensor(balls.vertices).float(), torch.tensor(balls.faces)
    visible = visible_vertices(vertices, faces, camera_at(position)).numpy()
    expected = cast(balls, np.array(position))
    assert 0.2 < expected.mean() < 0.6
    toward = np.array(position) - balls.vertices
    cosine = (balls.vertex_normals * toward).sum(1) / np.linalg.norm(toward, axis=1)
    clear = abs(cosine) > 0.1  # at the horizon the result depends on the ball's facets
    assert clear.mean() > 0.8 and (visible == expected)[clear].mean() > 0.99


def test_the_small_ball_hides_a_part_of_the_large_one(balls):
    vertices, faces = torch.tensor(balls.vertices).float(), torch.tensor(balls.faces)
    large = slice(0, 642)
    axis = torch.tensor([0.05, 0.1, 0.6]) / torch.tensor([0.05, 0.1, 0.6]).norm()
    behind = vertices[large] @ axis > 0.29  # the small ball
    camera = camera_at((3 * axis).tolist())
    assert behind.sum() > 5
    assert not visible_vertices(vertices, faces, camera)[large][behind].any()
    assert visible_vertices(vertices[large], faces[:1280], camera)[behind].all()


def test_outside_the_picture_is_not_seen(balls):
    vertices, faces = torch.tensor(balls.vertices).float(), torch.tensor(balls.faces)
    camera = camera_at([0.0, 0.0, 2.5])
    shifted = Camera(camera.K - torch.tensor([[0, 0, 100.0], [0, 0, 0], [0, 0, 0]]), camera.R, camera.T, 200, 200)
    whole, half = visible_vertices(vertices, faces, camera), visible_vertices(vertices, faces, shifted)
    in_picture = shifted.project(vertices)[:, 0] > -0.5
    assert torch.equal(half, whole & in_picture) and 0 < half.sum() < whole.sum()
    behind = Camera(camera.K, camera.R, camera.T - torch.tensor([0.0, 0.0, 5.0]), 200, 200)
    assert not visible_vertices(vertices, faces, behind).any()


def test_unseen_fractions_of_a_ball_seen_from_one_side():
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.3)
    vertices, faces = torch.tensor(ball.vertices).float(), torch.tensor(ball.faces)
    front, back, side = (camera_at(p) for p in ([0.0, 0.0, 20.0], [0.0, 0.0, -20.0], [20.0, 0.0, 0.0]))
    seen = visible_vertices(vertices, faces, front)
    away = Camera(front.K, front.R, front.T - torch.tensor([0.0, 0.0, 50.0]), 200, 200)
    fractions = unseen_fractions(vertices, faces, [front, back, side, away], seen)
    assert fractions[0] == 0 and fractions[1] > 0.95 and fractions[3] == 0
    assert fractions[2] == pytest.approx(0.5, abs=0.05)


def test_normals_and_areas_against_trimesh():
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=0.5)
    vertices, faces = torch.tensor(mesh.vertices), torch.tensor(mesh.faces)
    normals = vertex_normals(vertices, faces)
    normals = normals / normals.norm(dim=-1, keepdim=True)
    assert (normals * vertices / 0.5).sum(-1).min() > 0.99
    assert float(vertex_areas(vertices, faces).sum()) == pytest.approx(mesh.area)


def test_seen_vertices_unites_views(toy_subject):
    template = toy_subject.template()
    views = [(toy_subject.camera(camera), toy_subject.pose(0)) for camera in (0, 1)]
    one, other, both = (seen_vertices(template, chosen) for chosen in (views[:1], views[1:], views))
    assert torch.equal(both, one | other) and both.sum() > one.sum() > 0
    assert torch.equal(times_seen(template, views), one.long() + other)
    vertices = toy.world_vertices(template, 0)
    hit = np.unique(toy.cast(vertices, template.faces, toy_subject.camera(0)))[1:]
    assert np.isin(
        np.flatnonzero(one), template.faces[hit].numpy()
    ).all()  # each visible corner belongs to a visible face
