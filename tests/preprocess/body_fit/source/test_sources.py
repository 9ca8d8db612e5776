"""Readers of other tools' files return the motion that the files were made of, under the subject's camera."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hashhuman.body.template import SMPL_JOINTS
from hashhuman.errors import UserError
from preprocess.body_fit.source import gem, sam3d_body
from preprocess.body_fit.source.follow import picture_numbers_of
from preprocess.body_fit.source.gem import Gem
from preprocess.body_fit.source.motion import Motion, Source, resample
from preprocess.body_fit.source.multihmr_anny import MultiHmrAnny
from preprocess.body_fit.source.npz import Npz
from preprocess.body_fit.source.prompthmr import PromptHmr
from preprocess.body_fit.source.romp import Romp
from preprocess.body_fit.source.sam3d_body import Sam3dBody
from preprocess.body_fit.source.tram import Tram
from preprocess.body_fit.source.wham import Wham
from tests.preprocess.body_fit.source import tools
from tests.preprocess.body_fit.source.tools import FRAMES, HALF, Truth


def read(tool: str, tmp_path: Path, *people: Truth, source: Source | None = None) -> list[Motion]:
    path = tmp_path / tool
    tools.DUMP[tool](path, tools.CONTENT[tool](*people))
    return (source or tools.SOURCES[tool]()).read(path, *HALF)


@pytest.mark.parametrize("tool", ["wham", "tram", "hmr2", "npz", "prompthmr"])
def test_poses_and_times_are_the_tools(tool: str, tmp_path: Path):
    truth = Truth(0)
    [motion] = read(tool, tmp_path, truth)
    np.testing.assert_array_equal(motion.at, FRAMES)
    assert motion.rotations is not None and motion.rotations.shape[1] == (22 if tool == "prompthmr" else 24)
    np.testing.assert_allclose(motion.rotations, truth.matrices[:, : motion.rotations.shape[1]], atol=1e-6)
    np.testing.assert_allclose(motion.transl, truth.transl, atol=1e-6)
    np.testing.assert_allclose(motion.betas, truth.betas[0], atol=1e-6)


def test_gvhmr_has_a_row_for_every_picture_and_no_hands(tmp_path: Path):
    truth = Truth(0)
    [motion] = read("gvhmr", tmp_path, truth)
    np.testing.assert_array_equal(motion.at, np.arange(len(FRAMES)))
    np.testing.assert_allclose(motion.rotations, truth.matrices[:, :22], atol=1e-6)
    np.testing.assert_allclose(motion.transl, truth.transl, atol=1e-6)


def test_gem_smpl_is_smplx_without_the_rows_of_a_text(tmp_path: Path):
    truth = Truth(0)
    [motion] = read("gem", tmp_path, truth)
    assert motion.body == "smplx" and motion.rotations is not None
    np.testing.assert_array_equal(motion.at, np.arange(len(FRAMES)))
    np.testing.assert_allclose(motion.rotations, truth.matrices[:, :22], atol=1e-6)
    np.testing.assert_allclose(motion.transl, truth.transl, atol=1e-6)
    np.testing.assert_allclose(motion.betas, truth.betas[0], atol=1e-6)
    content = tools.gem(truth)
    content["segment_info"][1]["type"] = "video"
    tools.DUMP["gem"](tmp_path / "two.pt", content)
    with pytest.raises(UserError, match="motions of 2 videos"):
        Gem().read(tmp_path / "two.pt", *HALF)
    tools.DUMP["gvhmr"](tmp_path / "gvhmr.pt", tools.gvhmr(truth))
    with pytest.raises(UserError, match="use preprocess/body_fit/source=gvhmr"):
        Gem().read(tmp_path / "gvhmr.pt", *HALF)


def test_gem_x_turns_somas_joints(tmp_path: Path):
    """Its translation is where the hips are, and its rotations are from SOMA's own T-pose."""
    truth = Truth(0)
    [motion] = read("gem_x", tmp_path, truth)
    assert motion.body == "soma" and motion.rotations is not None
    np.testing.assert_allclose(motion.rotations[:, :22], truth.matrices[:, :22], atol=1e-6)
    np.testing.assert_allclose(motion.rotations[:, 22:], np.broadcast_to(np.eye(3), (5, 2, 3, 3)), atol=1e-6)
    np.testing.assert_allclose(motion.transl, truth.joints[:, 0], atol=1e-6)
    content = tools.gem_x(truth)
    neck = 3 * (tools.SOMA_ORDER.index("Neck2") - 1)
    content["body_params_incam"]["body_pose"][:, neck : neck + 3] = torch.tensor([0.1, 0.2, -0.3])
    tools.DUMP["gem_x"](tmp_path / "neck.pt", content)
    [bent] = Gem().read(tmp_path / "neck.pt", *HALF)
    assert bent.rotations is not None
    between = Rotation.from_rotvec([0.1, 0.2, -0.3]).as_matrix()
    np.testing.assert_allclose(bent.rotations[:, 15], between @ truth.matrices[:, 15], atol=1e-6)


