"""Outlines of shapes whose distances are known."""

import numpy as np
import pytest
import torch

from preprocess.body_fit.evidence.silhouette import observe_silhouettes

Y, X = np.mgrid[:120, :160]


def disc(x: float, y: float, radius: float) -> np.ndarray:
    return (255 * (np.hypot(X - x, Y - y) <= radius)).astype(np.uint8)


def test_signed_distance_of_a_disc():
    seen = observe_silhouettes([disc(70, 60, 30)])
    points = torch.tensor([[[70.0, 60], [70, 40], [98, 60], [70, 95], [33, 60]]])
    expected = np.hypot(points[0, :, 0] - 70, points[0, :, 1] - 60) - 30
    assert np.allclose(seen.signed_distance(points)[0], expected, atol=1.2)


def test_contour_points_lie_on_the_rim_and_normals_point_outwards():
    seen = observe_silhouettes([disc(70, 60, 30)])
    arms = seen.points[0].numpy() - [70, 60]
    assert np.allclose(np.linalg.norm(arms, axis=1), 30, atol=1.2)
    assert ((arms / 30 * seen.normals[0].numpy()).sum(1) > 0.95).all()
    assert seen.point_valid.all() and seen.valid.all()


def test_the_edge_of_the_picture_is_no_outline():
    seen = observe_silhouettes([disc(80, 110, 40)])
    ignored = seen.points[0][~seen.point_valid[0]]
    assert len(ignored) > 5 and (ignored[:, 1] >= 117).all()
    assert seen.point_valid.any()
    # nor is the person known to end there: skin above the disc is outside the mask, skin below the picture is not
    assert seen.signed_distance(torch.tensor([[[80.0, 60], [80, 123]]])).tolist()[0] == [pytest.approx(10, abs=2), 0]


def test_small_blobs_do_not_count():
    alone, beside = observe_silhouettes([disc(60, 60, 30)]), observe_silhouettes([disc(60, 60, 30) | disc(140, 20, 6)])
    assert torch.equal(alone.points, beside.points)


def test_holes_have_outlines_that_face_into_them():
    ring = disc(70, 60, 40) & ~disc(70, 60, 20)
    seen = observe_silhouettes([ring])
    arms = seen.points[0].numpy() - [70, 60]
    inner = np.linalg.norm(arms, axis=1) < 30
    assert inner.sum() > 50
    assert ((arms * seen.normals[0].numpy()).sum(1)[inner] < 0).all()


def test_frames_without_a_mask_are_marked():
    seen = observe_silhouettes([None, np.zeros((120, 160), np.uint8), disc(70, 60, 30)])
    assert seen.valid.tolist() == [False, False, True]
    assert not seen.point_valid[:2].any()
    assert not seen.signed_distance(torch.zeros(3, 4, 2))[:2].any()
