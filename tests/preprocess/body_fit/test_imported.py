"""Other tools' poses, through the stage: the body lies where the tool's person was, in the subject's own camera."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hashhuman.body.anny import YUP_FROM_ANNY, AnnyBody, joint_of_bone
from hashhuman.body.conventions import smpl_transl
from hashhuman.body.template import SMPL_JOINTS, BodyTemplate
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.geometry import skinning
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import load_npz
from preprocess.body_fit.geometry import project
from preprocess.body_fit.imported import ImportedFit
from preprocess.body_fit.init.from_motion import shape_of_bones
from preprocess.body_fit.init.retarget import alignment, t_pose
from preprocess.body_fit.sequence import Posed
from preprocess.body_fit.source import anny_rig, sam3d_body
from preprocess.body_fit.source.amass import Amass
from preprocess.body_fit.source.gem import LIMBS, Gem
from preprocess.body_fit.source.multihmr_anny import MultiHmrAnny
from preprocess.body_fit.source.npz import Npz
from preprocess.body_fit.source.prompthmr import PromptHmr
from preprocess.body_fit.source.romp import _follow
from preprocess.body_fit.source.sam3d_body import Sam3dBody
from preprocess.body_fit.source.wham import Wham
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.stage import run_stages
from tests.preprocess.body_fit.source import tools
from tests.preprocess.body_fit.source.tools import PARENTS

joblib = pytest.importorskip("joblib")

ORIGIN = np.array([0.0, -0.22, 0.03])  # where the tool's body has its pelvis at rest (m)
FILES = ("smpl_params", "smpl_vertices", "smpl_lbs", "body_fit.npz")


class SmplLike(AnnyBody):
    """A body that says that it is SMPL: its rest is the tool's, and its shape are the tool's betas."""

    name = "smpl"


@pytest.fixture(scope="module")
def subject(moving, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of the moving body with its exact landmarks as keypoints; every other picture of a video."""
    K, truth, _ = moving
    root, size, frames = tmp_path_factory.mktemp("import") / "subject", round(float(K[0, 2]) * 2 + 1), len(truth.joints)
    writer = SubjectWriter(root)
    images = [writer.write_image(0, frame, np.full((size, size, 3), 90, np.uint8)) for frame in range(frames)]
    camera = Camera(K, torch.eye(3), torch.zeros(3), size, size)
    writer.write_annots([camera], [np.zeros(5)], [[path] for path in images])
    times = list(range(0, 2 * frames, 2))
    writer.update_meta(video={"pictures": times, "seconds": [t / 10 for t in times]})
    keypoints = Keypoints.empty(list(range(frames)))
    keypoints.detected[:], keypoints.score[:], keypoints.visibility[:] = True, 1, 1
    keypoints.image_points[:] = project(truth.landmarks, K)
    keypoints.world_points[:] = np.nan
    keypoints.save(points_path(root))
    return root


def smpl_pose(body: AnnyBody, truth: Posed, limbs: dict[str, torch.Tensor] | None = None) -> np.ndarray:
    """The rotations (F, 24, 3, 3) of a body that rests in a T-pose and lies where the true one does.

    `limbs` are the directions of its limbs at rest, SMPL's if they are None.
    """
    template = body.template(body.shape_mean)
    directions = t_pose(SMPL_JOINTS) if limbs is None else limbs
    turned = truth.bone_transforms[..., :3, :3] @ alignment(template, directions).transpose(-1, -2)
    local = turned.clone()
    for j, parent in enumerate(PARENTS[1:], 1):
        local[:, j] = turned[:, parent].transpose(-1, -2) @ turned[:, j]
    return local.double().numpy()


def content(body: AnnyBody, moving) -> dict[str, np.ndarray]:
    """The plain format, of exactly the subject's pictures."""
    K, truth, _ = moving
    rotations = smpl_pose(body, truth)
    vectors = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec().reshape(len(rotations), -1)
    return {
        "global_orient": vectors[:, :3],
        "body_pose": vectors[:, 3:],
        "betas": np.zeros(10),
        "transl": truth.joints[:, 0].double().numpy() - ORIGIN,
        "K": K.double().numpy(),
        "frames": np.arange(0, 2 * len(vectors), 2),
        "joints": truth.joints.double().numpy(),
    }


