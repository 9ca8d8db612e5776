import cv2
import numpy as np

from preprocess.masks import clean


def test_takes_the_median_along_the_motion():
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.normal(size=(60, 90)), (0, 0), 1.5)
    texture = (128 + 40 * texture / texture.std()).clip(0, 255).astype(np.uint8)
    wide = cv2.GaussianBlur(rng.normal(size=(60, 90)), (0, 0), 1.5)
    behind = (90 + 20 * wide / wide.std()).clip(0, 255).astype(np.uint8)
    greys, truths = [], []
    for t in range(3):  # a square that moves by 4 pixels a picture
        grey, truth = behind.copy(), np.zeros((60, 90), np.uint8)
        grey[20:44, 20 + 4 * t : 44 + 4 * t] = texture[:24, :24]
        truth[20:44, 20 + 4 * t : 44 + 4 * t] = 255
        greys.append(grey)
        truths.append(truth)
    flickering = [truth.copy() for truth in truths]
    flickering[1][28:34, 26:46] = 0  # a hole of one picture
    flickering[1][4:10, 70:80] = 255  # a speck of one picture
    steady = clean.temporal_median(flickering, greys, 1)
    wrong = lambda mask: ((mask > 127) != (truths[1] > 127)).sum()
    assert wrong(flickering[1]) == 6 * 20 + 60
    assert wrong(steady) < 30
    assert (steady[4:10, 70:80] == 0).all()
    np.testing.assert_array_equal(clean.temporal_median(flickering, greys, 0), flickering[0])


def test_a_fast_limb_is_not_flicker():
    greys, truths = [], []
    for t in range(3):  # a bar, 3 wide, that moves by 9
        truth = np.zeros((40, 60), np.uint8)
        truth[10:30, 10 + 9 * t : 13 + 9 * t] = 255
        truths.append(truth)
        greys.append(np.where(truth > 0, 220, 60).astype(np.uint8))
    steady = clean.temporal_median(truths, greys, 1)
    assert (steady[12:28, 19:22] > 127).mean() > 0.8


def test_drops_detached_pieces_that_are_not_on_the_body():
    coverage = np.zeros((40, 60), np.float32)
    coverage[5:35, 10:25] = 1
    coverage[5:35, 25] = 0.3  # a soft edge belongs to its piece
    coverage[10:18, 30:36] = 0.9  # a hand, cut off by a pole
    coverage[20:30, 45:58] = 0.8  # a bystander
    body = np.zeros((40, 60), bool)
    body[8:30, 12:34] = True
    cleaned = clean.drop_islands(coverage, body)
    assert not cleaned[:, 40:].any()
    np.testing.assert_array_equal(cleaned[:, :40], coverage[:, :40])
    assert clean.drop_islands(coverage, np.zeros_like(body))[20, 20] == 1  # the largest stays
    assert not clean.drop_islands(np.zeros_like(coverage), body).any()


def test_fills_pinholes_only():
    coverage = np.ones((30, 30), np.float32)
    coverage[5:7, 5:7] = 0.2
    coverage[12:20, 12:20] = 0  # between the legs
    filled = clean.fill_pinholes(coverage, 10.0)
    assert filled[5, 5] == 1 and not filled[12:20, 12:20].any()
