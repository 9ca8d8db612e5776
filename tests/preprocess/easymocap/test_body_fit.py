"""EasyMocap's bodies in the subject's world, against slow code that shares nothing with ours (tests/smpl_files.py)."""

import dataclasses
import json
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rich.progress import Progress
from scipy.spatial.transform import Rotation

from hashhuman.body.smpl.body import SmplBody
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import load_npy, load_npz
from preprocess.body_fit.easymocap import EasyMocapFit, keep_pixels
from preprocess.easymocap.source import EasyMocapFolder
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.stage import is_finished, run_stage
from tests.preprocess.easymocap import folders


def convert(subject: Path, root: Path, smpl, **arguments) -> EasyMocapFit:
    source = {name: arguments.pop(name) for name in ("camera", "results", "start", "step") if name in arguments}
    stage = EasyMocapFit(EasyMocapFolder(str(root), **source), smpl, pictures=1, **arguments)
    with Progress(disable=True) as progress:
        run_stage(stage, subject, progress)
    return stage


def set_camera(subject: Path, camera: Camera) -> Camera:
    reader = Subject(subject)
    SubjectWriter(subject).write_annots([camera], [np.zeros(5)], [[p.image] for p in reader.pictures])
    return camera


@pytest.mark.parametrize(("annots", "full"), [(False, True), (True, False)])
def test_a_folder_converts(tmp_path, subject, smpl, annots, full):
    """Both forms of the files, and poses with and without the root's zeros."""
    root = folders.write_bodies(tmp_path / "data", annots, full)
    stage = convert(subject, root, smpl)
    reader = Subject(subject)
    for frame in range(folders.FRAMES):
        joints, vertices = folders.joints_and_vertices(frame)
        np.testing.assert_allclose(reader.vertices(frame), vertices, atol=1e-4)
        np.testing.assert_allclose(load_npz(subject / "body_fit.npz")["joints"][frame], joints, atol=1e-4)
        params = load_npy(subject / f"smpl_params/{frame}.npy")
        assert {name: value.shape for name, value in params.items()} == {
            "poses": (1, 15), "Rh": (1, 3), "Th": (1, 3), "shapes": (1, 3),
        }  # fmt: skip
        np.testing.assert_allclose(params["Th"][0], folders.transl(frame), atol=1e-4)
        np.testing.assert_allclose(params["shapes"][0], folders.BETAS, atol=1e-6)
    rest = folders.ARRAYS["v_template"] + folders.ARRAYS["shapedirs"] @ folders.BETAS
    np.testing.assert_allclose(reader.template().vertices, rest, atol=1e-5)
    assert reader.meta["body"] == "smpl" and is_finished(stage, subject)
    assert (subject / "pictures/body_fit/000000.jpg").exists()


def test_millimetres_in_annots(subject, root, smpl, assumed):
    """What the recipe's conversion leaves in annots.npy: K, and T in millimetres."""
    camera = set_camera(subject, dataclasses.replace(assumed, T=torch.tensor([0.1, 0, 0.5])))
    convert(subject, root, smpl)
    cams = load_npy(subject / "annots.npy")["cams"]
    np.testing.assert_allclose(cams["T"][0].ravel(), [100, 0, 500])
    _, vertices = folders.joints_and_vertices(1)  # in the camera's axes, since EasyMocap has the camera in its origin
    moved = (Subject(subject).vertices(1) @ camera.R.numpy().T) + camera.T.numpy()
    np.testing.assert_allclose(moved, vertices, atol=1e-4)


def test_a_lens_that_easymocap_did_not_know(subject, root, smpl, assumed):
    """Twice the focal length: the body must go twice as far off, and be seen at the same pixels."""
    K = assumed.K.clone()
    K[:2, :2] *= 2
    camera = set_camera(subject, dataclasses.replace(assumed, K=K))
    convert(subject, root, smpl)
    reader = Subject(subject)
    for frame in range(folders.FRAMES):
        joints, vertices = folders.joints_and_vertices(frame)
        before = assumed.project(torch.from_numpy(joints).float())
        after = camera.project(torch.from_numpy(load_npz(subject / "body_fit.npz")["joints"][frame]))
        assert (before[:, :2] - after[:, :2]).norm(dim=1).max() < 1.0
        assert after[:, 2].mean() / before[:, 2].mean() == pytest.approx(2, rel=0.05)
        spread = np.ptp(reader.vertices(frame), axis=0)
        np.testing.assert_allclose(spread, np.ptp(vertices, axis=0), atol=1e-3)  # moved, not scaled