@pytest.fixture
def given(body, moving) -> dict[str, np.ndarray]:
    return content(body, moving)


def imported(body, subject: Path, path: Path, source=None, **options) -> dict[str, np.ndarray]:
    """Runs the stage and returns its report; no fitting unless asked for."""
    stage = ImportedFit(lambda: body, source or Npz(), str(path), pictures=1, surface=50, **options)
    run_stages([stage], subject, force=True)
    return load_npz(subject / "body_fit.npz")


def write(path: Path, content: dict[str, Any]) -> Path:
    with open(path, "wb") as file:
        np.savez(file, **content)
    return path


def off(report: dict[str, np.ndarray], truth: Posed) -> np.ndarray:
    """Distance of each frame's joints from the true ones (m, mean), wherever the pelvis is."""
    joints, true = report["joints"], truth.joints.numpy()
    return np.linalg.norm(joints - joints[:, :1] - true + true[:, :1], axis=-1).mean(1)


def test_joints_of_the_file_decide_place_and_shape(body, moving, subject, given, tmp_path):
    report = imported(body, subject, write(tmp_path / "x.npz", given))
    assert off(report, moving[1]).max() < 0.01
    np.testing.assert_allclose(report["joints"][:, 0], moving[1].joints[:, 0], atol=1e-4)
    assert not report["interpolated"].any() and report["reprojection_error"].max() < 2
    written = Subject(subject)
    assert written.meta["body"] == "anny" and written.frames == list(range(14))
    world = written.pose(3).world_from_posed()
    joints = skinning.transform(
        written.template().bone_transforms(written.pose(3).body_pose), written.template().joints
    )
    np.testing.assert_allclose(skinning.transform(world, joints), report["joints"][3], atol=2e-4)


def test_keypoints_decide_the_place_where_the_file_has_no_joints(body, moving, subject, given, tmp_path):
    del given["joints"]
    given["transl"] *= 1.06  # the tool's person is larger, and so farther off
    report = imported(body, subject, write(tmp_path / "x.npz", given))
    assert off(report, moving[1]).max() < 0.005
    assert np.linalg.norm(report["joints"][:, 0] - moving[1].joints[:, 0].numpy(), axis=1).max() < 0.08
    assert report["reprojection_error"].max() < 2


def test_a_tool_with_another_focal_length(body, moving, subject, given, tmp_path):
    """It had the person twice as far off, behind a lens of twice the length: seen from here, poses turn a little."""
    given["K"][[0, 1], [0, 1]] *= 2
    given["transl"] = (given["transl"] + ORIGIN) * [1, 1, 2] - ORIGIN
    given["joints"] += given["joints"][:, :1] * [0, 0, 1]
    report = imported(body, subject, write(tmp_path / "x.npz", given))
    assert off(report, moving[1]).max() < 0.015
    np.testing.assert_allclose(report["joints"][:, 0], moving[1].joints[:, 0], atol=1e-3)


def test_extrinsics_bring_a_world_to_the_camera(body, moving, subject, given, tmp_path):
    R, T = Rotation.from_euler("xz", [-90, 30], degrees=True).as_matrix(), np.array([0.1, -0.2, 0.5])
    given["joints"] = (given["joints"] - T) @ R
    given["global_orient"] = (Rotation.from_matrix(R.T) * Rotation.from_rotvec(given["global_orient"])).as_rotvec()
    report = imported(body, subject, write(tmp_path / "x.npz", given | {"R": R, "T": T}))
    assert off(report, moving[1]).max() < 0.01
    np.testing.assert_allclose(report["joints"][:, 0], moving[1].joints[:, 0], atol=1e-4)


def test_gaps_are_filled_in_and_said_to_be(body, moving, subject, given, tmp_path):
    kept = np.array([i for i in range(14) if i not in (5, 6, 13)])
    rows = {k: v[kept] for k, v in given.items() if len(v) == 14}
    report = imported(body, subject, write(tmp_path / "x.npz", given | rows))
    assert np.flatnonzero(report["interpolated"]).tolist() == [5, 6, 13]
    assert off(report, moving[1])[:13].max() < 0.06 and off(report, moving[1])[kept].max() < 0.01
    few = {k: v[:3] for k, v in given.items() if len(v) == 14}
    with pytest.raises(UserError, match="in 3 of 14 pictures only"):
        imported(body, subject, write(tmp_path / "x.npz", given | few))


