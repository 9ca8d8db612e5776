import numpy as np

from preprocess.masks import refine
from preprocess.masks.background import Background


def test_the_network_is_sure_far_from_its_edge_only():
    probability = np.zeros((9, 80))
    probability[:, 40:] = 1
    odds = refine.network_log_odds(probability, unit=2.0)[4]
    near = np.log(0.98 / 0.02)
    np.testing.assert_allclose(odds[[39, 40]], [-near, near], rtol=1e-5)
    assert odds[0] < -20 and odds[79] > 20
    assert (np.diff(odds) >= -1e-4).all()


def test_the_background_speaks_where_it_is_known():
    image = np.full((30, 30, 3), 120, np.uint8)
    image[:, 15:] = 220
    known = np.ones((30, 30), bool)
    known[:10] = False
    background = Background(np.full((30, 30, 3), 120, np.float32), known)
    probability = np.full((30, 30), 0.5)
    probability[:, 20:] = 1
    odds = refine.background_log_odds(image, probability, background, unit=1.0)
    assert not odds[:10].any()
    assert (odds[10:, :15] < -3).all() and (odds[10:, 15:] == 6).all()


def test_coverage_is_a_soft_mask_at_the_pictures_edge():
    image = np.full((60, 60, 3), 60, np.uint8)
    image[:, 33:] = [200, 150, 120]
    image[:, 32] = [130, 105, 90]  # a pixel that both fill
    probability = np.clip((np.arange(60) - 25) / 12, 0, 1)[None].repeat(60, 0)  # says 31
    found = refine.coverage(image, probability, unit=4.0)[30]
    assert (found[:27] < 0.1).all() and (found[34:] > 0.9).all()
    assert np.diff(found).argmax() in (31, 32) and 0.2 < found[32] < 0.8