def test_soma_rests_as_annys_package_has_it():
    """The joints, their parents and the T-pose, against the copy of SOMA's rig that comes with Anny (Apache-2.0)."""
    paths = pytest.importorskip("anny.paths")
    rig = torch.load(paths.get_anny_root_dir() / "data" / "soma" / "soma_rig.pt", weights_only=True)
    names = rig["bone_labels"]
    assert list(gem.SOMA) == names[1:]
    assert list(gem.SOMA.values())[1:] == [names[parent] for parent in rig["bone_parents"][2:]]
    place = dict(zip(names, rig["t_pose_world"][:, :3, 3].double().numpy()))
    for name, direction in gem.LIMBS.items():
        start = gem.JOINTS[SMPL_JOINTS.index(name)]
        end = {"Leg": "Shin", "Shin": "Foot", "Arm": "ForeArm", "ForeArm": "Hand"}[re.sub("Left|Right", "", start)]
        bone = place[start.replace(re.sub("Left|Right", "", start), end)] - place[start]
        np.testing.assert_allclose(bone / np.linalg.norm(bone), direction, atol=1e-3)


def test_prompthmr_counts_the_pictures_that_it_took(tmp_path: Path):
    [motion] = read("prompthmr", tmp_path, Truth(0), source=PromptHmr(step=2))
    np.testing.assert_array_equal(motion.at, 2 * FRAMES + 1)
    assert motion.body == "smplx"


def test_sam3d_bodys_points_are_in_the_axes_of_the_camera(tmp_path: Path):
    """y and z are flipped already, and metres: nothing is to be done but to add pred_cam_t."""
    people = Truth(0, x=-1.0), Truth(1, np.array([2, 3, 9]), x=1.0)
    found = read("sam3d_body", tmp_path, *people)
    found.sort(key=lambda motion: motion.transl[0, 0])
    for motion, truth in zip(found, people):
        np.testing.assert_array_equal(motion.at, truth.frames)
        assert motion.rotations is None and motion.points is not None and motion.seen is not None
        expected = tools.sam3d_points(truth)[:, [sam3d_body.LANDMARKS[name] for name in motion.landmarks]]
        np.testing.assert_allclose(motion.points, expected, atol=1e-5)
        assert motion.K is not None
        np.testing.assert_allclose(motion.K, [[250, 0, 159.5], [0, 250, 89.5], [0, 0, 1]], atol=1e-3)
        pixels = expected @ motion.K.T
        np.testing.assert_allclose(motion.seen, (pixels[..., :2] / pixels[..., 2:]).mean(1), atol=1e-3)


def test_sam3d_body_reads_no_angle_of_mhr(tmp_path: Path):
    """They are in other axes than the points, and mean nothing without MHR's skeleton."""
    [expected] = read("sam3d_body", tmp_path, Truth(0))
    content = tools.sam3d_body(Truth(0))
    for person in content.values():
        for name in ("pred_global_rots", "mhr_model_params", "scale_params", "pred_vertices"):
            person[name] = person[name] * -3
    tools.DUMP["sam3d_body"](tmp_path / "other", content)
    [motion] = Sam3dBody().read(tmp_path / "other", *HALF)
    assert motion.points is not None and expected.points is not None
    np.testing.assert_array_equal(motion.points, expected.points)


