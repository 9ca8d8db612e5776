"""The subject folder: what is written is read again, what is missing is derived, what is wrong is said."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hashhuman.body.template import SMPL_JOINTS
from hashhuman.data import lip
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.io import files
from tests import toy


def edit(path: Path, **changes) -> None:
    """Replaces entries of a dictionary in an npy file."""
    files.save_npy(path, files.load_npy(path) | changes)


def skinned(body, frame: int) -> np.ndarray:
    """The toy's world vertices from matrices that scipy made: every toy limb hangs from the pelvis."""
    pose = toy.pose(frame)
    rotations = Rotation.from_rotvec(pose.body_pose.numpy()).as_matrix()
    joints, rest = body.joints.numpy(), body.vertices.numpy()
    moved = np.einsum("jab,vjb->vja", rotations, rest[:, None] - joints) + joints
    posed = np.einsum("vj,vja->va", body.lbs_weights.numpy(), moved)
    return posed @ Rotation.from_rotvec(pose.orient.numpy()).as_matrix().T + pose.transl.numpy()


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


def test_vertices_agree_with_scipy(toy_subject: Subject, toy_template):
    np.testing.assert_allclose(toy_subject.vertices(4), skinned(toy_template, 4), atol=2e-6)


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


def test_part_labels_round_trip(toy_subject: Subject):
    labels = [toy_subject.parts(picture) for picture in toy_subject.pictures]
    assert set(np.unique(labels)) == {0, *toy.LIP_CLASS.values()}
    colours = files.read_image(toy_subject.pictures[0].parts)
    head = labels[0] == 13
    assert (colours[head] == (192, 0, 128)).all()


def test_lip_palette():
    """The colours that the classes of instant-nvr's parts have in SCHP's pictures."""
    palette = lip.palette()
    known = {2: (0, 128, 0), 5: (128, 0, 128), 9: (192, 0, 0), 13: (192, 0, 128), 14: (64, 128, 128)}
    known |= {15: (192, 128, 128), 16: (0, 64, 0), 17: (128, 64, 0)}
    for label, colour in known.items():
        assert tuple(palette[label]) == colour
    everything = np.arange(20, dtype=np.uint8).reshape(4, 5)
    np.testing.assert_array_equal(lip.decode(lip.encode(everything)), everything)
    assert lip.decode(np.full((1, 1, 3), 77, np.uint8)) == 0


def test_everything_derivable_is_derived(toy_folder: Path, tmp_path: Path):
    full, bare = Subject(toy_folder), Subject(toy.write_subject(tmp_path / "bare", n_frames=3, derived=False))
    np.testing.assert_allclose(bare.vertices(2), full.vertices(2), atol=1e-6)
    np.testing.assert_allclose(bare.posed_vertices(2), full.posed_vertices(2), atol=1e-6)
    np.testing.assert_allclose(bare.big_pose_vertices(), full.big_pose_vertices(), atol=1e-6)
    uv = bare.template().uv
    assert uv is not None
    assert uv.shape == (40, 2)
    assert 0 <= uv.min() <= uv.max() <= 1
    assert bare.uv_volume()[0].shape[:3] == bare.blend_weight_volume()[0].shape[:3]


@pytest.mark.parametrize("left", ["bigpose_vertices", "smpl_vertices"])
def test_rest_vertices_come_from_posed_ones(toy_copy: Path, toy_template, left: str):
    (toy_copy / "smpl_lbs/tvertices.npy").unlink()
    if left == "smpl_vertices":
        (toy_copy / "smpl_lbs/bigpose_vertices.npy").unlink()
    torch.testing.assert_close(Subject(toy_copy).template().vertices, toy_template.vertices, atol=1e-5, rtol=0)


def test_big_pose_spreads_the_leg(toy_subject: Subject, toy_template):
    """The left leg's far end turns by 30 degrees about z, outwards; nothing else moves."""
    rest, spread = toy_template.vertices.numpy(), toy_subject.big_pose_vertices()
    foot = np.flatnonzero(toy_template.lbs_weights[:, 4] == 1)
    hip = toy_template.joints[4].numpy()
    turned = Rotation.from_euler("z", 30, degrees=True).apply(rest[foot] - hip) + hip
    np.testing.assert_allclose(spread[foot], turned, atol=1e-6)
    assert spread[foot, 0].mean() > rest[foot, 0].mean()
    np.testing.assert_allclose(spread[:32], rest[:32], atol=1e-7)


