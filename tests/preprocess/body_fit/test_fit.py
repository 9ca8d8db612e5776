"""The fit recovers a motion that it is shown, and the stage writes what it found."""

import contextlib
import dataclasses
import functools
import shutil

import cv2
import numpy as np
import pytest
import torch
from rich.progress import Progress
from scipy.spatial.transform import Rotation
from torch.optim import Adam

from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import load_npz, save_npy, write_image
from preprocess.body_fit.evidence.evidence import Evidence
from preprocess.body_fit.evidence.flow import observe_flow
from preprocess.body_fit.evidence.observe import observe
from preprocess.body_fit.evidence.silhouette import observe_silhouettes
from preprocess.body_fit.evidence.texture import CELLS, Texture
from preprocess.body_fit.evidence.turns import Turns
from preprocess.body_fit.folder import FolderFit
from preprocess.body_fit.geometry import project
from preprocess.body_fit.landmarks import WORLD_BIAS
from preprocess.body_fit.native import NativeFit, fit
from preprocess.body_fit.optimise import snapshots
from preprocess.body_fit.optimise.terms import Terms
from preprocess.body_fit.sequence import Posed
from preprocess.keypoints.points import Keypoints, points_path, segmentation_folder
from preprocess.raster import rasterise
from preprocess.stage import run_stages
from preprocess.unfinished import Unfinished
from tests.preprocess.body_fit.conftest import FRAMES
from tests.preprocess.strikes import Stopped, Strike

LOST = [5, 6]  # frames without a detection
PRIORS = {"limits": 0.1, "rest": 0.003, "shape": 0.003, "smooth": 0.003, "smooth_pose": 0.003}
RATES = {"root": 0.02, "pose": 0.02, "pelvis": 0.01, "shape": 0.05}
STAGES = [
    {"steps": 60, "weights": {"points": 1, "world": 1, **PRIORS}, "free": RATES},
    {
        "steps": 25,
        "weights": {"points": 1, "world": 1, "inside": 1, "contour": 1, "clothes": 0.02, **PRIORS},
        "free": {**RATES, "offset": 0.001},
    },
]


@pytest.fixture(scope="module")
def shown(body, moving) -> tuple[Camera, Keypoints, list[np.ndarray]]:
    """Exact points and masks of the moving body, two frames of them lost."""
    K, truth, sequence = moving
    size = round(float(K[0, 2]) * 2 + 1)
    camera = Camera(K, torch.eye(3), torch.zeros(3), size, size)
    # what the network would say: it errs in depth by its bias
    ahead = truth.bone_transforms[:, 0, None, :3, 2] * WORLD_BIAS[:, 1:]
    world = truth.landmarks - ahead - WORLD_BIAS[:, :1] * torch.tensor([0.0, 0, 1])
    frames = len(truth.joints)
    keypoints = dataclasses.replace(
        Keypoints.empty(list(range(frames))),
        detected=~np.isin(np.arange(frames), LOST),
        image_points=project(truth.landmarks, K).numpy(),
        world_points=world.numpy(),
        visibility=np.ones(truth.landmarks.shape[:2], np.float32),
        presence=np.ones(truth.landmarks.shape[:2], np.float32),
    )
    keypoints.image_points[LOST] = 0
    template = body.template(sequence.shape_vector().detach())
    posed = torch.einsum("vj,fjab->fvab", template.lbs_weights, truth.bone_transforms)
    vertices = torch.einsum("fvab,vb->fva", posed[..., :3, :3], template.vertices) + posed[..., :3, 3]
    seen = [rasterise(camera.project(v).numpy(), template.faces.numpy(), size, size) >= 0 for v in vertices]
    masks = [np.where(mask & (i not in LOST), 255, 0).astype(np.uint8) for i, mask in enumerate(seen)]
    return camera, keypoints, masks


def seen_in(camera: Camera, keypoints: Keypoints, masks: list[np.ndarray]) -> Evidence:
    """Evidence without texture."""
    observations = observe(keypoints, camera.K.numpy())
    image, world = torch.tensor(observations.image).float(), torch.tensor(observations.world).float()
    visibility = torch.tensor(observations.visibility).float()
    flow = observe_flow(masks, masks)
    return Evidence(
        camera.K, image, visibility.square(), world, visibility, observe_silhouettes(masks), flow,
        Texture.untrusted(len(masks)), Turns.untrusted(len(masks)),
    )  # fmt: skip


def test_fit_recovers_a_known_motion(body, moving, shown):
    camera, keypoints, masks = shown
    truth = moving[1]
    ticks = []
    _, posed = fit(body, seen_in(camera, keypoints, masks), STAGES, 200, lambda: ticks.append(1))
    assert len(ticks) == 85
    error = (posed.joints - posed.joints[:, :1]) - (truth.joints - truth.joints[:, :1])
    error = error.norm(dim=-1).mean(1)
    kept = [i for i in range(len(error)) if i not in LOST]
    assert error[kept].mean() < 0.025  # metres
    assert error[LOST].max() < 0.06
    assert (posed.joints[:, 0] - truth.joints[:, 0]).norm(dim=-1).max() < 0.12


