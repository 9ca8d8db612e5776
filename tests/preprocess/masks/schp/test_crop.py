import cv2
import numpy as np
import pytest

from preprocess.masks.schp.crop import Crop, to_tensor


@pytest.mark.parametrize("pixels", [473, 512])
@pytest.mark.parametrize("box", [(0, 0, 639, 359), (101.5, 7.25, 203.0, 350.5)])
def test_the_affine_map_is_upstreams(box, pixels):
    """Upstream maps the box's centre to the crop's, and half the larger side above it to the middle of the top row."""
    left, top, right, bottom = box
    center = np.array([left + (right - left) / 2, top + (bottom - top) / 2])
    side = max(right - left, bottom - top)
    source = np.float32([center, center - (0, side / 2), center - (side / 2, side / 2)])
    target = np.float32([[(pixels - 1) / 2] * 2, [(pixels - 1) / 2, 0], [0, 0]])
    crop = Crop.around(np.array(box, float), pixels)
    np.testing.assert_allclose(crop.crop_from_image(), cv2.getAffineTransform(source, target), atol=1e-3)


def test_the_margin_widens_all_sides():
    crop = Crop.around(np.array([10.0, 20, 30, 120]), 101, margin=0.1)
    assert crop.center == (20, 70) and crop.side == pytest.approx(120)


def test_a_picture_of_the_crops_size_is_cut_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (33, 33, 3), np.uint8)
    crop = Crop.around(np.array([0.0, 0, 32, 32]), 33)
    np.testing.assert_array_equal(crop.cut(image), image)
    beyond = Crop.around(np.array([16.0, 0, 48, 32]), 33).cut(image)
    np.testing.assert_array_equal(beyond[:, :17], image[:, 16:])
    assert not beyond[:, 17:].any()


@pytest.mark.parametrize(
    "box", [(60.3, 20.7, 140.2, 110.9), (-30.0, -20, 90, 60), (150.0, 90, 260, 200)], ids=["inside", "left", "right"]
)
def test_classes_come_back_to_their_pixels(box):
    """Logits that are highest near rings about a point of the picture return as those rings."""
    height, width, classes, pixels = 130, 210, 5, 97
    crop = Crop.around(np.array(box), pixels)
    (scale, _, shift_x), (_, _, shift_y) = crop.crop_from_image()
    rows, columns = np.indices((pixels, pixels))
    x, y = (columns - shift_x) / scale, (rows - shift_y) / scale
    middle = (100.0, 60.0)
    radii = 12.0 * np.arange(1, classes + 1)[:, None, None]
    logits = (100 - np.abs(np.hypot(x - middle[0], y - middle[1]) - radii)).astype(np.float32)
    found = crop.classes(logits, height, width)

    rows, columns = np.indices((height, width))
    beyond = np.maximum(np.abs(columns - crop.center[0]), np.abs(rows - crop.center[1])) - crop.side / 2
    ring = (np.hypot(columns - middle[0], rows - middle[1]) / 12 - 1).clip(0, classes - 1)
    sure = (beyond < -2) & (np.abs(ring - ring.round()) < 0.4)  # a pixel from where rings meet
    assert sure.sum() > 500 and (beyond > 2).any()
    np.testing.assert_array_equal(found[sure], ring.round()[sure])
    assert not found[beyond > 2].any()


def test_ties_and_all_beyond_the_crop_go_to_the_background():
    crop = Crop.around(np.array([2.0, 2, 5, 5]), 4)
    assert not crop.classes(np.zeros((3, 4, 4), np.float32), 9, 9).any()
    logits = np.stack([np.full((4, 4), -1), np.full((4, 4), 1), np.full((4, 4), 1)]).astype(np.float32)
    expected = np.zeros((9, 9), np.uint8)
    expected[2:6, 2:6] = 1
    np.testing.assert_array_equal(crop.classes(logits, 9, 9), expected)
    assert not Crop.around(np.array([20.0, 20, 30, 30]), 4).classes(logits, 9, 9).any()


def test_the_network_takes_normalised_bgr():
    tensor = to_tensor(np.array([[[255, 0, 51]]], np.uint8))
    expected = [(0.2 - 0.406) / 0.225, (0 - 0.456) / 0.224, (1 - 0.485) / 0.229]
    np.testing.assert_allclose(tensor.numpy().ravel(), expected, rtol=1e-6)
