"""Pictures, masks and cameras in a subject folder."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.io import files
from tests import toy
from tests.hashhuman.data.subject.change import edit


def test_the_person_is_where_the_body_projects(toy_subject: Subject):
    for picture in toy_subject.pictures:
        mask = toy_subject.mask(picture)
        assert mask.dtype == np.float32
        assert set(np.unique(mask)) == {0, 1}
        pixels = toy_subject.camera(picture.camera).project(torch.from_numpy(toy_subject.vertices(picture.frame)))
        hull = cv2.convexHull(pixels[:, :2].contiguous().numpy())
        inside = np.zeros(mask.shape, np.uint8)
        cv2.fillConvexPoly(inside, np.rint(hull).astype(int), 1)
        assert not (mask * (cv2.dilate(inside, np.ones((3, 3))) == 0)).any()
        assert mask.sum() > 0.1 * inside.sum()
        image = toy_subject.image(picture)
        assert image.dtype == np.uint8
        assert ((image.max(-1) > 0) == (mask > 0)).all()


def test_label_masks_stand_in(toy_copy: Path):
    """mask_cihp/ holds small label numbers, not coverage."""
    expected = Subject(toy_copy).mask(Subject(toy_copy).pictures[0])
    for path in (toy_copy / "mask").rglob("*.png"):
        files.write_image(path, files.read_image(path) // 255 * 13)
    (toy_copy / "mask").rename(toy_copy / "mask_cihp")
    subject = Subject(toy_copy)
    np.testing.assert_array_equal(subject.mask(subject.pictures[0]), expected)
    (toy_copy / "mask_cihp").rename(toy_copy / "nothing")
    subject = Subject(toy_copy)
    assert subject.pictures[0].mask is None
    np.testing.assert_array_equal(subject.mask(subject.pictures[0]), expected)  # from the part labels
    (toy_copy / "schp").rename(toy_copy / "nothing_either")
    subject = Subject(toy_copy)
    with pytest.raises(UserError, match=r"There is no mask of .*000000\.png"):
        subject.mask(subject.pictures[0])
    with pytest.raises(UserError, match="There are no part labels"):
        subject.parts(subject.pictures[0])


def test_masks_of_zeros_and_ones_and_of_half_size(toy_copy: Path):
    subject = Subject(toy_copy)
    picture = subject.pictures[0]
    expected = subject.mask(picture)
    files.write_image(picture.mask, (expected > 0).astype(np.uint8))
    np.testing.assert_array_equal(subject.mask(picture), expected)
    half = np.zeros((toy.SIZE // 2, toy.SIZE // 2), np.uint8)
    half[4:12, 6:14] = 255
    half[4:12, 6] = 128
    files.write_image(picture.mask, half)
    mask = subject.mask(picture)
    assert (mask[9:23, 15:27] == 1).all() and not mask[:7].any() and 0 < mask[16, 12] < 1


def test_of_several_ids_those_on_the_body_are_the_person(toy_copy: Path):
    subject = Subject(toy_copy)
    picture = subject.pictures[0]
    expected = subject.mask(picture)
    ids = np.where(expected > 0, 3, 0).astype(np.uint8)
    ids[:6, :6] = 1  # somebody else
    files.write_image(picture.mask, ids)
    np.testing.assert_array_equal(subject.mask(picture), expected)
    indices = Image.fromarray(ids, "P")
    indices.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    indices.save(picture.mask)
    np.testing.assert_array_equal(subject.mask(picture), expected)


def test_cameras_in_folders_of_other_names(toy_copy: Path):
    """The original ZJU-MoCap has no images/ folder: Camera_B1/000000.jpg, mask_cihp/Camera_B1/000000.png."""
    for old, new in (("images", "."), ("mask", "mask_cihp")):
        for index in range(2):
            (toy_copy / new).mkdir(exist_ok=True)
            shutil.move(toy_copy / old / f"{index:02d}", toy_copy / new / f"Camera_B{index + 1}")
    rows = [{"ims": [f"Camera_B{c + 1}/{f:06d}.png" for c in range(2)]} for f in range(2)]
    edit(toy_copy / "annots.npy", ims=rows)
    subject = Subject(toy_copy)
    assert subject.camera_names == ["Camera_B1", "Camera_B2"]
    assert all(p.mask is not None and p.mask.parts[-3] == "mask_cihp" for p in subject.pictures)


def test_distortion_is_undone(tmp_path: Path):
    """Dots seen through a distorting lens appear, undistorted, where the pinhole camera projects them."""
    K = torch.tensor([[80.0, 0, 49.5], [0, 80.0, 39.5], [0, 0, 1]])
    camera = Camera(K, torch.eye(3), torch.zeros(3), 80, 100)
    distortion = np.array([-0.3, 0.1, 0.002, -0.001, 0.0])
    dots = np.array([[-0.35, -0.25, 1], [0.35, -0.2, 1], [0.3, 0.25, 1], [-0.3, 0.3, 1]])
    seen = cv2.projectPoints(dots, np.zeros(3), np.zeros(3), K.double().numpy(), distortion)[0][:, 0]
    canvas = np.zeros((80, 100), np.uint8)
    for x, y in seen:
        cv2.circle(canvas, (round(16 * x), round(16 * y)), 16 * 3, 255, -1, cv2.LINE_AA, 4)
    writer = SubjectWriter(tmp_path)
    path = writer.write_image(0, 0, np.repeat(canvas[..., None], 3, -1))
    writer.write_mask(0, 0, canvas / 255)
    writer.write_annots([camera], [distortion], [[path]])
    subject = Subject(tmp_path)
    straight, mask = subject.image(subject.pictures[0]), subject.mask(subject.pictures[0])
    for dot in dots:
        x, y = camera.project(torch.from_numpy(dot).float())[:2].round().int().tolist()
        for picture in (straight[..., 0] / 255, mask):
            window = picture[y - 6 : y + 7, x - 6 : x + 7]
            rows, columns = np.mgrid[y - 6 : y + 7, x - 6 : x + 7]
            expected = camera.project(torch.from_numpy(dot).float())[:2].numpy()
            found = np.array([(columns * window).sum(), (rows * window).sum()]) / window.sum()
            assert np.abs(found - expected).max() < 0.35
    assert np.abs(seen - [[49.5, 39.5]] - (dots[:, :2] * 80)).max() > 1  # the lens did move them
    np.testing.assert_array_equal(subject.distortion(0), distortion)


def test_no_folder(tmp_path: Path):
    with pytest.raises(UserError, match=r"There is no subject folder .*nobody"):
        Subject(tmp_path / "nobody")


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("annots.npy", lambda s: s),
        ("smpl_lbs/joints.npy", lambda s: s.template()),
        ("smpl_params/0.npy", lambda s: s.pose(0)),
        ("smpl_vertices/0.npy", lambda s: s.vertices(0)),
        ("smpl_lbs/bigpose_vertices.npy", lambda s: s.big_pose_vertices()),
        ("smpl_lbs/bigpose_bw.npy", lambda s: s.blend_weight_volume()),
        ("bigpose_uv.npy", lambda s: s.uv_volume()),
        ("images/00/000000.png", lambda s: s.image(s.pictures[0])),
        ("mask/00/000000.png", lambda s: s.mask(s.pictures[0])),
        ("schp/00/000000.png", lambda s: s.parts(s.pictures[0])),
        ("subject.json", lambda s: s),
    ],
)
def test_truncated_files(toy_copy: Path, name: str, read):
    path = toy_copy / name
    if not path.exists():
        files.save_npy(path, np.zeros((20, 20, 20, 6), np.float32))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=rf"{name} is not a readable") as caught:
        read(Subject(toy_copy))
    assert "\n" not in str(caught.value)


def test_pictures_of_other_sizes(toy_copy: Path):
    subject = Subject(toy_copy)
    first, other = (p for p in subject.pictures if p.camera == 0)
    files.write_image(first.mask, np.zeros((10, 20), np.uint8))
    with pytest.raises(UserError, match="is 20 x 10 pixels, but the pictures are 48 x 48"):
        subject.mask(first)
    subject.image(first)
    files.write_image(other.image, np.zeros((10, 20, 3), np.uint8))
    with pytest.raises(UserError, match="is 10 x 20 x 3, other pictures of its camera are 48 x 48"):
        subject.image(other)


def test_folders_of_a_newer_version(toy_copy: Path):
    SubjectWriter(toy_copy)
    path = toy_copy / "subject.json"
    path.write_text(json.dumps(files.load_json(path) | {"version": 99}))
    with pytest.raises(UserError, match="newer version"):
        Subject(toy_copy)


def test_picture_without_a_frame_number(toy_copy: Path):
    (toy_copy / "images/00/000000.png").rename(toy_copy / "images/00/first.png")
    edit(toy_copy / "annots.npy", ims=[{"ims": ["images/00/first.png"]}])
    with pytest.raises(UserError, match=r"first\.png is not named by its frame's number"):
        Subject(toy_copy)


def test_camera_without_pictures(toy_copy: Path):
    shutil.rmtree(toy_copy / "images/01")
    subject = Subject(toy_copy)
    assert {p.camera for p in subject.pictures} == {0}
    with pytest.raises(UserError, match=r"no picture of camera 1 \(01\)"):
        subject.camera(1)


def test_pictures_as_coreview_313_names_them(toy_copy: Path):
    """Folders with spaces and brackets; the frame's number stands before the time of day, and counts from 1."""
    expected = Subject(toy_copy).image(Subject(toy_copy).pictures[0])
    rows = []
    for frame in range(2):
        rows.append({"ims": []})
        for camera in range(2):
            stem = f"CoreView_313_Camera_({camera + 1})_{frame + 1:04d}_2019-08-23_16-08-5{frame}.{592 + 41 * frame}"
            for old, new in (("images", "."), ("mask", "mask_cihp"), ("schp", "schp")):
                target = toy_copy / new / f"Camera ({camera + 1})" / f"{stem}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                (toy_copy / old / f"{camera:02d}/{frame:06d}.png").rename(target)
            rows[-1]["ims"].append(f"Camera ({camera + 1})/{stem}.png")
        (toy_copy / f"smpl_params/{1 - frame}.npy").rename(toy_copy / f"smpl_params/{2 - frame}.npy")
    edit(toy_copy / "annots.npy", ims=rows)
    subject = Subject(toy_copy)
    assert subject.frames == subject.posed_frames == [1, 2]
    assert subject.camera_names == ["Camera (1)", "Camera (2)"]
    assert all(picture.mask and picture.parts for picture in subject.pictures)
    np.testing.assert_array_equal(subject.image(subject.pictures[0]), expected)
    assert subject.mask(subject.pictures[3]).any()