@pytest.mark.parametrize("harm", ["MHR's axes", "centimetres", "a crop", "another lens"])
def test_sam3d_body_notices_points_that_are_not_where_they_were_seen(harm: str, tmp_path: Path):
    content = tools.sam3d_body(Truth(0))
    for person in content.values():
        if harm == "MHR's axes":
            person["pred_keypoints_3d"] = person["pred_keypoints_3d"] * np.float32([1, -1, -1])
        elif harm == "centimetres":
            person["pred_keypoints_3d"] = person["pred_keypoints_3d"] * 100 + np.float32([0, 0, 400])
        elif harm == "a crop":
            person["pred_keypoints_2d"] = person["pred_keypoints_2d"] - np.float32([100, 0])
        else:
            person["focal_length"] = person["focal_length"] * np.float32(1.3)
    tools.DUMP["sam3d_body"](tmp_path / "x", content)
    expected = "whose shape is not that of the subject's" if harm == "a crop" else "are not where pred_keypoints_3d"
    with pytest.raises(UserError, match=expected):
        Sam3dBody().read(tmp_path / "x", *HALF)


def test_sam3d_body_with_another_lens_in_each_picture(tmp_path: Path):
    """Its guess of the focal length changes from picture to picture, and the depth with it; the size does not."""
    truth = Truth(0)
    content = tools.sam3d_body(truth)
    points, chosen = tools.sam3d_points(truth), list(sam3d_body.LANDMARKS.values())
    for row, name in enumerate(content):
        factor = (0.9, 1.0, 1.0, 1.1, 1.0)[row]
        farther = np.array([0, 0, points[row, chosen, 2].mean() * (factor - 1)])
        root = truth.transl[row] + farther
        content[name] = tools.sam3d_person(points[row] + farther, root, 500 * factor, tools.VIDEO)
    tools.DUMP["sam3d_body"](tmp_path / "x", content)
    [motion] = Sam3dBody().read(tmp_path / "x", *HALF)
    [expected] = read("sam3d_body", tmp_path, truth)
    assert motion.points is not None and expected.points is not None
    np.testing.assert_allclose(motion.points, expected.points, atol=1e-5)


def test_sam3d_body_has_one_camera_for_all_tracks(tmp_path: Path):
    """Somebody who is lost and found again elsewhere is another track; another guess of the lens is no other depth."""
    truths = [Truth(0, x=-1.0), Truth(0, x=1.0)]
    content = {}
    for i, (truth, factor) in enumerate(zip(truths, (1.0, 1.2))):
        points = tools.sam3d_points(truth)
        for row, frame in enumerate(truth.frames):
            farther = np.array([0, 0, points[row, list(sam3d_body.LANDMARKS.values()), 2].mean() * (factor - 1)])
            name, root = f"{frame + 10 * i:06d}_0.npz", truth.transl[row] + farther
            content[name] = tools.sam3d_person(points[row] + farther, root, 500 * factor, tools.VIDEO)
    tools.DUMP["sam3d_body"](tmp_path / "x", content)
    first, second = Sam3dBody().read(tmp_path / "x", *HALF)
    assert first.K is not None and first.points is not None and second.points is not None
    np.testing.assert_array_equal(first.K, second.K)
    apart = second.points - first.points
    np.testing.assert_allclose(apart[..., 2], 0, atol=1e-5)