def test_poses_of_a_longer_video_are_refused(body, subject, given, tmp_path):
    """Tools count a video's pictures alike but for one or two; the video has 28, of which every other is used."""
    meta = Subject(subject).meta["video"]
    path = write(tmp_path / "x.npz", given | {"frames": given["frames"] + 3})
    SubjectWriter(subject).update_meta(video={**meta, "total": 28})
    try:
        imported(body, subject, write(tmp_path / "y.npz", given))
        with pytest.raises(UserError, match=r"up to picture 29 .* but the video has 27 pictures"):
            SubjectWriter(subject).update_meta(video={**meta, "total": 27})
            imported(body, subject, path)
    finally:
        SubjectWriter(subject).update_meta(video=meta)


def test_stages_fit_what_they_free(body, moving, subject, given, tmp_path):
    """Places are off by as much as a tool's depth may be: they follow the points, the pose stays."""
    given["joints"] = given["joints"] + [0.1, 0, 0]
    given["transl"] = given["transl"] + [0.1, 0, 0]
    path = write(tmp_path / "x.npz", given)
    before = imported(body, subject, path)
    stages = [{"steps": 25, "weights": {"points": 1}, "free": {"pelvis": 0.02}}]
    after = imported(body, subject, path, stages=stages)
    assert np.median(before["reprojection_error"]) > 5 > 2 > np.median(after["reprojection_error"])
    np.testing.assert_allclose(off(after, moving[1]), off(before, moving[1]), atol=1e-4)


# ------------------------------------------------------------------ whose, and where


def wham_track(given: dict[str, np.ndarray], shift: float = 0.0) -> dict[str, np.ndarray]:
    turn = Rotation.from_euler("x", 160, degrees=True)
    root = (turn * Rotation.from_rotvec(given["global_orient"])).as_rotvec()
    aside = np.array([shift, 0, 0])
    transl, hips = given["transl"] + aside, given["joints"][:, 1:3].mean(1) + aside
    return {
        "pose": np.concatenate([given["global_orient"], given["body_pose"]], 1),
        "trans": transl,
        "pose_world": np.concatenate([root, given["body_pose"]], 1),
        "trans_world": turn.apply(hips) + np.array([1, 2, 3]),
        "betas": np.zeros((14, 10)),
        "frame_ids": given["frames"],
    }


def test_the_person_of_the_keypoints_or_another(body, moving, subject, given, tmp_path):
    tracks = {7: wham_track(given, -1.3), 3: wham_track(given), 4: wham_track(given, 1.3)}
    joblib.dump(tracks, tmp_path / "wham.pkl")
    focal = float(moving[0][0, 0])
    read = functools.partial(imported, body, subject, tmp_path / "wham.pkl", Wham(focal=focal))
    for person in (None, 1, [120, 100]):
        report = read(person=person)
        assert np.linalg.norm(report["joints"][:, 0] - moving[1].joints[:, 0].numpy(), axis=1).max() < 0.08
    with pytest.raises(UserError, match="3 were found"):
        read(person=5)
    path = write(tmp_path / "x.npz", given)
    with pytest.raises(UserError, match="holds one person"):
        imported(body, subject, path, person=1)


def test_tracks_of_one_person_are_joined(body, subject, given, tmp_path, moving, capsys):
    """The person's number changes and one picture is lost; somebody else keeps theirs all the time."""
    whole, focal = wham_track(given), float(moving[0][0, 0])
    joblib.dump({5: whole}, tmp_path / "one.pkl")
    one = imported(body, subject, tmp_path / "one.pkl", Wham(focal=focal))
    first, second = ({k: v[rows] for k, v in whole.items()} for rows in (slice(0, 6), slice(7, None)))
    joblib.dump({5: first, 2: wham_track(given, 1.3), 9: second}, tmp_path / "split.pkl")
    split = imported(body, subject, tmp_path / "split.pkl", Wham(focal=focal))
    assert "tracks 9 and 5 are one person's and were joined" in capsys.readouterr().out.replace("\n", "")
    assert split["interpolated"].tolist() == [row == 6 for row in range(14)]
    apart = np.linalg.norm(split["joints"] - one["joints"], axis=-1).max(1)
    assert np.delete(apart, 6).max() < 1e-3 and apart[6] < 0.1
    capsys.readouterr()
    imported(body, subject, tmp_path / "split.pkl", Wham(focal=focal), person=[120, 100])
    assert "joined" in capsys.readouterr().out


