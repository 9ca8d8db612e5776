"""Drawing."""

import numpy as np
import torch

from hashhuman.evaluation import drawing


def test_to_uint8_rounds_and_clamps():
    values = torch.tensor([[-0.2, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 1.7]])
    np.testing.assert_array_equal(drawing.to_uint8(values), [[0, 0, 0, 1, 255, 255]])


def test_error_map_rises_from_black_to_the_end_of_its_scale():
    truth = np.full((4, 6, 3), 100, np.uint8)
    image = truth.copy()
    image[:, 2:4] += 20
    image[:, 4:] += 64  # the top of the scale: a quarter of the range
    error = drawing.error_map(image, truth)
    brightness = error.astype(int).sum(-1)
    assert brightness[0, 0] < 20 < brightness[0, 2] < brightness[0, 5]
    np.testing.assert_array_equal(error[0, 5], drawing.color_bar(50)[0, 0])
    np.testing.assert_array_equal(error[0, 0], drawing.color_bar(50)[-1, 0])


def test_captions_shrink_to_the_width():
    image = np.zeros((10, 120, 3), np.uint8)
    page = drawing.caption(image, "a text too long for so few pixels", "short")
    strip = page[:-10]
    assert page.shape[1] == 120 and strip.shape[0] == 2 * drawing.LINE_HEIGHT + 4
    assert (strip[:, -3:] == 255).all() and (strip < 128).any()


def test_sheet_places_pictures_in_rows():
    images = [np.full((10 + i, 20, 3), i + 1, np.uint8) for i in range(5)]
    page = drawing.sheet(images, columns=2, gap=4)
    assert page.shape == (15 + 17 + 18, 48, 3)
    assert page[0, 0, 0] == 1 and page[0, 24, 0] == 2 and page[15, 0, 0] == 3 and page[32, 0, 0] == 5
    assert page[40, 30, 0] == 255  # no sixth picture


def test_comparison_shows_the_covered_part_enlarged():
    truth = torch.zeros(100, 90, 3)
    truth[40:60, 30:40] = 0.5
    rgb = truth.clone()
    rgb[40:60, 30:40, 0] = 0.75
    page = drawing.side_by_side(rgb, truth, truth[..., 0] > 0, "title", height=120)
    factor, margin = 3, 11  # 42 rows are enlarged threefold to 126, of which 11 pixels around the box
    panel = (10 + 2 * margin) * factor
    assert page.shape[1] == 3 * panel + 3 * 4 + 4 + 56
    first_row = page.shape[0] - 4 - (20 + 2 * margin) * factor
    y, x = first_row + (margin + 5) * factor, (margin + 5) * factor
    np.testing.assert_array_equal(page[y, x], [128, 128, 128])
    np.testing.assert_array_equal(page[y, x + panel + 4], [191, 128, 128])
