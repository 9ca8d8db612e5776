import cv2
import numpy as np

from preprocess.masks.background import contrast, is_static, median_background
from tests.preprocess.masks.clip import wall


def test_median_of_what_is_free():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (7, 6, 8, 3), dtype=np.uint8)
    people = rng.random((7, 6, 8)) < 0.5
    people[:, 2, 3] = True
    people[2:, 4, 4] = True
    background = median_background(images, people, least=3)
    assert not background.known[2, 3] and not background.known[4, 4]
    for y, x in np.argwhere(background.known):
        samples = np.sort(images[~people[:, y, x], y, x], axis=0)
        np.testing.assert_array_equal(background.colour[y, x], samples[(len(samples) - 1) // 2])
    np.testing.assert_array_equal(background.known, (~people).sum(0) >= 3)
    assert not background.colour[~background.known].any()


def moving(shift, frames=5):
    rng = np.random.default_rng(1)
    scene = wall(rng, 90, 200)
    greys = [cv2.cvtColor(scene[:, (x := round(shift * t)) : x + 120], cv2.COLOR_RGB2GRAY) for t in range(frames)]
    people = []
    for t, grey in enumerate(greys):  # somebody walks through
        person = np.zeros(grey.shape, bool)
        person[20:80, 10 + 15 * t % 85 : 35 + 15 * t % 85] = True
        grey[person] = rng.integers(0, 255, person.sum())
        people.append(person)
    return greys, people


def test_tells_a_fixed_camera_from_a_moving_one():
    assert is_static(*moving(0))
    assert not is_static(*moving(2))
    still, people = moving(0)
    turned = [
        cv2.warpAffine(g, cv2.getRotationMatrix2D((60, 45), 3 * t, 1), g.shape[::-1]) for t, g in enumerate(still)
    ]
    assert not is_static(turned, people)


def test_a_limb_that_nobody_marked_does_not_move_the_camera():
    still, people = moving(0, frames=12)
    still[4] = np.roll(still[4], 7, 1)  # what hides most of the wall in one picture moves
    assert is_static(still, people)
    still[7] = np.roll(still[7], 7, 1)
    assert not is_static(still, people)


def test_an_empty_wall_counts_as_fixed_while_it_keeps_its_colour():
    people = [np.zeros((40, 60), bool)] * 3
    assert is_static([np.full((40, 60), 100, np.uint8)] * 3, people)
    assert not is_static([np.full((40, 60), 100 + 20 * t, np.uint8) for t in range(3)], people)


def test_a_curtain_has_no_features_that_noise_could_carry_away():
    rng = np.random.default_rng(2)
    x, y = np.meshgrid(np.arange(160), np.arange(120))
    folds = 100 + 8 * np.sin(x / 17 + 0.4 * np.sin(y / 23))  # slopes of at most half a level a pixel

    def filmed(t):
        shadow = 3 * np.exp(-((x - 30 - 20 * t) ** 2) / 800)
        noise = cv2.GaussianBlur(rng.normal(0, 6, folds.shape), (0, 0), 2)  # as compression leaves it
        return np.rint(folds - shadow + noise).astype(np.uint8)

    assert is_static([filmed(t) for t in range(5)], [np.zeros(folds.shape, bool)] * 5)


def test_contrast_is_that_of_the_weaker_direction():
    x, y = np.meshgrid(np.arange(80), np.arange(80))
    assert contrast((3 * x).astype(np.uint8))[30:50, 30:50].max() < 1e-3  # an edge alone has no place along itself
    pyramid = np.where((x % 20 < 10) == (y % 20 < 10), 3.0 * (x % 20), 3.0 * (y % 20)).astype(np.uint8)
    assert contrast(pyramid)[30:50, 30:50].min() > 1.5


def test_the_outline_of_somebody_before_a_plain_wall_is_no_feature_of_the_wall():
    rng = np.random.default_rng(3)
    greys, people = [], []
    for t in range(5):  # somebody in a patterned shirt walks on from where the first picture shows them
        grey = np.rint(100 + cv2.GaussianBlur(rng.normal(0, 6, (320, 300)), (0, 0), 2)).astype(np.uint8)
        person = np.zeros(grey.shape, bool)
        person[16:314, 20 + 45 * t : 68 + 45 * t] = True
        grey[20:310, 24 + 45 * t : 64 + 45 * t] = 20 + 150 * (np.indices((290, 40)).sum(0) // 6 % 2)
        greys.append(grey)
        people.append(person)
    assert is_static(greys, people)