@pytest.mark.parametrize("names", ["{:08d}.png", "in/frame_{}.jpg", "{:06d}"])
def test_keys_of_romp_are_numbers_not_positions(names):
    """Pictures 5 to 7 show nobody and have no entry: the ninth picture stays the ninth."""
    person = {
        "smpl_thetas": np.zeros((1, 72)), "smpl_betas": np.zeros((1, 10)), "cam": np.array([[0.9, 0, 0]]),
        "joints": np.zeros((1, 71, 3)), "pj2d_org": np.random.default_rng(0).uniform(50, 90, (1, 71, 2)),
    }  # fmt: skip
    for first in (0, 1):
        results = {names.format(i + first): person for i in (*range(5), *range(8, 20))}
        (track,) = _follow(results, Path("x.npz"))
        assert track["frame_id"] == [*range(5), *range(8, 20)]


def test_somebody_else_is_refused(body, subject, given, tmp_path):
    given["joints"] = given["joints"] + [1.3, 0, 0]
    with pytest.raises(UserError, match="pixels from the keypoints"):
        imported(body, subject, write(tmp_path / "x.npz", given))


def test_a_motion_in_the_world_is_put_before_the_camera(body, moving, subject, given, tmp_path):
    joblib.dump({0: wham_track(given)}, tmp_path / "wham.pkl")
    report = imported(body, subject, tmp_path / "wham.pkl", Wham("world"))
    assert np.linalg.norm(report["joints"] - moving[1].joints.numpy(), axis=-1).max() < 0.05
    assert report["reprojection_error"].max() < 2


def test_a_motion_of_another_rate_is_matched_by_time(body, moving, subject, given, tmp_path):
    """Rows at 40 a second, pictures at 5, with the first row a quarter of a second before the first picture."""
    rows = np.arange(124)
    between = ((rows / 40 - 0.25) / 0.2).clip(0, 13)
    low = np.minimum(between.astype(int), 12)
    share = between - low
    vectors = []
    for turns in smpl_pose(body, moving[1]).swapaxes(0, 1):
        before, after = Rotation.from_matrix(turns[low]), Rotation.from_matrix(turns[low + 1])
        part = Rotation.from_rotvec(share[:, None] * (before.inv() * after).as_rotvec())
        vectors.append((before * part).as_rotvec())
    poses = np.stack(vectors, 1)
    transl = given["transl"][low] * (1 - share[:, None]) + given["transl"][low + 1] * share[:, None]
    motion = {"poses": poses.reshape(len(rows), 72), "trans": transl, "betas": np.zeros(16), "mocap_framerate": 40.0}
    path = write(tmp_path / "amass.npz", motion)
    report = imported(body, subject, path, Amass(offset=0.25))
    assert off(report, moving[1]).max() < 0.05 and report["reprojection_error"].max() < 2
    assert not report["interpolated"].any()
    with pytest.raises(UserError, match="in 3 of 14 pictures only"):
        imported(body, subject, path, Amass(offset=2.6))


def test_a_body_behind_the_camera(body, subject, given, tmp_path):
    given["joints"] = -given["joints"]
    with pytest.raises(UserError, match="behind the camera"):
        imported(body, subject, write(tmp_path / "x.npz", given))


def test_a_subject_without_a_video_has_no_seconds(body, subject, given, tmp_path):
    path = write(tmp_path / "x.npz", {"poses": np.zeros((9, 72)), "trans": np.zeros((9, 3)), "betas": np.zeros(10),
                                      "mocap_framerate": 40.0})  # fmt: skip
    meta = Subject(subject).meta["video"]
    SubjectWriter(subject).update_meta(video=None)
    try:
        with pytest.raises(UserError, match="was not made from a video"):
            imported(body, subject, path, Amass())
    finally:
        SubjectWriter(subject).update_meta(video=meta)