@pytest.mark.parametrize("form", ["a list", "dictionaries", "nobody"])
def test_sam3d_bodys_people_in_one_file(form: str, tmp_path: Path):
    content = tools.sam3d_body(Truth(0, x=-1.0), Truth(1, x=1.0))
    for frame in FRAMES:
        people = [content[f"clip3_{frame:06d}_{i}.npz"] for i in (0, 1)]
        path = tmp_path / f"{frame + 1}.npz"
        if form == "a list":
            np.savez(path, outputs=np.array(people, object))
        elif form == "dictionaries":
            np.savez(path, *(np.array(person, object) for person in people))
        else:
            np.savez(path, outputs=np.array([]))
    if form == "nobody":
        with pytest.raises(UserError, match="found no person"):
            Sam3dBody().read(tmp_path, *HALF)
    else:
        found = Sam3dBody().read(tmp_path, *HALF)
        assert len(found) == 2
        np.testing.assert_array_equal(found[0].at, FRAMES + 1)  # names begin with 3, so they count from 0


def test_multi_hmr_sees_a_padded_square(tmp_path: Path):
    """Its K and 2D points are of 672 x 672 pixels, in which the picture has bars above and below."""
    truth = Truth(0)
    [motion] = read("multihmr_anny", tmp_path, truth)
    np.testing.assert_array_equal(motion.at, FRAMES)
    assert motion.body == "anny" and motion.K is not None and motion.seen is not None and motion.joints is not None
    focal = 582 / 672 * 320
    np.testing.assert_allclose(motion.K, [[focal, 0, 159.5], [0, focal, 89.5], [0, 0, 1]], atol=1e-3)
    np.testing.assert_allclose(motion.betas, np.full(6, 0.5))
    # the root bone's head, as the package places it, lies 8 cm from the free body's pelvis
    assert 0.05 < np.linalg.norm(motion.joints[:, 0] - truth.transl, axis=1).max() < 0.15
    pixels = motion.joints[:, 0] @ motion.K.T
    assert np.abs(motion.seen - pixels[:, :2] / pixels[:, 2:]).max() < 40  # the middle of random points


def test_multi_hmr_that_finds_nobody(tmp_path: Path):
    content = tools.multihmr_anny(Truth(0))
    content[next(iter(content))] = ({}, [])
    tools.DUMP["multihmr_anny"](tmp_path / "x", content)
    [motion] = MultiHmrAnny().read(tmp_path / "x", *HALF)
    np.testing.assert_array_equal(motion.at, FRAMES[1:])
    tools.DUMP["multihmr_anny"](tmp_path / "none", dict.fromkeys(content, ({}, [])))
    with pytest.raises(UserError, match="found no person"):
        MultiHmrAnny().read(tmp_path / "none", *HALF)


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["a_9", "a_10", "a_11"], [9, 10, 11]),
        (["v2_0001_0", "v2_0001_1", "v2_0002_0"], [0, 0, 1]),
        (["7_0", "7_1", "8_0", "8_1"], [7, 7, 8, 8]),
        (["left", "right"], [0, 1]),
    ],
)
def test_pictures_are_named_by_number_and_perhaps_person(names: list[str], numbers: list[int]):
    assert picture_numbers_of(names, Path("x")) == numbers


@pytest.mark.parametrize("names", [["000000", "000000_1", "000001"], ["1_0", "1_0_0", "2_0"], ["a_1", "b_1", "b_2"]])
def test_names_that_do_not_tell_pictures_are_refused(names: list[str]):
    with pytest.raises(UserError, match=r"^x: names such as .* do not tell which picture is which"):
        picture_numbers_of(names, Path("x"))


def test_amass_counts_seconds_in_a_world_without_camera(tmp_path: Path):
    truth = Truth(0)
    [motion] = read("amass", tmp_path, truth)
    assert motion.seconds and motion.K is None
    np.testing.assert_allclose(motion.at, np.arange(5) / 20)
    np.testing.assert_allclose(motion.rotations, truth.matrices[:, :22], atol=1e-6)


def test_aist_is_brought_to_smpls_own_size(tmp_path: Path):
    """Its file holds a body of 93.5 times that size, in centimetres, sixty rows a second."""
    truth = Truth(0)
    [motion] = read("aist", tmp_path, truth)
    assert motion.seconds and motion.K is None and not motion.betas.any()
    np.testing.assert_allclose(motion.at, np.arange(5) / 60)
    np.testing.assert_allclose(motion.rotations, truth.matrices, atol=1e-6)
    np.testing.assert_allclose(motion.transl, truth.transl, atol=1e-6)