def test_texture_coordinates_from_a_volume(toy_copy: Path):
    """ZJU-MoCap has texture coordinates only as a volume."""
    subject = Subject(toy_copy)
    volume, _, _ = subject.uv_volume()
    SubjectWriter(toy_copy).write_uv_volume(volume)
    (toy_copy / "smpl_lbs/uv.npy").unlink()
    read = Subject(toy_copy).template().uv
    assert read is not None
    assert subject.template().uv is not None
    distance = (read[:, None] - subject.template().uv[None]).norm(dim=-1).amin(1)
    assert distance.max() < 1e-6  # each is the coordinate of a vertex within a voxel
    np.testing.assert_array_equal(Subject(toy_copy).uv_volume()[0], volume)


# ---------------------------------------------------------------------- quirks of ZJU-MoCap


def test_smpl_meta(toy_copy: Path, tmp_path: Path, toy_template):
    meta = tmp_path / "smpl-meta"
    meta.mkdir()
    for name in ("faces", "parents", "weights"):
        shutil.move(toy_copy / f"smpl_lbs/{name}.npy", meta / f"{name}.npy")
    files.save_npy(meta / "parents.npy", np.array([2**32 - 1, 0, 0, 0, 0], np.uint32))
    files.save_npy(meta / "faces.npy", toy_template.faces.numpy().astype(np.uint32))
    template = Subject(toy_copy, meta).template()
    assert template.parents == (-1, 0, 0, 0, 0)
    torch.testing.assert_close(template.faces, toy_template.faces)
    with pytest.raises(UserError, match=r"weights\.npy does not exist; name the folder .* data\.smpl_meta"):
        Subject(toy_copy).template()
    with pytest.raises(UserError, match=r"no folder .*nowhere"):
        Subject(toy_copy, tmp_path / "nowhere")


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
    files.write_image(picture.mask, np.full((toy.SIZE // 2, toy.SIZE // 2), 128, np.uint8))
    np.testing.assert_allclose(subject.mask(picture), np.full((toy.SIZE, toy.SIZE), 128 / 255), atol=1e-6)


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


def test_joint_names(toy_copy: Path, tmp_path: Path):
    (toy_copy / "subject.json").unlink()
    assert Subject(toy_copy).template().joint_names == tuple(f"joint_{i}" for i in range(5))
    lbs = toy_copy / "smpl_lbs"
    files.save_npy(lbs / "joints.npy", np.random.default_rng(0).normal(size=(24, 3)))
    files.save_npy(lbs / "parents.npy", np.arange(24) - 1)
    files.save_npy(lbs / "weights.npy", np.eye(24)[np.arange(40) % 24])
    assert Subject(toy_copy).template().joint_names == SMPL_JOINTS


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


# ---------------------------------------------------------------------- bad input


def test_no_folder(tmp_path: Path):
    with pytest.raises(UserError, match=r"There is no subject folder .*nobody"):
        Subject(tmp_path / "nobody")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a["cams"].pop("R"), "must hold cams"),
        (lambda a: a.pop("ims"), "must hold cams"),
        (lambda a: a["cams"]["K"].pop(), r"cams\['R'\] must hold 1"),
        (lambda a: a["cams"].update(K=[np.eye(4)] * 2), r"cams\['K'\] must hold 2 finite arrays of shape \(3, 3\)"),
        (lambda a: a["cams"].update(T=[np.full(3, np.nan)] * 2), r"cams\['T'\]"),
        (lambda a: a["ims"][0]["ims"].append("images/02/000000.png"), "more cameras than the 2"),
        (lambda a: a["ims"][0].update(ims=["../outside.png"]), "not lie inside"),
        (lambda a: a["ims"][0].update(ims=["/etc/passwd"]), "not lie inside"),
        (lambda a: a.update(ims=[{"ims": ["images/00/000099.png"]}]), "holds none of the pictures"),
    ],
)
def test_bad_annots(toy_copy: Path, change, message: str):
    annots = files.load_npy(toy_copy / "annots.npy")
    change(annots)
    files.save_npy(toy_copy / "annots.npy", annots)
    with pytest.raises(UserError, match=message):
        Subject(toy_copy)


