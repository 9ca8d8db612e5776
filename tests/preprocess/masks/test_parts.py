import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from hashhuman.body.template import SMPL_JOINTS
from hashhuman.data import lip
from hashhuman.data.subject import SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io.files import read_image
from preprocess.masks.parts import PartRenderer, face_classes, joint_classes, spread_classes
from tests import toy


def decode_as_instant_nvr(colours):
    """Its masks: bits of the class spread over the channels, compared colour by colour in 8 bits."""
    palette = np.zeros((20, 3), np.uint8)
    for label in range(20):
        rest, bit = label, 7
        while rest:
            palette[label] |= np.array([(rest & 1) << bit, (rest >> 1 & 1) << bit, (rest >> 2 & 1) << bit], np.uint8)
            rest, bit = rest >> 3, bit - 1
    classes = np.zeros(colours.shape[:2], np.uint8)
    for label, colour in enumerate(palette):
        classes[(colours - colour).sum(-1) == 0] = label
    is_any = lambda *labels: np.isin(classes, labels)
    masks = {"head": is_any(2, 10, 13), "body": is_any(5), "larm": is_any(14), "rarm": is_any(15)}
    return masks | {"lleg": is_any(9, 16), "rleg": is_any(9, 17)}, classes != 0


def test_smpl_joints_become_the_parts_that_instant_nvr_reads(tmp_path):
    classes = dict(zip(SMPL_JOINTS, joint_classes(SMPL_JOINTS)))
    SubjectWriter(tmp_path).write_parts(0, 0, joint_classes(SMPL_JOINTS)[None])
    read, person = decode_as_instant_nvr(read_image(tmp_path / "schp/00/000000.png"))
    assert person.all()
    members = {part: {name for name, hit in zip(SMPL_JOINTS, mask[0]) if hit} for part, mask in read.items()}
    assert members["head"] == {"neck", "head"}
    assert members["larm"] == {"left_shoulder", "left_elbow", "left_wrist", "left_hand"}
    assert members["rarm"] == {"right_shoulder", "right_elbow", "right_wrist", "right_hand"}
    assert members["lleg"] == {"left_hip", "left_knee", "left_ankle", "left_foot"}
    assert members["rleg"] == {"right_hip", "right_knee", "right_ankle", "right_foot"}
    assert members["body"] == {"pelvis", "spine1", "spine2", "spine3", "left_collar", "right_collar"}
    assert len(classes) == 24


def test_joints_that_no_part_holds_are_refused():
    with pytest.raises(UserError, match="tail"):
        joint_classes([*SMPL_JOINTS, "tail"])


def test_a_face_belongs_to_the_joints_that_move_it_most():
    weights = np.array([[0.9, 0.1, 0.0], [0.4, 0.6, 0.0], [0.1, 0.5, 0.4], [0.0, 0.3, 0.7]])
    faces = np.array([[0, 1, 2], [1, 2, 3]])
    # joints 1 and 2 are of one class: 1.2 + 0.4 > 1.4, and by far in the second face
    assert face_classes(faces, weights, np.array([5, 16, 16], np.uint8)).tolist() == [16, 16]
    assert face_classes(faces, weights, np.array([5, 16, 17], np.uint8)).tolist() == [5, 16]


def test_renders_the_toys_parts():
    body, view = toy.template(), toy.camera(0)
    vertices = toy.world_vertices(body, 1)
    classes = PartRenderer(body)(view, vertices.numpy())
    face = toy.cast(vertices, body.faces, view)
    labels = np.array([toy.LIP_CLASS[name] for name in toy.JOINT_NAMES])[np.maximum(face, 0) // 12]
    expected = np.where(face >= 0, labels, 0)
    assert (classes != expected).mean() < 2e-3
    assert set(np.unique(classes)) == {0, 5, 13, 14, 15, 16}


def test_spreads_to_the_nearest_label():
    rng = np.random.default_rng(0)
    classes = np.zeros((40, 50), np.uint8)
    classes[tuple(rng.integers(0, [40, 50], (12, 2)).T)] = rng.choice([5, 13, 14], 12)
    mask = rng.random((40, 50)) < 0.7
    _, (rows, columns) = distance_transform_edt(classes == 0, return_indices=True)
    expected = np.where(mask, classes[rows, columns], 0)
    found = spread_classes(classes, mask)
    assert ((found != 0) == mask).all()
    # the 5 x 5 distance is off by 2 %, so ties may fall otherwise
    assert (found == expected).mean() > 0.97
    assert not spread_classes(np.zeros((4, 5), np.uint8), np.ones((4, 5), bool)).any()


def test_colours_survive_the_file(tmp_path):
    classes = np.arange(lip.N_CLASSES, dtype=np.uint8)[None]
    SubjectWriter(tmp_path).write_parts(0, 3, classes)
    np.testing.assert_array_equal(lip.decode(read_image(tmp_path / "schp/00/000003.png")), classes)
