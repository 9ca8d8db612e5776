import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from preprocess.masks.schp.labels import LABEL_SETS
from preprocess.masks.schp.parser import Parser

LABELS = LABEL_SETS["lip"]
COLOURS = {0: (40, 40, 40), 5: (220, 60, 60), 14: (60, 220, 60), 15: (60, 60, 220)}


def by_colour(x: torch.Tensor) -> torch.Tensor:
    """A network that names a pixel by its colour, at a quarter of the size; it cannot tell arms in mirror images."""
    deviation, mean = torch.tensor([0.225, 0.224, 0.229]), torch.tensor([0.406, 0.456, 0.485])
    size = tuple((length + 3) // 4 for length in x.shape[2:])
    bgr = F.interpolate(x, size, mode="bilinear", align_corners=True).permute(0, 2, 3, 1) * deviation + mean
    logits = torch.full((*bgr.shape[:3], len(LABELS)), -100.0)
    for k, rgb in COLOURS.items():
        logits[..., k] = -40 * (bgr.flip(-1) - torch.tensor(rgb) / 255).square().sum(-1)
    return logits.permute(0, 3, 1, 2)


def by_side(x: torch.Tensor) -> torch.Tensor:
    """A network that takes the left half of what it sees for the left arm."""
    logits = torch.zeros(len(x), len(LABELS), *((length + 3) // 4 for length in x.shape[2:]))
    half = logits.shape[-1] // 2
    logits[:, 14, :, :half], logits[:, 15, :, half:] = 1, 1
    return logits


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A picture of coloured shapes, RGB, and their classes."""
    classes = np.zeros((300, 420), np.uint8)
    cv2.rectangle(classes, (180, 60), (240, 220), 5, -1)
    cv2.circle(classes, (150, 100), 22, 14, -1)
    cv2.circle(classes, (270, 180), 28, 15, -1)
    palette = np.zeros((256, 3), np.uint8)
    for k, rgb in COLOURS.items():
        palette[k] = rgb
    return palette[classes], classes


@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 1.25)])
def test_shapes_come_back_where_they_are(scene, scales):
    image, classes = scene
    parser = Parser(by_colour, LABELS, scales, flip=False)
    found = parser(image, np.array([120.0, 50, 300, 225]))
    for k in (5, 14, 15):
        overlap = ((found == k) & (classes == k)).sum() / ((found == k) | (classes == k)).sum()
        assert overlap > 0.96, k
    (y, x), (true_y, true_x) = (np.argwhere(c == 5).mean(0) for c in (found, classes))
    assert abs(y - true_y) < 0.3 and abs(x - true_x) < 0.3


def test_what_lies_beyond_the_crop_is_background(scene):
    image, _ = scene
    found = Parser(by_colour, LABELS, flip=False, margin=0.0)(image, np.array([0.0, 0, 200, 200]))
    assert found.any() and not found[:, 202:].any() and not found[202:].any()


def test_mirror_images_exchange_left_and_right(scene):
    """Both views agree if the mirrored one's classes are exchanged; else they cancel."""
    image, box = scene[0], np.array([100.0, 20, 300, 220])
    plain, mirrored = (Parser(by_side, LABELS, flip=flip)(image, box) for flip in (False, True))
    assert (plain == 14).any() and (plain == 15).any()
    assert (plain != mirrored).mean() < 0.02
    left, right = np.argwhere(mirrored == 14)[:, 1], np.argwhere(mirrored == 15)[:, 1]
    assert left.max() < right.min() + 4


def test_logits_are_means_over_scales_and_mirror_images():
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(len(LABELS), 3, 3, 3, generator=generator)

    def network(x):
        return F.conv2d(x, kernel, stride=4, padding=1).square()

    crop = torch.randn(1, 3, 41, 41, generator=generator)
    found = Parser(network, LABELS, (1.0, 0.75), flip=True).logits(crop)
    exchange = [*range(14), 15, 14, 17, 16, 19, 18]
    expected = []
    for size in (41, 30):
        scaled = F.interpolate(crop, (size, size), mode="bilinear", align_corners=True)
        mirrored = torch.stack([network(scaled.flip(-1))[:, k] for k in exchange], 1).flip(-1)
        mean = 0.5 * network(scaled) + 0.5 * mirrored
        expected.append(F.interpolate(mean, (41, 41), mode="bilinear", align_corners=True))
    torch.testing.assert_close(found, torch.stack(expected).mean(0)[0], rtol=1e-4, atol=1e-4)
