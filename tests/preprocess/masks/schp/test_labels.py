import numpy as np
import pytest

from preprocess.masks.schp.labels import LABEL_SETS

# The classes as upstream's extractor lists them.
LIP = [
    *("Background", "Hat", "Hair", "Glove", "Sunglasses", "Upper-clothes", "Dress", "Coat", "Socks", "Pants"),
    *("Jumpsuits", "Scarf", "Skirt", "Face", "Left-arm", "Right-arm", "Left-leg", "Right-leg"),
    *("Left-shoe", "Right-shoe"),
]
ATR = [
    *("Background", "Hat", "Hair", "Sunglasses", "Upper-clothes", "Skirt", "Pants", "Dress", "Belt"),
    *("Left-shoe", "Right-shoe", "Face", "Left-leg", "Right-leg", "Left-arm", "Right-arm", "Bag", "Scarf"),
]
PASCAL = ["Background", "Head", "Torso", "Upper Arms", "Lower Arms", "Upper Legs", "Lower Legs"]
NAMES = {"lip": LIP, "cihp": LIP, "atr": ATR, "pascal": PASCAL}


@pytest.mark.parametrize("key", LABEL_SETS)
def test_mirrors_exchange_left_and_right(key):
    names = NAMES[key]
    swapped = [n.replace("Left", "?").replace("Right", "Left").replace("?", "Right") for n in names]
    assert [names[k] for k in LABEL_SETS[key].mirror()] == swapped


@pytest.mark.parametrize(("key", "others"), [("lip", {"Jumpsuits"}), ("cihp", set()), ("atr", {"Belt", "Bag"})])
def test_classes_keep_their_names(key, others):
    labels = LABEL_SETS[key]
    assert len(labels) == len(NAMES[key])
    renamed = {n for n, options in zip(NAMES[key], labels.lip_classes) if [LIP[k] for k in options] != [n]}
    assert renamed == others


def test_sizes_are_upstreams():
    sizes = {key: (labels.side, len(labels)) for key, labels in LABEL_SETS.items()}
    assert sizes == {"lip": (473, 20), "cihp": (473, 20), "atr": (512, 18), "pascal": (512, 7)}


def test_the_nearest_part_of_the_body_tells_left_from_right():
    body = np.zeros((6, 12), np.uint8)
    body[1, 1], body[1, 10] = 15, 14  # arms
    body[2:, 6] = 5
    body[5, 9] = 16  # one leg only
    classes = np.zeros((6, 12), np.uint8)
    classes[0, :5], classes[1, 7:], classes[2, 5:8], classes[5, :] = 3, 4, 2, 6
    found = LABEL_SETS["pascal"].to_lip(classes, body)
    expected = np.zeros((6, 12), np.uint8)
    expected[0, :5], expected[1, 7:], expected[2, 5:8], expected[5, :] = 15, 14, 5, 16
    np.testing.assert_array_equal(found, expected)


def test_classes_whose_parts_are_out_of_sight_take_the_first():
    classes = np.full((3, 3), 5, np.uint8)
    found = LABEL_SETS["pascal"].to_lip(classes, np.full((3, 3), 13, np.uint8))
    np.testing.assert_array_equal(found, np.full((3, 3), 16))


def test_jumpsuits_are_torso_and_legs():
    body = np.array([[13, 5, 5, 16], [0, 5, 17, 17]], np.uint8)
    found = LABEL_SETS["lip"].to_lip(np.full((2, 4), 10, np.uint8), body)
    assert set(found.ravel()) == {5, 16, 17}
    np.testing.assert_array_equal(found[:, 3], [16, 17])