@pytest.mark.parametrize("content", [np.zeros(3), [1, 2], "text"])
def test_annots_of_another_kind(toy_copy: Path, content):
    files.save_npy(toy_copy / "annots.npy", np.array(content))
    with pytest.raises(UserError, match="must hold cams"):
        Subject(toy_copy)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("smpl_lbs/joints.npy", np.zeros((5, 2)), "joints.npy must hold any x 3 numbers, not 5 x 2 of float64"),
        ("smpl_lbs/joints.npy", np.full((5, 3), np.inf), "not finite"),
        ("smpl_lbs/joints.npy", {"a": 1}, "not a dict"),
        ("smpl_lbs/weights.npy", np.zeros((40, 4)), "must hold any x 5"),
        ("smpl_lbs/weights.npy", np.zeros((40, 5)), "add up to one"),
        ("smpl_lbs/weights.npy", np.array([["x"] * 5] * 40), "must hold any x 5 numbers"),
        ("smpl_lbs/parents.npy", np.array([-1, 2, 0, 0, 0]), "before the joint itself"),
        ("smpl_lbs/parents.npy", np.array([-1, 0, 0]), "must hold 5 numbers"),
        ("smpl_lbs/faces.npy", np.array([[0, 1, 40]]), "does not have"),
        ("smpl_lbs/tvertices.npy", np.zeros((39, 3)), "must hold 40 x 3 numbers, not 39 x 3"),
        ("smpl_lbs/uv.npy", np.zeros((40, 3)), "must hold 40 x 2"),
        ("subject.json", {"joint_names": ["a"]}, "names 1 joints"),
    ],
)
def test_bad_body(toy_copy: Path, name: str, content, message: str):
    (files.save_json if name.endswith("json") else files.save_npy)(toy_copy / name, content)
    with pytest.raises(UserError, match=message) as caught:
        Subject(toy_copy).template()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros(3), "dictionary with poses, Rh and Th"),
        ({"poses": np.zeros((1, 15)), "Rh": np.zeros((1, 3))}, "dictionary with poses, Rh and Th"),
        ({"poses": np.zeros((1, 72)), "Rh": np.zeros((1, 3)), "Th": np.zeros((1, 3))}, "poses must hold 15 finite"),
        ({"poses": np.zeros((1, 15)), "Rh": np.full((1, 3), np.nan), "Th": np.zeros((1, 3))}, "Rh must hold 3 finite"),
        ({"poses": np.zeros((1, 15)), "Rh": np.zeros((1, 3)), "Th": "abc"}, "Th must hold 3"),
    ],
)
def test_bad_pose(toy_copy: Path, content, message: str):
    files.save_npy(toy_copy / "smpl_params/1.npy", content)
    with pytest.raises(UserError, match=message):
        Subject(toy_copy).pose(1)
    with pytest.raises(UserError, match=r"smpl_params/77\.npy does not exist"):
        Subject(toy_copy).pose(77)


def test_no_body_at_all(toy_copy: Path):
    for name in ("smpl_lbs/tvertices.npy", "smpl_lbs/bigpose_vertices.npy"):
        (toy_copy / name).unlink()
    shutil.rmtree(toy_copy / "smpl_vertices")
    with pytest.raises(UserError, match=r"has no body: .* run the body fit"):
        Subject(toy_copy).template()


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
    with pytest.raises(UserError, match="is 10 x 20, but its picture is 48 x 48"):
        subject.mask(first)
    subject.image(first)
    files.write_image(other.image, np.zeros((10, 20, 3), np.uint8))
    with pytest.raises(UserError, match="is 10 x 20 x 3, other pictures of its camera are 48 x 48"):
        subject.image(other)


def test_volumes_of_another_body(toy_copy: Path):
    writer = SubjectWriter(toy_copy)
    writer.write_blend_weight_volume(np.zeros((20, 20, 20, 6), np.float32))
    with pytest.raises(UserError, match="20 x 20 x 20 nodes does not fit the body"):
        Subject(toy_copy).blend_weight_volume()
    writer.write_blend_weight_volume(np.zeros((20, 20, 20, 25), np.float32))
    with pytest.raises(UserError, match="must hold any x any x any x 6 numbers"):
        Subject(toy_copy).blend_weight_volume()


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


def test_meta_is_updated_not_replaced(toy_copy: Path):
    SubjectWriter(toy_copy).update_meta(body_model="toy")
    meta = Subject(toy_copy).meta
    assert meta["body_model"] == "toy"
    assert meta["joint_names"] == list(toy.JOINT_NAMES)
    assert meta["version"] == 1