def test_terms_do_not_see_how_large_the_body_is(moving, shown):
    """Twice the body twice as far away looks the same: only the shape's prior may tell."""
    _, truth, sequence = moving
    seen = seen_in(*shown)
    ones = torch.ones_like(seen.image_weight)
    generator = torch.Generator().manual_seed(0)
    contrast = torch.rand(FRAMES, 4, CELLS, CELLS, generator=generator)
    texture = Texture(contrast, seen.silhouettes.origin, seen.silhouettes.step)
    evidence = dataclasses.replace(seen, image=seen.image + 2, image_weight=ones, world_weight=ones, texture=texture)
    terms = Terms(sequence, evidence)
    transforms = truth.bone_transforms.clone()
    transforms[..., :3, 3] *= 2
    larger = dataclasses.replace(
        truth, bone_transforms=transforms, joints=2 * truth.joints, landmarks=2 * truth.landmarks,
        vertices=2 * truth.vertices, size=2 * truth.size,
    )  # fmt: skip
    terms.match(truth, {"contour": 1.0, "flow": 1.0})
    for name in ("points", "world", "inside", "contour", "flow", "texture", "smooth"):
        value = getattr(terms, name)(truth)
        assert value > 0 and torch.allclose(getattr(terms, name)(larger), value, rtol=1e-4), name


def test_unknown_settings_terms_and_parameters_are_refused(body, shown):
    evidence = seen_in(*shown)
    for stage, word in (
        ({"steps": 1, "weights": {"pionts": 1}, "free": {}}, "pionts"),
        ({"steps": 1, "weights": {"points": 1}, "free": {"focus": 0.1}}, "focus"),
        ({"steps": 1, "weights": {"points": 1}, "free": {}, "blurr": 4}, "blurr"),
    ):
        with pytest.raises(UserError, match=word):
            fit(body, evidence, [stage], 10, lambda: None)


@pytest.mark.parametrize(("at", "again"), [(17, 6), (33, 1), (46, 0)])
def test_a_fit_that_is_stopped_goes_on_to_the_same_result(body, shown, monkeypatch, tmp_path, at, again):
    """Snapshots are taken where correspondences are searched anyway, every ten steps, and after each stage."""
    monkeypatch.setattr(snapshots, "EVERY", 0)
    stages = [{**stage, "steps": steps, "blur": 2} for stage, steps in zip(STAGES, (21, 24))]
    evidence, steps = seen_in(*shown), []
    whole, posed = fit(body, evidence, stages, 60, lambda: None)
    taken = Strike(monkeypatch, Adam, "step", at)
    for _ in range(2):
        steps.clear()
        keeper = Unfinished(tmp_path, "body_fit", "key")
        with contextlib.suppress(Stopped):
            resumed, same = fit(body, evidence, stages, 60, lambda: steps.append(1), keeper=keeper)
    assert len(steps) == 45 and taken.calls == 45 + again + (at < 46)
    for name, expected in whole.named_parameters():
        assert torch.equal(expected, resumed.get_parameter(name)), name
    for field in dataclasses.fields(Posed):
        assert torch.equal(getattr(posed, field.name), getattr(same, field.name)), field.name


@pytest.fixture(scope="module")
def subject(body, shown, tmp_path_factory):
    """A subject folder after the stages frames, keypoints and (short) body_fit; its camera is moved in the world."""
    camera, keypoints, masks = shown
    rotation = torch.from_numpy(cv2.Rodrigues(np.array([0.3, -0.2, 0.1]))[0]).float()
    camera = dataclasses.replace(camera, R=rotation, T=torch.tensor([0.5, -0.2, 1.0]))
    folder = tmp_path_factory.mktemp("subject")
    writer = SubjectWriter(folder)
    images = [[writer.write_image(0, i, np.repeat(m[..., None], 3, 2))] for i, m in enumerate(masks)]
    writer.write_annots([camera], [np.zeros(5)], images)
    keypoints.save(points_path(folder))
    for i, mask in enumerate(masks):
        write_image(segmentation_folder(folder) / f"{i:06d}.png", mask)
    stages = [{"steps": 12, "weights": {"points": 1, "world": 1, **PRIORS}, "free": RATES}]
    stage = NativeFit(functools.partial(lambda: body), stages, surface=50, pictures=2)
    with Progress(disable=True) as progress:
        summary = stage.run(folder, progress)
    assert "px" in summary and "IoU" in summary and "2 filled in" in summary
    return folder, camera


