"""A larger scene, read back as a subject."""

import numpy as np
import pytest
import torch

from benchmarks import larger_scene
from hashhuman.data.splits import split
from hashhuman.data.subject import Subject
from hashhuman.io import files
from tests import toy


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> tuple[Subject, Subject]:
    """A scene of four frames with three training frames, and a larger one with seven frames and twice the pixels."""
    root = tmp_path_factory.mktemp("scenes")
    toy.write_subject(root / "small", n_frames=4)
    files.save_json(root / "small/scene.json", {"seed": 5, "frames": 3})
    small = Subject(root / "small")
    larger_scene.make(root / "small", root / "large", 7, 2 * max(small.camera(0).height, small.camera(0).width))
    return small, Subject(root / "large")


def test_only_the_first_camera_has_repeated_frames(scenes):
    _, large = scenes
    found = {name: [(p.camera, p.frame) for p in pictures] for name, pictures in split(large).items()}
    assert found["train"] == [(0, frame) for frame in range(7)]
    assert found["novel_view"] == [(1, 0), (1, 1), (1, 2)] and found["novel_pose"] == [(1, 7)]
    assert large.scene == {"seed": 5, "frames": 7, "distinct_frames": 3}
    assert len(large.sources(large.pictures)) == len({*large.sources(large.pictures)})


@pytest.mark.parametrize("frame, source", [(0, 0), (4, 1), (6, 0), (7, 3)])
def test_a_repeated_frame_equals_its_source(scenes, frame, source):
    small, large = scenes
    assert torch.equal(large.pose(frame).body_pose, small.pose(source).body_pose)
    assert np.array_equal(large.vertices(frame), small.vertices(source))
    before, after = (
        next(p for p in subject.pictures if (p.camera, p.frame) == (0, needed))
        for subject, needed in ((small, source), (large, frame))
    )
    assert large.image(after).shape == (2 * small.camera(0).height, 2 * small.camera(0).width, 3)

    def halved(x: np.ndarray) -> np.ndarray:
        return x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1).mean((1, 3)).squeeze()

    assert abs(halved(large.image(after)) - small.image(before)).mean() < 8  # of 255
    assert abs(halved(large.mask(after)) - small.mask(before)).mean() < 0.03
    parts = np.repeat(np.repeat(small.parts(before), 2, 0), 2, 1)
    assert np.array_equal(large.parts(after), parts) and parts.any()


def test_bodies_project_to_the_same_places(scenes):
    small, large = scenes
    point = torch.from_numpy(small.vertices(0))
    for camera in (0, 1):
        x, y, _ = small.camera(camera).project(point).unbind(-1)
        needed = torch.stack([2 * x + 0.5, 2 * y + 0.5], -1)  # the corner of the picture lies at -0.5 in both
        assert torch.allclose(large.camera(camera).project(point)[:, :2], needed, atol=1e-2)
