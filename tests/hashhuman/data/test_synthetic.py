"""The scene that the project renders itself."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hashhuman.body.parts import INSTANT_NVR_PARTS, part_of_vertices
from hashhuman.data import synthetic
from hashhuman.data.splits import split
from hashhuman.data.subject import Subject
from hashhuman.io import files

trimesh = pytest.importorskip("trimesh")

SETTINGS = {"seed": 1, "n_frames": 4, "n_novel": 3, "n_cameras": 3, "test_every": 2, "size": 64}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic")
    synthetic.SyntheticScene(**SETTINGS).prepare(root)
    return root


def distance_to_axis(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distance of points (..., 3) to a segment."""
    axis = end - start
    along = np.clip((points - start) @ axis / (axis @ axis), 0, 1)
    return np.linalg.norm(points - start - along[..., None] * axis, axis=-1)


def test_intersections_agree_with_sphere_tracing():
    rng = np.random.default_rng(0)
    start, end, radius = np.array([0.1, -0.2, 0.3]), np.array([0.4, 0.3, -0.1]), 0.15
    origins = rng.normal(size=(400, 3))
    origins *= 2 / np.linalg.norm(origins, axis=1, keepdims=True)
    directions = rng.uniform(-0.5, 0.5, (400, 3)) - origins
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    traced = np.zeros(400)
    for _ in range(500):
        traced += distance_to_axis(origins + traced[:, None] * directions, start, end) - radius
    expected = np.where(traced < 10, traced, np.inf)
    assert 50 < np.isfinite(expected).sum() < 300
    np.testing.assert_allclose(synthetic.intersect(origins, directions, start, end, radius), expected, atol=1e-5)


def test_rays_from_behind_the_capsule_miss():
    origin, direction = np.array([[0.0, 0.0, 3.0]]), np.array([[0.0, 0.0, 1.0]])
    ends = np.array([-0.5, 0.0, 0.0]), np.array([0.5, 0.0, 0.0])
    assert synthetic.intersect(origin, direction, *ends, 0.2) == np.inf
    assert synthetic.intersect(origin, -direction, *ends, 0.2) == pytest.approx(2.8)


def test_each_capsule_is_a_closed_outward_mesh():
    for capsule in synthetic.mannequin():
        template = synthetic.mesh([capsule])
        mesh = trimesh.Trimesh(template.vertices.numpy(), template.faces.numpy(), process=False)
        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        length = np.linalg.norm(np.subtract(capsule.end, capsule.start))
        volume = np.pi * capsule.radius**2 * (length + 4 / 3 * capsule.radius)
        assert mesh.volume == pytest.approx(volume, rel=0.12)  # a mesh inside the smooth surface
        distance = distance_to_axis(mesh.vertices, np.array(capsule.start), np.array(capsule.end))
        np.testing.assert_allclose(distance, capsule.radius, atol=1e-6)


def test_the_skeleton_is_symmetric_and_named():
    template = synthetic.mesh(synthetic.mannequin())
    joints = dict(zip(template.joint_names, template.joints.numpy()))
    for name, position in joints.items():
        if name.startswith("left_"):
            assert position[0] > 0
            np.testing.assert_allclose(joints[name.replace("left", "right")], position * [-1, 1, 1])
    assert torch.bincount(part_of_vertices(template, INSTANT_NVR_PARTS)).min() > 100
    assert template.uv is not None
    assert 0 <= template.uv.min() <= template.uv.max() <= 1


def test_the_scene_loads_and_splits(scene: Path):
    subject = Subject(scene)
    found = {name: [(p.camera, p.frame) for p in pictures] for name, pictures in split(subject).items()}
    assert found == {
        "train": [(0, 0), (0, 1), (0, 2), (0, 3)],
        "heldout": [],
        "novel_view": [(1, 0), (2, 0), (1, 2), (2, 2)],
        "novel_pose": [(1, 4), (2, 4), (1, 6), (2, 6)],
    }


def test_pictures_show_the_body(scene: Path):
    """Vertices project into the mask, and the mask reaches as far as they do."""
    subject = Subject(scene)
    for picture in subject.pictures:
        pixels = (
            subject.camera(picture.camera).project(torch.from_numpy(subject.vertices(picture.frame)))[:, :2].numpy()
        )
        mask, image = subject.mask(picture), subject.image(picture)
        ys, xs = np.nonzero(mask > 0.5)
        assert np.abs(pixels.min(0) - (xs.min(), ys.min())).max() < 1.6
        assert np.abs(pixels.max(0) - (xs.max(), ys.max())).max() < 1.6
        x, y = np.rint(pixels).astype(int).T
        assert (mask[y, x] > 0).mean() > 0.96  # the rest lies on the outline
        assert not image[mask == 0].any()
        assert (image[mask == 1].max(-1) > 5).all()
        labels = subject.parts(picture)
        assert set(np.unique(labels)) <= {0, 5, 13, 14, 15, 16, 17}
        assert ((labels > 0) == (mask > 0.5)).mean() > 0.97


def test_left_is_the_persons_left(scene: Path):
    """In the first picture the person faces the camera: the left arm and leg are to the right in it."""
    subject = Subject(scene)
    labels = subject.parts(subject.pictures[0])
    mean_x = {label: np.nonzero(labels == label)[1].mean() for label in (14, 15, 16, 17)}
    assert mean_x[14] > mean_x[15]
    assert mean_x[16] > mean_x[17]


def test_the_scene_is_made_once(scene: Path, tmp_path: Path):
    before = {path: path.stat().st_mtime_ns for path in scene.rglob("*.png")}
    synthetic.SyntheticScene(**SETTINGS).prepare(scene)
    assert {path: path.stat().st_mtime_ns for path in scene.rglob("*.png")} == before
    small = SETTINGS | {"n_frames": 1, "n_novel": 0, "n_cameras": 1, "size": 16}
    synthetic.SyntheticScene(**small).prepare(tmp_path)
    first = files.read_image(tmp_path / "images/00/000000.png")
    synthetic.SyntheticScene(**(small | {"seed": 2})).prepare(tmp_path)
    assert (files.read_image(tmp_path / "images/00/000000.png") != first).any()
    assert files.load_json(tmp_path / "scene.json")["seed"] == 2