def test_stage_reports_each_frame(subject):
    report = load_npz(subject[0] / "body_fit.npz")
    assert np.flatnonzero(report["interpolated"]).tolist() == LOST
    assert not report["flipped"].any()
    assert np.isnan(report["reprojection_error"][LOST]).all() and np.isnan(report["silhouette_iou"][LOST]).all()
    kept = ~report["interpolated"]
    assert (report["reprojection_error"][kept] < 8).all()
    assert (report["silhouette_iou"][kept] > 0.5).all()
    assert len(list((subject[0] / "pictures" / "body_fit").glob("*.jpg"))) == 2


def test_written_body_is_where_the_report_says(subject):
    folder, camera = subject
    report, written = load_npz(folder / "body_fit.npz"), Subject(folder)
    template = written.template()
    assert tuple(report["joint_names"]) == template.joint_names
    for frame in (0, 9):
        pose = written.pose(frame)
        assert not pose.body_pose[0].any()
        transforms = template.bone_transforms(pose.body_pose)
        joints = transforms[:, :3, :3] @ template.joints[..., None] + transforms[:, :3, 3:]
        world = pose.world_from_posed()
        joints = (joints[..., 0] @ world[:3, :3].T + world[:3, 3]).numpy()
        assert np.allclose(joints, report["joints"][frame], atol=2e-4)
        # and the camera of annots.npy sees it within its picture
        pixels = camera.project(torch.from_numpy(written.vertices(frame))).numpy()
        assert (pixels[:, 2] > 1).all() and (pixels[:, :2] > 0).mean() > 0.95


def test_folder_fit_takes_what_native_wrote(subject, tmp_path):
    source = subject[0]
    target = tmp_path / "other"
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("smpl_*", "body_fit*", "stages"))
    shutil.rmtree(source / "smpl_vertices")  # derived where they are missing
    run_stages([FolderFit(str(source), pictures=1)], target)
    before, after = load_npz(source / "body_fit.npz"), load_npz(target / "body_fit.npz")
    assert np.allclose(before["joints"], after["joints"], atol=2e-4)
    assert np.allclose(before["silhouette_iou"], after["silhouette_iou"], atol=0.01, equal_nan=True)
    assert len(list((target / "smpl_vertices").glob("*.npy"))) == len(before["frames"])


def test_folder_fit_fills_in_a_missing_pose(subject, tmp_path):
    """In a folder that has neural body's names."""
    source, target = tmp_path / "source", tmp_path / "other"
    shutil.copytree(subject[0], source, ignore=shutil.ignore_patterns("images", "keypoints", "smpl_vertices"))
    for old, new in (("smpl_params", "new_params"), ("smpl_lbs", "lbs")):
        (source / old).rename(source / new)
    (source / "new_params/5.npy").unlink()
    shutil.copytree(subject[0], target, ignore=shutil.ignore_patterns("smpl_*", "body_fit*", "stages"))
    run_stages([FolderFit(str(source), pictures=1)], target)
    written, before = Subject(target), Subject(subject[0])
    assert load_npz(target / "body_fit.npz")["interpolated"].nonzero()[0].tolist() == [5]
    poses = {frame: written.pose(frame) for frame in (4, 5, 6)}
    assert torch.allclose(poses[5].transl, (poses[4].transl + poses[6].transl) / 2, atol=1e-5)
    turns = {f: Rotation.from_rotvec(np.vstack([p.orient, p.body_pose])) for f, p in poses.items()}
    first, second = turns[4].inv() * turns[5], turns[5].inv() * turns[6]
    assert np.allclose(first.as_matrix(), second.as_matrix(), atol=1e-4) and first.magnitude().max() > 0.05
    assert np.allclose(written.vertices(4), before.vertices(4), atol=1e-4)


def test_folder_fit_refuses_what_does_not_fit(subject, tmp_path):
    source, _ = subject
    with pytest.raises(UserError, match="smpl_params"):
        FolderFit(str(tmp_path))
    wrong = tmp_path / "wrong"
    shutil.copytree(source, wrong, ignore=shutil.ignore_patterns("smpl_vertices"))
    for frame in (3, 6):
        (wrong / "smpl_params" / f"{frame}.npy").unlink()
    target = tmp_path / "target"
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("smpl_*", "body_fit*", "stages"))
    with pytest.raises(UserError, match=r"lacks 3\.npy"), Progress(disable=True) as progress:
        FolderFit(str(wrong)).run(target, progress)

    for frame in (3, 6):
        shutil.copy(source / "smpl_params" / "2.npy", wrong / "smpl_params" / f"{frame}.npy")
    away = {"poses": np.zeros((1, 72)), "Rh": np.zeros((1, 3)), "Th": np.array([[90.0, 0, 0]])}
    save_npy(wrong / "smpl_params" / "0.npy", away)
    with pytest.raises(UserError, match="outside the picture"), Progress(disable=True) as progress:
        FolderFit(str(wrong)).run(target, progress)
