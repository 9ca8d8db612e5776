"""Coverage along the outline, from the matting equation with a known plate."""

import cv2
import numpy as np
import pytest
import torch

from preprocess.masks import matting
from preprocess.masks.matting import (
    MattingNetwork,
    evidence,
    matte,
    mean_colour,
    nearest_colour,
    outline_length,
    windows,
)
from preprocess.masks.plate import Plate

SIZE, LARGER = 96, 8


def ellipse(shift: float = 0.0) -> np.ndarray:
    """Exact coverage of an ellipse, up to a 64th."""
    y, x = (np.mgrid[: SIZE * LARGER, : SIZE * LARGER] + 0.5) / LARGER
    inside = ((x - 48 - shift) / 22) ** 2 + ((y - 47) / 34) ** 2 < 1
    return cv2.resize(inside.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def scene(person: tuple[int, int, int], behind: tuple[int, int, int], noise: float = 2.0):
    """A picture of an ellipse, its exact coverage, and the plate."""
    rng, alpha = np.random.default_rng(0), ellipse()
    colour = np.full((SIZE, SIZE, 3), behind) + rng.integers(-12, 12, (SIZE, SIZE, 1))
    image = alpha[..., None] * np.array(person) + (1 - alpha[..., None]) * colour + rng.normal(0, noise, colour.shape)
    plate = Plate(colour.astype(np.uint8), np.ones((SIZE, SIZE), bool), np.full((SIZE, SIZE), noise, np.float32))
    return np.rint(image).clip(0, 255).astype(np.uint8), alpha, plate


def test_alpha_is_the_position_between_plate_and_person():
    mask = np.zeros((9, 9), np.float32)
    mask[:, :6] = 1  # its edge is at column 5
    image = np.full((9, 9, 3), 60, np.uint8)
    image[:, :5], image[:, 5] = 200, 95  # 0.25 * 200 + 0.75 * 60
    plate = Plate(np.full((9, 9, 3), 60, np.uint8), np.ones((9, 9), bool), np.zeros((9, 9), np.float32))
    maps = evidence(image, mask, plate)
    contrast = 140**2 * (1.7**2 + 0.007**2)  # of grey, along the axis of brightness
    assert maps[4, 5, 0] == pytest.approx(0.25 * contrast / (contrast + 9), abs=0.002)
    assert maps[4, 2, 0] == pytest.approx(contrast / (contrast + 9), abs=0.002) and maps[4, 7, 0] == 0
    assert maps[4, 5, 1] == pytest.approx(0, abs=0.01)  # the colour lies on the line between the two


def test_a_colour_beside_the_line_has_a_residual():
    mask = np.zeros((9, 9), np.float32)
    mask[:, :6] = 1
    image = np.full((9, 9, 3), 60, np.uint8)
    image[:, :5], image[:, 5] = 200, (130, 60, 60)
    plate = Plate(np.full((9, 9, 3), 60, np.uint8), np.ones((9, 9), bool), np.zeros((9, 9), np.float32))
    axes = matting._AXES
    offset, line = axes @ (70, 0, 0), axes @ (140, 140, 140)
    beside = offset - (offset @ line) / (line @ line) * line
    assert evidence(image, mask, plate)[4, 5, 1] == pytest.approx(np.linalg.norm(beside) / 50, abs=0.02)


@pytest.mark.parametrize("person", [(210, 60, 50), (40, 60, 160), (230, 225, 220)])
@pytest.mark.parametrize("shift", [-1.0, 1.0])
def test_a_mask_beside_the_outline_comes_back_to_it(person, shift):
    image, alpha, plate = scene(person, (130, 125, 110))
    mask = ellipse(shift)
    found = matte(image, mask, plate)
    assert np.abs(found - alpha).sum() < 0.5 * np.abs(mask - alpha).sum()
    assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1


def test_a_person_coloured_like_the_plate_keeps_about_the_mask():
    image, alpha, plate = scene((130, 125, 110), (130, 125, 110))
    found = matte(image, alpha, plate)
    assert ((found > 0.5) == (alpha > 0.5)).mean() > 0.97  # a rim at most: 3 % are two pixels all around
    assert found[47, 48] == 1 and found[0, 0] == 0


def test_where_the_plate_is_unknown_the_mask_stays():
    image, _, plate = scene((210, 60, 50), (130, 125, 110))
    known = np.ones((SIZE, SIZE), bool)
    known[:, :48] = False
    mask = ellipse(1.0)
    found = matte(image, mask, Plate(plate.colour * known[..., None].astype(np.uint8), known, plate.noise))
    np.testing.assert_array_equal(found[:, :48], mask[:, :48])
    assert not np.array_equal(found[:, 48:], mask[:, 48:])


@pytest.mark.parametrize("mask", [np.zeros((SIZE, SIZE), np.float32), np.ones((SIZE, SIZE), np.float32)])
def test_without_an_outline_nothing_changes(mask):
    image, _, plate = scene((210, 60, 50), (130, 125, 110))
    np.testing.assert_array_equal(matte(image, mask, plate), mask)


def test_an_outline_at_the_border_of_the_picture():
    image, alpha, plate = scene((210, 60, 50), (130, 125, 110))
    cut = np.s_[40:, 48:]
    found = matte(image[cut], ellipse(1.0)[cut], Plate(plate.colour[cut], plate.known[cut], plate.noise[cut]))
    assert np.abs(found - alpha[cut]).sum() < 0.5 * np.abs(ellipse(1.0)[cut] - alpha[cut]).sum()


def test_colours_come_from_inside_the_region(rng):
    picture, region = rng.uniform(0, 255, (8, 10, 3)).astype(np.float32), np.zeros((8, 10), bool)
    region[2:4, 3:5] = True
    mean = picture[region].mean(0)
    np.testing.assert_allclose(nearest_colour(picture, region)[7, 9], mean, rtol=1e-4)
    np.testing.assert_allclose(mean_colour(picture, region, 2)[3, 3], mean, rtol=1e-4)
    assert not mean_colour(picture, region, 1)[7, 9].any()
    assert not nearest_colour(picture, np.zeros((8, 10), bool)).any()


def test_windows_hold_their_neighbourhood(rng):
    maps = rng.normal(size=(12, 14, 3)).astype(np.float32)
    row = windows(maps, np.array([[5, 6], [0, 0]]))
    half = matting.WINDOW // 2
    around = maps[5 - half : 6 + half, 6 - half : 7 + half, :2]
    np.testing.assert_array_equal(row[0], [*around.ravel(), maps[5, 6, 2]])
    assert not row[1].reshape(-1)[:2].any()  # beyond the border


def test_the_network_is_torchs(rng):
    layers = [torch.nn.Linear(6, 5), torch.nn.Linear(5, 4), torch.nn.Linear(4, 1)]
    arrays = {"mean": rng.normal(size=6), "scale": rng.uniform(1, 2, 6)}
    for index, layer in enumerate(layers):
        arrays |= {f"weight{index}": layer.weight.detach().numpy(), f"bias{index}": layer.bias.detach().numpy()}
    inputs = rng.normal(size=(40, 6)).astype(np.float32)
    scaled = torch.from_numpy((inputs - arrays["mean"]) / arrays["scale"]).float()
    expected = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])(scaled)[:, 0]
    np.testing.assert_allclose(MattingNetwork(arrays)(inputs), expected.detach().clamp(0, 1).numpy(), atol=1e-5)


def test_the_length_of_an_outline_by_hand():
    square = np.zeros((6, 7), np.float32)
    square[1:4, 2:5] = 1
    assert outline_length(square) == 12
    square[2, 3] = 0.4  # a hole
    assert outline_length(square) == 16
    assert outline_length(np.ones((3, 3), np.float32)) == 0
