"""What is written is read again."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io import files
from tests import toy


def test_round_trip(toy_subject: Subject, toy_template):
    assert toy_subject.camera_names == ["00", "01"]
    assert toy_subject.frames == list(range(toy.N_FRAMES)) == toy_subject.posed_frames
    assert len(toy_subject.pictures) == toy.N_FRAMES * toy.N_CAMERAS
    template = toy_subject.template()
    for name in ("vertices", "faces", "lbs_weights", "joints", "uv"):
        torch.testing.assert_close(getattr(template, name), getattr(toy_template, name))
    assert template.parents == (-1, 0, 0, 0, 0)
    assert template.joint_names == toy.JOINT_NAMES
    pose, expected = toy_subject.pose(3), toy.pose(3)
    for name in ("body_pose", "orient", "transl"):
        torch.testing.assert_close(getattr(pose, name), getattr(expected, name))
    camera, expected = toy_subject.camera(1), toy.camera(1)
    for name in ("K", "R", "T"):
        torch.testing.assert_close(getattr(camera, name), getattr(expected, name))
    assert (camera.height, camera.width) == (toy.SIZE, toy.SIZE)


def test_part_labels_round_trip(toy_subject: Subject):
    labels = [toy_subject.parts(picture) for picture in toy_subject.pictures]
    assert set(np.unique(labels)) == {0, *toy.LIP_CLASS.values()}
    colours = files.read_image(toy_subject.pictures[0].parts)
    head = labels[0] == 13
    assert (colours[head] == (192, 0, 128)).all()


def test_meta_is_updated_not_replaced(toy_copy: Path):
    SubjectWriter(toy_copy).update_meta(body_model="toy")
    meta = Subject(toy_copy).meta
    assert meta["body_model"] == "toy"
    assert meta["joint_names"] == list(toy.JOINT_NAMES)
    assert meta["version"] == 1


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("body_pose", 45.0, "these degrees"),
        ("orient", 45.0, "these degrees"),
        ("transl", 2e4, "these metres"),
    ],
)
def test_poses_beyond_any_persons_range_are_neither_written_nor_read(toy_copy, part: str, value: float, said: str):
    pose = dataclasses.replace(toy.pose(0), **{part: torch.full_like(getattr(toy.pose(0), part), value)})
    before = (toy_copy / "smpl_params/0.npy").read_bytes()
    with pytest.raises(UserError, match=said):
        SubjectWriter(toy_copy).write_pose(0, pose)
    assert (toy_copy / "smpl_params/0.npy").read_bytes() == before
    params = files.load_npy(toy_copy / "smpl_params/0.npy")
    name = {"body_pose": "poses", "orient": "Rh", "transl": "Th"}[part]
    files.save_npy(toy_copy / "smpl_params/0.npy", params | {name: np.full_like(params[name], value)})
    with pytest.raises(UserError, match=said):
        Subject(toy_copy).pose(0)


def test_a_person_who_turns_before_the_camera_may_be_counted_on(toy_copy: Path):
    turned = dataclasses.replace(toy.pose(0), orient=torch.tensor([0.0, 0.0, 6 * np.pi]))
    SubjectWriter(toy_copy).write_pose(0, turned)
    assert Subject(toy_copy).pose(0).orient[2] == pytest.approx(6 * np.pi)


def test_a_body_in_millimetres_is_refused(toy_copy):
    for name in ("joints", "tvertices"):
        files.save_npy(toy_copy / f"smpl_lbs/{name}.npy", 1000 * files.load_npy(toy_copy / f"smpl_lbs/{name}.npy"))
    with pytest.raises(UserError, match="is it in other units than metres"):
        Subject(toy_copy).template()