def test_nothing_there(body, tmp_path):
    with pytest.raises(UserError, match=r"there is nothing at .*absent: correct preprocess\.body_fit\.path"):
        ImportedFit(lambda: body, Npz(), str(tmp_path / "absent"))


def test_a_refused_file_leaves_the_last_fit_whole(body, subject, given, tmp_path):
    path = write(tmp_path / "x.npz", given)
    imported(body, subject, path)
    files = [p for name in FILES for p in sorted((subject / name).rglob("*"))] + [subject / "body_fit.npz"]
    before = {p: p.read_bytes() for p in files if p.is_file()}
    assert len(before) > 14
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"x\.npz is not a readable npz file"):
        imported(body, subject, path)
    assert {p: p.read_bytes() for p in before} == before
    assert not [p for p in subject.rglob(".*") if p.is_file()]


def test_gem_x_stands_where_the_persons_size_puts_it(body, moving, subject, tmp_path):
    """SOMA's bones are not known without its files: pose from the file, size and place from the keypoints."""
    K, truth, _ = moving
    limbs = {name: torch.from_numpy(direction).float() for name, direction in LIMBS.items()}
    rotations = smpl_pose(body, truth, limbs)
    vectors = np.zeros((14, 77, 3))
    for j, name in enumerate(tools.SOMA_OF_SMPL):
        vectors[:, tools.SOMA_ORDER.index(name)] = Rotation.from_matrix(rotations[:, j]).as_rotvec()
    params = {
        "global_orient": vectors[:, 0],
        "body_pose": vectors[:, 1:].reshape(14, -1),
        "identity_coeffs": np.zeros((14, 45)),
        "scale_params": np.zeros((14, 69)),
        "transl": truth.joints[:, 0].numpy() * 1.05,  # taller than the body here, and as much farther away
    }
    camera = K.clone()
    camera[:2, 2] += 0.5  # pixels from the corner
    content = {
        "body_params_incam": {name: torch.from_numpy(value).float() for name, value in params.items()},
        "K_fullimg": camera.repeat(14, 1, 1),
    }
    path = tmp_path / "hpe_results.pt"
    torch.save(content, path)
    SubjectWriter(subject).update_meta(video={"pictures": list(range(14)), "seconds": [t / 10 for t in range(14)]})
    try:
        report = imported(body, subject, path, Gem())
    finally:
        times = list(range(0, 28, 2))
        SubjectWriter(subject).update_meta(video={"pictures": times, "seconds": [t / 10 for t in times]})
    assert off(report, truth).max() < 0.001
    assert np.linalg.norm(report["joints"][:, 0] - truth.joints[:, 0].numpy(), axis=1).max() < 0.05
    assert report["reprojection_error"].max() < 1


def sam3d_folder(body, moving, folder: Path) -> Path:
    """SAM 3D Body's files of the moving body: its landmarks at the points of the same names, others anywhere."""
    K, truth, sequence = moving
    names = tuple(sam3d_body.LANDMARKS)
    moments = torch.einsum("k,kljc->ljc", sequence.basis(), body.landmark_basis(names))
    places = torch.einsum("fjab,ljb->fla", truth.bone_transforms[:, :, :3], moments).detach().double().numpy()
    rng = np.random.default_rng(0)
    points = truth.joints[:, :1].numpy() + rng.normal(0, 0.3, (14, 70, 3))
    points[:, list(sam3d_body.LANDMARKS.values())] = places
    size = round(float(K[0, 2]) * 2 + 1)
    for frame in range(14):
        person = tools.sam3d_person(points[frame], np.array([0.05, 0.9, 3.0]), float(K[0, 0]) * 2, (2 * size, 2 * size))
        folder.mkdir(exist_ok=True)
        np.savez(folder / f"{2 * frame:05d}_0.npz", **person)  # of the video, twice as large as the subject
    return folder


