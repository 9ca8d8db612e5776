"""Figures of given and learned masks, against cases worked out by hand."""

import numpy as np
import pytest

from benchmarks.refined_masks import Compared, box, errors


def square(first: int, last: int) -> np.ndarray:
    mask = np.zeros((60, 60), np.float32)
    mask[20:40, first:last] = 1
    return mask


def test_figures_of_a_mask_that_is_too_wide_and_of_an_exact_one():
    exact, wide = square(20, 40), square(20, 45)
    faint = np.where(exact > 0, 0.8, 0).astype(np.float32)
    truth = (200 * exact[..., None].repeat(3, 2)).astype(np.uint8)
    cuts = {"given": wide[..., None] * np.full(3, 200 / 255, np.float32), "learned": truth / 255}
    compared = Compared(truth, exact, {"given": wide, "learned": faint}, cuts)
    given, learned = compared.figures("given"), compared.figures("learned")
    assert [given["mask_iou"], given["mask_soft"]] == pytest.approx([20 / 25] * 2)
    assert given["mask_mae"] == pytest.approx(100 / 40**2)  # 20 x 5 pixels too many, in a box of 40 x 40
    assert given["cut"] == pytest.approx(-10 * np.log10(100 / 1600 * (200 / 255) ** 2), rel=1e-4)
    assert learned["mask_iou"] == 1 and learned["mask_soft"] == pytest.approx(0.8)
    assert learned["cut"] > 100
    assert compared.change() == pytest.approx((400 * 0.2 + 100) / 1600)
    assert [cell.shape for cell in compared.cells()] == [(40, 40, 3)] * 5


def test_errors_are_red_where_there_is_too_much_and_blue_where_there_is_too_little():
    shown = errors(square(25, 45), square(20, 40))
    assert shown[30, 42].tolist() == [1, 0, 0] and shown[30, 22].tolist() == [0, 0, 1]
    assert np.allclose(shown[30, 30], 0.8) and np.allclose(shown[5, 5], 1)


def test_the_box_ends_at_the_picture():
    mask = np.zeros((30, 50))
    mask[2:29, 20:30] = 1
    assert box(mask) == (slice(0, 39), slice(10, 40))
    assert mask[box(mask)].shape == (30, 30)