def test_reseen_moves_nothing_for_the_same_lens():
    points = np.random.default_rng(0).normal((0, 0, 3), 0.3, (20, 3))
    K = np.array([[500.0, 0, 300], [0, 510, 200], [0, 0, 1]])
    np.testing.assert_allclose(keep_pixels(points, K, K), 0, atol=1e-12)
    other = K + np.array([[0, 0, 50], [0, 0, 0], [0, 0, 0]])  # of a picture cut off on the left: all of it moves aside
    np.testing.assert_allclose(keep_pixels(points, K, other), [-0.3, 0, 0], atol=0.03)


def test_calibrated_cameras(subject, tmp_path, smpl, assumed):
    """EasyMocap's world is the calibration's; the subject's is that of its camera alone."""
    R = torch.from_numpy(Rotation.from_rotvec([0.1, -0.2, 0.05]).as_matrix()).float()
    theirs = dataclasses.replace(assumed, R=R, T=torch.tensor([0.1, 0.2, 0.3]))
    root = folders.write_bodies(tmp_path / "data")
    folders.write_cameras(root, {"left": assumed, "01": theirs}, np.array([0.1, 0, 0, 0, 0]))
    convert(subject, root, smpl, camera="01")
    for frame in range(folders.FRAMES):
        _, vertices = folders.joints_and_vertices(frame)
        expected = cv2.transform(vertices[None], np.column_stack([R.numpy(), theirs.T.numpy()]).astype(float))[0]
        np.testing.assert_allclose(Subject(subject).vertices(frame), expected, atol=1e-4)
    convert(subject, root, smpl, camera="left")
    np.testing.assert_allclose(Subject(subject).vertices(0), folders.joints_and_vertices(0)[1], atol=1e-4)


def test_easymocaps_own_vertices_are_taken(tmp_path, subject, smpl):
    root = folders.write_bodies(tmp_path / "data")
    rng = np.random.default_rng(1)
    noisy = [folders.joints_and_vertices(f)[1] + rng.normal(0, 0.003, (40, 3)) for f in range(folders.FRAMES)]
    for frame, vertices in enumerate(noisy):
        folders.write(root / f"output/sv1p/vertices/{frame:06d}.json", [{"id": 0, "vertices": vertices.tolist()}])
    convert(subject, root, smpl)
    np.testing.assert_allclose(Subject(subject).vertices(2), noisy[2], atol=1e-4)
    for frame, vertices in enumerate(noisy):
        content = [{"id": 0, "vertices": (vertices * 1.1).tolist()}]
        folders.write(root / f"output/sv1p/vertices/{frame:06d}.json", content)
    with pytest.raises(UserError, match=r"40 vertices of frame 0 differ from the 40 .* name the SMPL file"):
        convert(subject, root, smpl)


def test_other_frames_and_other_people(tmp_path, subject, smpl):
    root = tmp_path / "data"
    for frame in range(folders.FRAMES):
        stranger = {**folders.body(frame, id=3), "Th": [[9.0, 9, 9]]}
        people = [stranger, folders.body(frame, id=7)] if frame % 2 else [folders.body(frame, id=7)]
        folders.write(root / f"smpl/{10 + 2 * frame:06d}.json", people)
    convert(subject, root, smpl, start=10, step=2)
    np.testing.assert_allclose(Subject(subject).vertices(3), folders.joints_and_vertices(3)[1], atol=1e-4)
    with pytest.raises(UserError, match=r"no body of person 3 in 2 of 4 frames, first 000010.*\[3, 7\]"):
        convert(subject, root, smpl, start=10, step=2, person=3)


def test_needs_smpl(subject, root, tmp_path):
    with pytest.raises(UserError, match=r"add body=smpl"):
        convert(subject, root, lambda: types.SimpleNamespace(name="anny"))
    with pytest.raises(UserError, match=r"SMPL_NEUTRAL\.pkl does not exist"):
        convert(subject, root, lambda: SmplBody(tmp_path, "SMPL_NEUTRAL.pkl"))