def test_points_on_the_body_decide_shape_and_pose(body, moving, subject, tmp_path):
    """SAM 3D Body's."""
    report = imported(body, subject, sam3d_folder(body, moving, tmp_path / "x"), Sam3dBody())
    apart = np.linalg.norm(report["joints"] - moving[1].joints.numpy(), axis=-1)
    assert apart.mean() < 0.0005 and apart.max() < 0.004
    assert not report["interpolated"].any() and report["reprojection_error"].max() < 1


def test_multi_hmr_on_anny_gives_shape_pose_and_place(body, moving, subject, tmp_path):
    """Written as poses of the old rig, in each bone's own axes; read back within a millimetre."""
    K, truth, sequence = moving
    model, shape = anny_rig._model(), sequence.shape_vector().detach()
    with torch.no_grad():
        rest = model(phenotype_kwargs=dict(zip(anny_rig.SHAPE, shape[:, None])))["rest_bone_poses"][0]
    axes, labels, yup = rest[:, :3, :3], list(model.bone_labels), torch.tensor(YUP_FROM_ANNY)
    # every bone's skin turns as that of the joint that it moves with; those of the face, as the head's
    joint = [SMPL_JOINTS.index(_joint_of(label)) for label in labels]
    turns = truth.bone_transforms[:, joint, :3, :3] @ yup
    parents = list(model.bone_parents)
    local = torch.stack(
        [turns[:, 0] @ axes[0]]
        + [axes[b].mT @ turns[:, parents[b]].mT @ turns[:, b] @ axes[b] for b in range(1, len(labels))], 1
    )  # fmt: skip
    pelvis = body.template(shape).joints[0] @ yup
    root = truth.joints[:, 0] + turns[:, 0] @ (rest[0, :3, 3] - pelvis)
    side = 672
    camera = K * (side / (2 * K[0, 2] + 1))
    camera[:2, 2], camera[2, 2] = side / 2, 1
    points = truth.joints[:, :1] + torch.randn(14, 163, 3, generator=torch.Generator().manual_seed(0)) * 0.3
    for frame in range(14):
        pixels = points[frame] @ camera.T
        person = {
            "K": camera,
            "rotvec": torch.from_numpy(Rotation.from_matrix(local[frame].detach().numpy()).as_rotvec()).float(),
            "shape": torch.cat([shape, torch.full((5,), 0.5)]),
            "transl_pelvis": root[frame, None].clone(),
            "j2d": pixels[:, :2] / pixels[:, 2:],
        }
        torch.save([person], tmp_path / f"{2 * frame:06d}.jpg_multiHMR_672_L_anny.png.pt")
    report = imported(body, subject, tmp_path, MultiHmrAnny())
    assert np.linalg.norm(report["joints"] - truth.joints.numpy(), axis=-1).max() < 1e-3
    np.testing.assert_allclose(Subject(subject).template().joints, body.template(shape).joints, atol=1e-5)


def _joint_of(label: str) -> str:
    try:
        return joint_of_bone(label)
    except KeyError:
        return "head"


# ------------------------------------------------------------------ SMPL's family


class SmplxLike(AnnyBody):
    """A body that says that it is SMPL-X."""

    name = "smplx"


def prompthmr(body: AnnyBody, moving) -> tuple[dict[str, Any], BodyTemplate]:
    """PromptHMR's file of the moving body, as if that were SMPL-X; and the body."""
    K, truth, sequence = moving
    shape = sequence.shape_vector().detach()
    template = body.template(shape)
    turned = truth.bone_transforms[:, :22, :3, :3].double()
    local = [turned[:, 0]] + [turned[:, p].mT @ turned[:, j] for j, p in enumerate(PARENTS[:22]) if j]
    rotmat = torch.cat([torch.stack(local, 1), torch.eye(3).repeat(14, 33, 1, 1)], 1).numpy()
    # by definition: vertices = R (rest - pelvis) + pelvis + trans
    trans = (truth.joints[:, 0] - template.joints[0]).numpy()
    smplx = {"rotmat": rotmat, "shape": np.tile(shape.numpy(), (14, 1)), "trans": trans}
    camera = {"img_focal": float(K[0, 0]), "img_center": K[:2, 2].numpy() + 0.5}
    return {"camera": camera, "people": {1: {"frames": np.arange(0, 28, 2), "smplx_cam": smplx}}}, template