@pytest.mark.parametrize(
    ("tool", "focal"),
    [
        ("wham", np.hypot(*HALF)),
        ("gvhmr", np.hypot(*HALF)),
        ("gem", np.hypot(*HALF)),
        ("gem_x", np.hypot(*HALF)),
        ("prompthmr", 300),
        ("tram", 350),  # 700 in the video, which is twice as wide
        ("hmr2", 5000 / 256 * 320),
        ("npz", 250),
    ],
)
def test_cameras_are_in_pixels_of_the_subject(tool: str, focal: float, tmp_path: Path):
    [motion] = read(tool, tmp_path, Truth(0))
    assert motion.K is not None
    np.testing.assert_allclose(motion.K, [[focal, 0, 159.5], [0, focal, 89.5], [0, 0, 1]], atol=1e-3)


def test_wham_with_a_calibration(tmp_path: Path):
    [motion] = read("wham", tmp_path, Truth(0), source=Wham(focal=321))
    assert motion.K is not None and motion.K[0, 0] == motion.K[1, 1] == 321


def test_joints_are_in_the_axes_of_the_camera(tmp_path: Path):
    truth = Truth(0)
    [motion] = read("npz", tmp_path, truth)
    assert motion.joints is not None
    np.testing.assert_allclose(motion.joints, truth.joints)
    [motion] = read("hmr2", tmp_path, truth)
    assert motion.joints is not None
    known = sorted(tools.BODY_25_OF_SMPL.values())
    np.testing.assert_allclose(motion.joints[:, known], truth.joints[:, known])
    assert np.isnan(motion.joints[:, np.setdiff1d(np.arange(24), known)]).all()


@pytest.mark.parametrize("tracked", [True, False])
def test_romp_puts_people_where_it_drew_them(tracked: bool, tmp_path: Path):
    """A weak-perspective camera and ours agree on pixels at the depth of the origin."""
    people = Truth(0, x=-2.0), Truth(1, x=2.0)
    tools.DUMP["romp"](tmp_path / "x.npz", tools.romp(*people, tracked=tracked))
    found = Romp().read(tmp_path / "x.npz", *HALF)
    assert len(found) == 2
    for motion, truth in zip(sorted(found, key=lambda m: m.transl[0, 0]), people):
        np.testing.assert_array_equal(motion.at, FRAMES)
        np.testing.assert_allclose(motion.rotations, truth.matrices, atol=1e-6)
        assert motion.joints is not None and motion.K is not None and motion.seen is not None
        pixels = motion.joints @ motion.K.T
        pixels = pixels[..., :2] / pixels[..., 2:]
        drawn = np.stack([tools.romp_people([(truth, row)])["pj2d_org"][0, :24] for row in range(5)])
        expected = drawn / 2 - 0.5  # half the size; pixel centres at integers, not the corner
        assert np.abs(pixels - expected).max() < 4  # of 320, for joints up to a metre nearer or farther
        np.testing.assert_allclose(motion.seen, (truth.transl[:, :2] / 4 + 1) * 160 - [0, 70], atol=1e-3)


