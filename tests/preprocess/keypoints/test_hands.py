"""Both hands of a picture are looked for where the body's points say."""

import numpy as np
import pytest

from hashhuman.io.files import write_image
from preprocess.keypoints import hand_network, hands
from preprocess.keypoints.crop import Crop
from preprocess.keypoints.hand_network import INPUT, POINTS, Hand, HandNetwork
from preprocess.keypoints.hands import crop_of_hand, find_hands, trust_in
from preprocess.skeleton import NAMES


def body_points() -> np.ndarray:
    """A trunk of 100 pixels, the left hand pointing to the picture's right, the right one down."""
    points = np.zeros((33, 2))
    for name, at in {
        "left_shoulder": (120, 100), "right_shoulder": (80, 100), "left_hip": (110, 200), "right_hip": (90, 200),
        "left_wrist": (200, 150), "left_index": (230, 146), "left_pinky": (230, 158),
        "right_wrist": (60, 210), "right_index": (66, 240), "right_pinky": (48, 240),
    }.items():  # fmt: skip
        points[NAMES.index(name)] = at
    return points


def test_the_fingers_point_upwards_in_a_crop():
    left, right = crop_of_hand(body_points(), "left"), crop_of_hand(body_points(), "right")
    np.testing.assert_allclose(left.center, [200 + 1.3 * 30, 150])
    assert left.side == pytest.approx(3.2 * 30) and left.angle == pytest.approx(np.pi / 2)
    np.testing.assert_allclose(right.center, [60, 210 + 1.3 * 30])
    assert abs(right.angle) == pytest.approx(np.pi)


def test_a_hand_without_fingers_continues_the_forearm():
    """As from tools whose fingers are the wrist."""
    points = body_points()
    for name in ("wrist", "index", "pinky"):
        points[NAMES.index(f"left_{name}")] = 200, 150
    points[NAMES.index("left_elbow")] = 160, 150
    found = crop_of_hand(points, "left")
    np.testing.assert_allclose(found.center, [200 + 1.3 * 0.35 * 40, 150])
    assert found.side == pytest.approx(45) and found.angle == pytest.approx(np.pi / 2)  # of a trunk of 100 pixels


def test_the_other_hand_is_not_trusted():
    def hand(presence: float, right: float) -> Hand:
        return Hand(np.zeros((POINTS, 2)), np.zeros((POINTS, 3)), presence, right)

    assert trust_in(hand(0.9, 0.9), "right") == pytest.approx(0.9 * 0.8)
    assert trust_in(hand(0.9, 0.9), "left") == 0 == trust_in(hand(0.5, 0.9), "right")
    assert trust_in(hand(0.9, 0.0), "left") == pytest.approx(0.9)


def test_the_networks_output_is_placed_in_the_picture(monkeypatch):
    """A crop about (100, 80) of twice the network's size, whose upward direction is the picture's right."""
    seen = {}

    def network(pixels: np.ndarray) -> list[np.ndarray]:
        seen["shape"] = pixels.shape
        seen["above"], seen["below"] = pixels[0, INPUT // 8, INPUT // 2, 0], pixels[0, -INPUT // 8, INPUT // 2, 0]
        points = np.tile([(INPUT - 1) / 2, (INPUT - 1) / 2 - 10, 0.0], (POINTS, 1)).reshape(1, -1)
        metres = np.tile([0.0, -0.05, 0.02], (POINTS, 1)).reshape(1, -1)
        return [points, np.array([[0.75]]), np.array([[0.25]]), metres]

    monkeypatch.setattr(hand_network, "Network", lambda asset, threads: network)
    image = np.zeros((400, 600, 3), np.uint8)
    image[:, 200:] = 255
    hand = HandNetwork()(image, Crop(np.array([100.0, 80.0]), 2.0 * INPUT, np.pi / 2))
    assert seen == {"shape": (1, INPUT, INPUT, 3), "above": 1, "below": 0}  # what lies to the right, and to the left
    np.testing.assert_allclose(hand.image_points, np.tile([120, 80], (POINTS, 1)))
    np.testing.assert_allclose(hand.world_points, np.tile([0.05, 0, 0.02], (POINTS, 1)), atol=1e-12)
    assert (hand.presence, hand.right) == (0.75, 0.25)


def test_a_hand_is_looked_at_twice(monkeypatch, tmp_path):
    """The second crop lies about the points of the first; a hand without a visible wrist is not looked for."""
    crops = []
    points = np.zeros((POINTS, 2))
    points[:, 0], points[:, 1] = np.linspace(200, 240, POINTS), 150

    def network(image: np.ndarray, crop: Crop) -> Hand:
        crops.append(crop)
        return Hand(points, np.ones((POINTS, 3)), 0.9, 0.1)

    monkeypatch.setattr(hands, "HandNetwork", lambda threads: network)
    write_image(tmp_path / "0.png", np.zeros((300, 300, 3), np.uint8))
    visibility = np.ones((1, 33))
    visibility[0, NAMES.index("right_wrist")] = 0
    found = find_hands([tmp_path / "0.png"], body_points()[None], visibility)
    first, second = crops
    np.testing.assert_allclose(first.center, crop_of_hand(body_points(), "left").center)
    np.testing.assert_allclose(second.center, [220, 150])
    assert second.side == pytest.approx(80) and second.angle == pytest.approx(np.pi / 2)
    np.testing.assert_allclose(found.trust, [[0.9 * 0.8, 0]])
    assert found.world_points[0, 0].all() and not found.world_points[0, 1].any()