def test_smplx_takes_smplx_as_it_is(body, moving, subject, tmp_path):
    """Its orientation turns about the pelvis, which lies off the origin: joints come back within a millimetre."""
    content, template = prompthmr(body, moving)
    assert template.joints[0].norm() > 0.1
    joblib.dump(content, tmp_path / "results.pkl")
    report = imported(SmplxLike(), subject, tmp_path / "results.pkl", PromptHmr())
    apart = np.linalg.norm(report["joints"] - moving[1].joints.numpy(), axis=-1)
    assert apart[:, :22].max() < 1e-3


def test_smpl_and_smplx_share_poses_but_neither_shape_nor_origin(body, moving, subject, tmp_path):
    content, _ = prompthmr(body, moving)
    smplx = content["people"][1]["smplx_cam"]
    smplx["trans"] = smplx["trans"] + [0, 0.13, 0]  # SMPL-X has its pelvis elsewhere at rest
    smplx["shape"] = smplx["shape"] + 5
    joblib.dump(content, tmp_path / "results.pkl")
    report = imported(SmplLike(), subject, tmp_path / "results.pkl", PromptHmr())
    assert off(report, moving[1]).max() < 0.001
    assert np.linalg.norm(report["joints"][:, 0] - moving[1].joints[:, 0].numpy(), axis=1).max() < 0.03


def test_smpl_takes_poses_shape_and_translation_as_they_are(moving, subject, given, tmp_path):
    """Round trip: from global_orient and transl to ours, and back by SMPL's formula."""
    body, (_, truth, sequence) = SmplLike(), moving
    shape = sequence.shape_vector().detach()
    template = body.template(shape)
    pelvis = template.joints[0]
    turned = truth.bone_transforms[..., :3, :3]
    local = torch.stack([turned[:, 0]] + [turned[:, p].mT @ turned[:, j] for j, p in enumerate(PARENTS) if j], 1)
    vectors = Rotation.from_matrix(local.numpy().reshape(-1, 3, 3)).as_rotvec().reshape(14, 24, 3)
    transl = truth.joints[:, 0] - pelvis
    del given["joints"]
    given |= {"global_orient": vectors[:, 0], "body_pose": vectors[:, 1:].reshape(14, 69)}
    given |= {"transl": transl.numpy(), "betas": shape.numpy()}
    report = imported(body, subject, write(tmp_path / "x.npz", given))
    np.testing.assert_allclose(report["joints"], truth.joints, atol=1e-4)
    written = Subject(subject)
    for frame in (0, 5, 13):
        pose = written.pose(frame)
        np.testing.assert_allclose(pose.body_pose[1:], vectors[frame, 1:], atol=1e-4)
        turn = Rotation.from_rotvec(pose.orient.numpy()).as_matrix()
        np.testing.assert_allclose(turn, local[frame, 0], atol=1e-5)
        np.testing.assert_allclose(smpl_transl(pose.orient, pose.transl, pelvis), transl[frame], atol=1e-4)
    np.testing.assert_allclose(written.template().joints, template.joints, atol=1e-5)


def test_bones_of_known_length_give_the_shape(body):
    tall = body.shape_mean.clone()
    tall[list(body.shape_names).index("height")] += 0.12
    expected = body.template(tall).joints
    limbs = {n: (n, e) for s in ("left", "right") for n, e in ((f"{s}_hip", f"{s}_knee"), (f"{s}_knee", f"{s}_ankle"),
             (f"{s}_shoulder", f"{s}_elbow"), (f"{s}_elbow", f"{s}_wrist"))}  # fmt: skip
    index = {name: i for i, name in enumerate(body.joint_names)}
    lengths = {n: float((expected[index[b]] - expected[index[a]]).norm()) for n, (a, b) in limbs.items()}
    found = body.template(body.shape_mean + shape_of_bones(body, lengths) * body.shape_deviation).joints
    mean = body.template(body.shape_mean).joints
    for n, (a, b) in limbs.items():
        assert abs(float((found[index[b]] - found[index[a]]).norm()) - lengths[n]) < 0.006
    assert (mean[:, 1].max() - mean[:, 1].min()) + 0.03 < found[:, 1].max() - found[:, 1].min()
