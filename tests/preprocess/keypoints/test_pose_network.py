"""The pose network's output: refinement by heatmaps, mirror images and their mean."""

import numpy as np

from preprocess.keypoints.pose_network import MIRROR, _Output, refine
from preprocess.skeleton import NAMES


def test_refinement_finds_the_peak() -> None:
    x, y = 100.7, 60.2  # where the joint is, in crop pixels
    heatmap = np.full((64, 64, 1), -20.0)
    columns, rows = np.meshgrid(np.arange(64), np.arange(64))
    distance = (4 * columns - 0.5 - x) ** 2 + (4 * rows - 0.5 - y) ** 2
    heatmap[..., 0] = 3 - distance / 8
    [found] = refine(np.array([[x + 3, y - 2]]), heatmap)
    np.testing.assert_allclose(found, [x, y], atol=0.3)
    unsure = refine(np.array([[x + 3, y - 2]]), heatmap - 10)
    np.testing.assert_array_equal(unsure, [[x + 3, y - 2]])
    outside = refine(np.array([[-9.0, 400.0]]), heatmap)
    np.testing.assert_array_equal(outside, [[-9, 400]])


def test_mirror_exchanges_sides_and_is_its_own_inverse() -> None:
    assert MIRROR[NAMES.index("left_wrist")] == NAMES.index("right_wrist")
    assert MIRROR[NAMES.index("mouth_left")] == NAMES.index("mouth_right")
    assert MIRROR[NAMES.index("nose")] == NAMES.index("nose")
    rng = np.random.default_rng(0)
    answer = _Output(rng.random((39, 2)) * 255, rng.random((39, 2)), rng.random((33, 3)), 1.0, rng.random((256, 256)))
    again = answer.mirrored().mirrored()
    np.testing.assert_allclose(again.points, answer.points)
    np.testing.assert_allclose(again.world_points, answer.world_points)
    np.testing.assert_array_equal(again.mask_logits, answer.mask_logits)
    np.testing.assert_allclose(answer.mirrored().points[MIRROR][:, 0], 255 - answer.points[:, 0])


def test_contradicting_answers_are_not_averaged() -> None:
    rng = np.random.default_rng(0)
    answer = _Output(rng.random((39, 2)) * 255, np.zeros((39, 2)), np.zeros((33, 3)), 1.0, np.zeros((256, 256)))
    near = _Output(answer.points + 2, answer.logits, answer.world_points, 0.5, answer.mask_logits)
    mean = answer.mean(near)
    np.testing.assert_allclose(mean.points, answer.points + 1)
    assert mean.score == 0.75
    flipped = _Output(answer.points[MIRROR], answer.logits, answer.world_points, 1.0, answer.mask_logits)
    assert answer.mean(flipped) is answer
