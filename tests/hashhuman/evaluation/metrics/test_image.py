"""PSNR and SSIM against scikit-image, silhouette measures by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from hashhuman.evaluation.metrics.image import bounding_box, halo, mask_iou, psnr, ssim

structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """A picture and a damaged copy, with flat regions, where SSIM's constants matter."""
    rng = np.random.default_rng(0)
    x = ndimage.gaussian_filter(rng.random((37, 52, 3)), (2, 2, 0)) * 2 - 0.5
    x[:12] = 0
    y = np.clip(x + 0.1 * rng.standard_normal(x.shape) * (x > 0.3), 0, 1)
    return torch.from_numpy(np.clip(x, 0, 1)), torch.from_numpy(y)


def test_psnr_of_a_known_error():
    x = torch.zeros(4, 4, 3)
    assert psnr(x, x + 0.1) == pytest.approx(20, abs=1e-5)
    assert psnr(x, x + 0.1, data_range=2.0) == pytest.approx(20 + 20 * math.log10(2), abs=1e-5)
    x[0, 0, 0] = 1  # one value in 48
    assert psnr(x, torch.zeros(4, 4, 3)) == pytest.approx(10 * math.log10(48))


def test_psnr_of_equal_pictures_is_finite():
    assert psnr(torch.ones(2, 2, 3), torch.ones(2, 2, 3)) == pytest.approx(100)


@pytest.mark.parametrize("data_range", [1.0, 2.0])
def test_ssim_equals_scikit_image(pair, data_range):
    x, y = pair
    uniform = structural_similarity(x.numpy(), y.numpy(), channel_axis=2, data_range=data_range)
    gaussian = structural_similarity(
        x.numpy(), y.numpy(), channel_axis=2, data_range=data_range, gaussian_weights=True, use_sample_covariance=False
    )
    assert ssim(x, y, data_range) == pytest.approx(uniform, abs=1e-9)
    assert ssim(x, y, data_range, gaussian=True) == pytest.approx(gaussian, abs=1e-9)
    assert abs(uniform - gaussian) > 1e-3  # the two windows do differ here


def test_ssim_refuses_pictures_smaller_than_its_window():
    with pytest.raises(ValueError, match="at least 7 x 7"):
        ssim(torch.zeros(6, 40, 3), torch.zeros(6, 40, 3))


def test_mask_iou_by_hand():
    x, y = torch.zeros(5, 5, dtype=torch.bool), torch.zeros(5, 5, dtype=torch.bool)
    assert mask_iou(x, y) == 1
    x[1:3, 1:3], y[2:4, 1:3] = True, True
    assert mask_iou(x, y) == pytest.approx(2 / 6)


def test_halo_counts_only_what_is_farther_than_its_distance():
    mask = torch.zeros(40, 50, dtype=torch.bool)
    mask[10:20, 12:30] = True
    alpha = torch.rand(40, 50)
    far = ndimage.distance_transform_edt(~mask.numpy()) > 5
    assert halo(alpha, mask) == pytest.approx(alpha.numpy()[far].mean())
    near = torch.from_numpy(~far)
    assert halo(near.float(), mask) == 0
    assert halo(alpha, torch.ones_like(mask)) == 0


def test_bounding_box_stops_at_the_edge():
    mask = torch.zeros(20, 30, dtype=torch.bool)
    mask[4, 6] = mask[9, 25] = True
    assert bounding_box(mask) == (slice(4, 10), slice(6, 26))
    assert bounding_box(mask, margin=10) == (slice(0, 20), slice(0, 30))
    with pytest.raises(ValueError, match="empty"):
        bounding_box(torch.zeros(3, 3, dtype=torch.bool))
