"""The protocols against independent computations with numpy, scikit-image and OpenCV on files of 8 bits."""

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from hashhuman.evaluation.drawing import to_uint8
from hashhuman.evaluation.metrics.lpips import LPIPS
from hashhuman.evaluation.metrics.protocols import Comparison, LegacyNVR, PeopleSnapshot, Strict, mask_at_box
from hashhuman.io.files import read_image, write_image
from tests import toy

structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity


class MeanDifference(LPIPS):
    """Replaces LPIPS without its weights, and keeps its input."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.net = "alex"

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Keeps the input and returns the mean difference."""
        self.fed = x, y
        return (x - y).abs().mean((1, 2, 3))


@pytest.fixture
def comparison() -> Comparison:
    """The toy with soft edges, and a rendering that is blurred and noisy and has a halo."""
    rng = np.random.default_rng(0)
    size = 96
    camera, body = toy.camera(0, size), toy.template()
    vertices = toy.world_vertices(body, 1)
    face = toy.cast(vertices, body.faces, camera)
    coverage = cv2.GaussianBlur((face >= 0).astype(np.float32), (5, 5), 1)
    mask = np.rint(coverage * 255) / 255
    texture = ndimage.gaussian_filter(rng.random((size, size, 3)), (1, 1, 0))
    truth = np.rint(texture * mask[..., None] * 255) / 255
    rgb = ndimage.gaussian_filter(truth, (1, 1, 0)) + 0.02 * rng.standard_normal(truth.shape)
    alpha = np.clip(ndimage.gaussian_filter(mask, 2) + 0.01, 0, 1)
    tensors = (torch.from_numpy(x).float() for x in (rgb, alpha, truth, mask))
    return Comparison(*tensors, camera, vertices)


def test_strict_equals_scoring_the_saved_files(comparison, tmp_path):
    for name in ("rgb", "alpha", "truth", "mask"):
        write_image(tmp_path / f"{name}.png", to_uint8(getattr(comparison, name)))
    rgb, truth = (read_image(tmp_path / f"{name}.png") / 255.0 for name in ("rgb", "truth"))
    alpha, mask = (read_image(tmp_path / f"{name}.png") for name in ("alpha", "mask"))
    rows, columns = np.nonzero(mask)
    box = np.s_[max(rows.min() - 10, 0) : rows.max() + 11, max(columns.min() - 10, 0) : columns.max() + 11]
    fg = mask > 127

    def psnr(a: np.ndarray, b: np.ndarray) -> float:
        return -10 * np.log10(max(((a - b) ** 2).mean(), 1e-10))

    far = ndimage.distance_transform_edt(~fg) > 5
    expected = {
        "psnr_full": psnr(truth, rgb),
        "psnr_box": psnr(truth[box], rgb[box]),
        "psnr_fg": psnr(truth[fg], rgb[fg]),
        "ssim_full": structural_similarity(truth, rgb, channel_axis=2, data_range=1.0),
        "ssim_box": structural_similarity(truth[box], rgb[box], channel_axis=2, data_range=1.0),
        "mask_iou": ((alpha > 127) & fg).sum() / ((alpha > 127) | fg).sum(),
        "halo": comparison.alpha.numpy()[far].mean(),
    }
    protocol = Strict(lpips=None)
    figures = protocol(comparison)
    assert figures == pytest.approx(expected, abs=1e-6)
    assert set(protocol.columns) == set(figures)
    assert 0.01 < figures["halo"] < 0.05 and figures["mask_iou"] < 1  # the damage shows


def test_strict_maps_lpips_input_to_minus_one_to_one(comparison):
    lpips = MeanDifference()
    protocol = Strict(lpips)
    figures = protocol(comparison)
    assert set(protocol.columns) == set(figures)
    assert lpips.fed[1].min() == -1 and lpips.fed[1].shape[-2] < 96  # the last call was the box
    white = Comparison(**vars(comparison) | {"rgb": torch.ones(96, 96, 3), "truth": torch.zeros(96, 96, 3)})
    assert protocol(white)["lpips_alex_full"] == pytest.approx(2)