def _set(name, value):
    return lambda people: [{**people[0], name: value}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda people: {"person": people}, "is not a file of EasyMocap"),
        (lambda people: [1, 2], "is not a file of EasyMocap"),
        (lambda people: [], r"no body of person 0 in 1 of 4 frames"),
        (_set("poses", [[0.0] * 87]), "poses has 87 numbers, not 15"),
        (_set("poses", [[0.0] * 14 + [float("nan")]]), "not finite"),
        (_set("poses", [[0.5] * 15]), "first three poses must be zero"),
        (_set("poses", "../../etc/passwd"), "lacks the numbers poses"),
        (_set("poses", None), "not finite"),
        (_set("Th", [[1, 2]]), r"lacks the numbers Th \(3\)"),
        (_set("Th", [["__import__('os').system('touch owned')", 2, 3]]), "lacks the numbers Th"),
        (_set("Rh", {"a": 1}), "lacks the numbers Rh"),
        (_set("shapes", [[1.0] * 500]), "500 shape parameters"),
        (_set("id", "0"), "whole number"),
        (_set("Th", [[0.0, 0, -3]]), "lies outside the picture"),
    ],
)
def test_one_sentence_for_a_bad_file(subject, root, smpl, change, message):
    path = root / "output/sv1p/smpl/000002.json"
    folders.write(path, change(json.loads(path.read_text())))
    with pytest.raises(UserError, match=message) as error:
        convert(subject, root, smpl)
    assert "\n" not in str(error.value) and not (subject / "smpl_params").exists()


def test_one_sentence_for_damage(subject, root, smpl):
    path = root / "output/sv1p/smpl/000001.json"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match=r"000001\.json is not a readable JSON file"):
        convert(subject, root, smpl)
    path.unlink()
    with pytest.raises(UserError, match=r"000001\.json does not exist"):
        convert(subject, root, smpl)
    (root / "output/other/smpl").mkdir(parents=True)
    with pytest.raises(UserError, match="both hold results"):
        convert(subject, root, smpl)
    with pytest.raises(UserError, match="holds no bodies"):
        convert(subject, root, smpl, results=str(root / "annots"))
    with pytest.raises(UserError, match="There is no folder"):
        convert(subject, root / "absent", smpl)


def show(subject: Path, camera: Camera, shift: float = 0.0) -> None:
    """Keypoints that lie on the body's joints, or so many pixels beside them."""
    keypoints = Keypoints.empty(list(range(folders.FRAMES)))
    for frame in range(folders.FRAMES):
        joints, _ = folders.joints_and_vertices(frame)
        pixels = camera.project(torch.from_numpy(joints).float()).numpy()[:, :2]
        keypoints.image_points[frame, : len(pixels)], keypoints.visibility[frame, : len(pixels)] = pixels, 1
    keypoints.image_points[..., 0] += shift
    keypoints.detected[:] = True
    keypoints.save(points_path(subject))


def test_the_person_of_the_keypoints_under_two_ids(tmp_path, subject, smpl, assumed):
    """A stranger is in every frame; the person is 7 and then, found again, 9."""
    root = tmp_path / "data"
    for frame in range(folders.FRAMES):
        stranger = {**folders.body(frame, id=3), "Th": [[1.5, 0, 3.2]]}
        folders.write(root / f"smpl/{frame:06d}.json", [stranger, folders.body(frame, id=7 if frame < 3 else 9)])
    show(subject, assumed)
    stage = EasyMocapFit(EasyMocapFolder(str(root)), smpl, pictures=1)
    with Progress(disable=True) as progress:
        summary = run_stage(stage, subject, progress)
    assert "its ids 7 and 9 are one person's" in summary or "its ids 9 and 7 are one person's" in summary
    for frame in range(folders.FRAMES):
        _, vertices = folders.joints_and_vertices(frame)
        np.testing.assert_allclose(Subject(subject).vertices(frame), vertices, atol=1e-4)


def test_keypoints_of_somebody_whom_easymocap_did_not_fit(tmp_path, subject, smpl, assumed):
    root = folders.write_bodies(tmp_path / "data")
    show(subject, assumed, shift=70)
    with pytest.raises(UserError, match=r"nobody in .*smpl is where the keypoints show the person .*body_fit.person="):
        convert(subject, root, smpl)