def test_worlds_are_the_cameras_turned(tmp_path: Path):
    truth = Truth(0)
    turn = Rotation.from_euler("x", 180, degrees=True).as_matrix()
    [motion] = read("wham", tmp_path, truth, source=Wham("world"))
    assert motion.K is None
    np.testing.assert_allclose(motion.rotations[:, 0], turn @ truth.matrices[:, 0], atol=1e-6)
    hips = truth.joints[:, 1:3].mean(1) @ turn.T + [1, 0, 2]
    assert motion.hips is not None and np.abs(motion.hips - hips).max() < 1e-6
    [motion] = read("wham", tmp_path, truth)
    assert motion.hips is None
    [motion] = read("prompthmr", tmp_path, truth, source=PromptHmr("world"))
    assert motion.K is None and motion.rotations is not None
    np.testing.assert_allclose(motion.rotations[:, 0], turn @ truth.matrices[:, 0], atol=1e-6)
    np.testing.assert_allclose(motion.transl, truth.transl @ turn.T, atol=1e-6)
    turn = Rotation.from_euler("y", 90, degrees=True).as_matrix()
    [motion] = read("tram", tmp_path, truth, source=Tram("world"))
    assert motion.K is None
    np.testing.assert_allclose(motion.rotations[:, 0], turn @ truth.matrices[:, 0], atol=1e-6)
    np.testing.assert_allclose(motion.transl, truth.transl @ turn.T + [1, 2, 3], atol=1e-6)


def test_extrinsics_of_the_plain_file(tmp_path: Path):
    content = tools.npz(Truth(0)) | {"R": Rotation.from_euler("z", 90, degrees=True).as_matrix(), "T": np.arange(3.0)}
    tools.DUMP["npz"](tmp_path / "x.npz", content)
    [motion] = Npz().read(tmp_path / "x.npz", *HALF)
    R, T = motion.camera_from_axes
    np.testing.assert_allclose(R @ [1, 0, 0] + T, [0, 2, 2], atol=1e-12)


@pytest.mark.parametrize("tool", ["wham", "tram", "hmr2", "prompthmr"])
def test_everybody_is_read_and_placed(tool: str, tmp_path: Path):
    found = read(tool, tmp_path, Truth(0, x=-1.0), Truth(1, np.array([0, 1, 5]), x=1.0))
    found.sort(key=lambda motion: -len(motion.at))
    assert [len(motion.at) for motion in found] == [5, 3]
    left, right = (np.mean(motion.seen, axis=0) for motion in found if motion.seen is not None)
    assert left[0] < right[0]


def test_rows_may_come_in_any_order(tmp_path: Path):
    content = tools.npz(Truth(0))
    order = np.array([3, 0, 4, 1, 2])
    for name in ("global_orient", "body_pose", "transl", "frames", "joints", "betas"):
        content[name] = content[name][order]
    tools.DUMP["npz"](tmp_path / "x.npz", content)
    [motion] = Npz().read(tmp_path / "x.npz", *HALF)
    np.testing.assert_array_equal(motion.at, FRAMES)
    np.testing.assert_allclose(motion.transl, Truth(0).transl)
    content["frames"][1] = content["frames"][0]
    tools.DUMP["npz"](tmp_path / "x.npz", content)
    with pytest.raises(UserError, match="several poses of one person in one picture"):
        Npz().read(tmp_path / "x.npz", *HALF)


def test_another_word_than_camera_or_world():
    with pytest.raises(UserError, match="neither camera nor world"):
        Wham("wrold")  # pyright: ignore[reportArgumentType]


def test_resampling_turns_halfway_and_says_what_it_filled_in():
    turns = Rotation.from_euler("z", [[0], [40], [80]], degrees=True).as_matrix()[:, None]
    places = np.array([[0.0, 0, 1], [0, 2, 1], [4, 2, 1]])
    motion = Motion(np.array([1.0, 2, 6]), turns, places, np.zeros(10), np.eye(3))
    resampled, filled = resample(motion, np.array([0.0, 1, 2, 4, 6, 7]), 0.5)
    assert filled.tolist() == [True, False, False, True, False, True]
    angles = Rotation.from_matrix(resampled.rotations[:, 0]).as_euler("zxy", degrees=True)[:, 0]
    np.testing.assert_allclose(angles, [0, 0, 40, 60, 80, 80], atol=1e-9)
    np.testing.assert_allclose(resampled.transl[3], [2, 2, 1])
    single, filled = resample(Motion(np.array([3.0]), turns[:1], places[:1], np.zeros(10), None), np.arange(5.0), 0.5)
    assert filled.tolist() == [True, True, True, False, True] and single.rotations.shape == (5, 1, 3, 3)