def test_legacy_blackens_outside_the_box_and_takes_range_2(comparison):
    lpips = MeanDifference()
    protocol = LegacyNVR(lpips)
    figures = protocol(comparison)
    assert set(protocol.columns) == set(figures) == {"psnr", "ssim", "lpips_alex"}
    at_box = mask_at_box(comparison.camera, comparison.vertices, 0.05).numpy()
    rgb, truth = (np.where(at_box[..., None], x.double().numpy(), 0) for x in (comparison.rgb, comparison.truth))
    assert figures["psnr"] == pytest.approx(-10 * np.log10(((rgb - truth) ** 2).mean()))
    assert figures["ssim"] == pytest.approx(structural_similarity(rgb, truth, channel_axis=2, data_range=2.0))
    assert figures["ssim"] > structural_similarity(rgb, truth, channel_axis=2, data_range=1.0)  # the trap
    np.testing.assert_array_equal(lpips.fed[1][0].permute(1, 2, 0).numpy(), truth.astype(np.float32))  # [0, 1]


def test_legacy_box_crops_as_its_predecessors(comparison):
    protocol = LegacyNVR(MeanDifference(), whole_picture=False)
    figures = protocol(comparison)
    at_box = mask_at_box(comparison.camera, comparison.vertices, 0.05).numpy()
    rgb, truth = (np.where(at_box[..., None], x.double().numpy(), 0) for x in (comparison.rgb, comparison.truth))
    x, y, w, h = cv2.boundingRect(at_box.astype(np.uint8))
    crop = np.s_[y : y + h, x : x + w]
    assert figures["psnr"] == pytest.approx(-10 * np.log10(((rgb - truth)[at_box] ** 2).mean()))
    assert figures["ssim"] == pytest.approx(
        structural_similarity(rgb[crop], truth[crop], channel_axis=2, data_range=2.0)
    )
    assert set(protocol.columns) == set(figures) == {"psnr", "ssim"}


def test_people_snapshot_is_measured_on_white(comparison):
    lpips = MeanDifference()
    protocol = PeopleSnapshot(lpips)
    figures = protocol(comparison)
    assert set(protocol.columns) == set(figures) == {"psnr", "ssim", "lpips_alex"}
    rgb = np.clip(comparison.rgb.double() + (1 - comparison.alpha.double())[..., None], 0, 1).numpy()
    truth = np.clip(comparison.truth.double() + (1 - comparison.mask.double())[..., None], 0, 1).numpy()
    assert truth[0, 0].min() == 1  # the background
    assert figures["psnr"] == pytest.approx(-10 * np.log10(((rgb - truth) ** 2).mean()), abs=1e-4)
    window = {"gaussian_weights": True, "use_sample_covariance": False}
    expected = structural_similarity(rgb, truth, channel_axis=2, data_range=1.0, **window)
    assert figures["ssim"] == pytest.approx(expected, abs=1e-5)
    np.testing.assert_allclose(lpips.fed[1][0].permute(1, 2, 0).numpy(), truth, atol=1e-6)  # in [0, 1]


def test_mask_at_box_is_the_hull_of_the_projected_corners(comparison):
    low, high = comparison.vertices.amin(0) - 0.05, comparison.vertices.amax(0) + 0.05
    corners = torch.stack([torch.where(torch.tensor(c, dtype=torch.bool), high, low) for c in np.ndindex(2, 2, 2)])
    projected = comparison.camera.project(corners)[:, :2].numpy()
    hull = np.zeros((96, 96), np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(projected.round().astype(np.int32)), 1)
    at_box = mask_at_box(comparison.camera, comparison.vertices, 0.05).numpy()
    differing = ndimage.binary_erosion(hull != at_box)
    assert not differing.any() and 0.1 < at_box.mean() < 0.9  # they differ by the rounding of the outline at most
