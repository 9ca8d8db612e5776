"""A video's subject with `body=smpl`: fitted, written, and read the way that instant-nvr reads it."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hashhuman.body.smpl.body import SmplBody
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import load_npy, load_npz, write_image
from preprocess.body_fit.geometry import project
from preprocess.body_fit.init import from_landmarks
from preprocess.body_fit.landmarks import LANDMARKS, OFFSETS, WORLD_BIAS
from preprocess.body_fit.native import NativeFit
from preprocess.body_fit.sequence import BodySequence, Posed, spread_vertices
from preprocess.body_fit.source import sam3d_body
from preprocess.keypoints.points import Keypoints, points_path, segmentation_folder
from preprocess.raster import rasterise
from preprocess.stage import is_finished, run_stages
from tests import smpl_files

pytest.importorskip("igl")
from preprocess.blend_weights import BlendWeightVolumes

trimesh = pytest.importorskip("trimesh")

FRAMES, SIZE = 4, 200
PRIORS = {"limits": 0.1, "rest": 0.003, "shape": 0.003, "smooth": 0.003, "smooth_pose": 0.003}
RATES = {"root": 0.02, "pose": 0.02, "pelvis": 0.01, "shape": 0.05}
STAGES = [{"steps": 40, "weights": {"points": 1, "world": 1, **PRIORS}, "free": RATES}]


@pytest.fixture(scope="module")
def shown(anny_tree: Path) -> tuple[Camera, Posed, SmplBody]:
    """A body of the user's model that lifts an arm and a leg while it turns, 3 m before the camera."""
    smpl = SmplBody(anny_tree, "SMPL_NEUTRAL.pkl")
    K = torch.tensor([[1.2 * SIZE, 0, SIZE / 2 - 0.5], [0, 1.2 * SIZE, SIZE / 2 - 0.5], [0, 0, 1]])
    surface = spread_vertices(smpl.template(smpl.shape_mean).vertices, 100)
    sequence = BodySequence(smpl, LANDMARKS, OFFSETS, surface, FRAMES)
    t = torch.linspace(0, 1, FRAMES)
    with torch.no_grad():
        sequence.root.copy_(torch.stack([t.cos(), 0 * t, t.sin(), 0 * t, 0 * t - 1, 0 * t], -1))
        for name, axis, swing in (("left_hip", 0, -0.8), ("left_knee", 0, 0.9), ("right_shoulder", 2, -0.8)):
            sequence.pose[:, smpl.joint_names.index(name), axis] = swing * t
        return Camera(K, torch.eye(3), torch.zeros(3), SIZE, SIZE), sequence(), smpl


@pytest.fixture(scope="module")
def subject(shown: tuple[Camera, Posed, SmplBody], anny_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after body_fit and blend_weights."""
    camera, truth, smpl = shown
    folder = tmp_path_factory.mktemp("subject")
    template, writer = smpl.template(smpl.shape_mean), SubjectWriter(folder)
    blended = torch.einsum("vj,fjab->fvab", template.lbs_weights, truth.bone_transforms)
    vertices = torch.einsum("fvab,vb->fva", blended[..., :3, :3], template.vertices) + blended[..., :3, 3]
    rows = []
    for frame, v in enumerate(vertices):
        seen = rasterise(camera.project(v).numpy(), template.faces.numpy(), SIZE, SIZE) >= 0
        mask = np.where(seen, 255, 0).astype(np.uint8)
        write_image(segmentation_folder(folder) / f"{frame:06d}.png", mask)
        rows.append([writer.write_image(0, frame, np.repeat(mask[..., None], 3, 2))])
    writer.write_annots([camera], [np.zeros(5)], rows)
    ones = np.ones(truth.landmarks.shape[:2], np.float32)
    ahead = truth.bone_transforms[:, 0, None, :3, 2] * WORLD_BIAS[:, 1:]
    world = truth.landmarks - ahead - WORLD_BIAS[:, :1] * torch.tensor([0.0, 0, 1])
    dataclasses.replace(
        Keypoints.empty(list(range(FRAMES))),
        detected=np.ones(FRAMES, bool),
        image_points=project(truth.landmarks, camera.K).numpy(),
        world_points=world.numpy(),
        visibility=ones,
        presence=ones,
    ).save(points_path(folder))
    run_stages([fit_stage(anny_tree), BlendWeightVolumes(per_frame=True)], folder)
    return folder


def fit_stage(anny_tree: Path) -> NativeFit:
    made = functools.partial(SmplBody, root=str(anny_tree), model="SMPL_NEUTRAL.pkl")
    return NativeFit(made, STAGES, surface=80, pictures=1)


def test_the_motion_is_recovered(subject: Path, shown):
    report, truth = load_npz(subject / "body_fit.npz"), shown[1].joints.numpy()
    error = (report["joints"] - report["joints"][:, :1]) - (truth - truth[:, :1])
    assert np.linalg.norm(error, axis=-1).mean() < 0.03  # metres
    assert Subject(subject).meta["body"] == "smpl"


def test_another_model_undoes_the_stage(subject: Path, anny_tree: Path, tmp_path: Path):
    assert is_finished(fit_stage(anny_tree), subject)
    moved = tmp_path / "smpl"
    moved.mkdir()
    for path in anny_tree.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    assert is_finished(fit_stage(moved), subject)  # the same content elsewhere
    (moved / "smpl_uv.obj").write_text((moved / "smpl_uv.obj").read_text() + "# changed\n")
    assert not is_finished(fit_stage(moved), subject)


def test_vertices_bend_and_the_template_does_not(subject: Path, anny_model):
    """smpl_vertices/ has the pose blend shapes of smpl_params/; smpl_lbs/ is what plain skinning takes."""
    frame = FRAMES - 1
    params = load_npy(subject / f"smpl_params/{frame}.npy")
    betas, poses = params["shapes"][0], params["poses"].reshape(-1, 3)
    joints, posed = smpl_files.posed_by_hand(anny_model, betas, poses)
    turn = Rotation.from_rotvec(params["Rh"][0]).as_matrix()
    vertices = np.load(subject / f"smpl_vertices/{frame}.npy")
    np.testing.assert_allclose(vertices, posed @ turn.T + params["Th"], atol=1e-4)
    written = load_npz(subject / "body_fit.npz")["joints"][frame]
    np.testing.assert_allclose(joints @ turn.T + params["Th"], written, atol=1e-3)
    plain = smpl_files.posed_by_hand(anny_model, betas, poses, bend=False)[1]
    skinned = Subject(subject).template().pose_vertices(torch.from_numpy(poses))
    np.testing.assert_allclose(skinned, plain, atol=1e-4)
    assert abs(plain - posed).max() > 5e-3
    big = np.zeros((24, 3))
    big[1, 2], big[2, 2] = np.deg2rad(30), -np.deg2rad(30)
    spread = smpl_files.posed_by_hand(anny_model, betas, big, bend=False)[1]
    np.testing.assert_allclose(np.load(subject / "smpl_lbs/bigpose_vertices.npy"), spread, atol=1e-4)


def test_volumes_say_what_the_nearest_surface_says(subject: Path, anny_model):
    rng = np.random.default_rng(0)
    faces = anny_model["f"].astype(int)
    bend = Subject(subject).posed_vertices(2)
    for name, vertices in (("bigpose_bw", np.load(subject / "smpl_lbs/bigpose_vertices.npy")), ("bweights/2", bend)):
        volume = np.load(subject / f"smpl_lbs/{name}.npy")
        box = zip(vertices.min(0) - 0.05, vertices.max(0) + 0.05)
        axes = [np.arange(low, high + 0.025, 0.025) for low, high in box]
        assert volume.shape == (*map(len, axes), 25) and volume.dtype == np.float32
        for _ in range(6):
            node = tuple(rng.integers(0, n) for n in volume.shape[:3])
            point = np.array([axis[i] for axis, i in zip(axes, node)])
            corners = vertices[faces]
            foot = trimesh.triangles.closest_point(corners, np.repeat(point[None], len(faces), 0))
            away = np.linalg.norm(foot - point, axis=1)
            assert volume[node][-1] == pytest.approx(away.min(), abs=1e-4)
            ties = np.flatnonzero(away < away.min() + 1e-5)  # an edge belongs to two faces
            shares = [trimesh.triangles.points_to_barycentric(corners[[f]], foot[[f]])[0] for f in ties]
            weights = [share @ anny_model["weights"][faces[f]] for f, share in zip(ties, shares)]
            assert min(abs(volume[node][:-1] - w).max() for w in weights) < 2e-3


def test_instant_nvr_finds_everything(subject: Path):
    """Its own steps, on the files that it names, which it unpickles; `cfg.smpl_meta` may point to smpl_lbs/."""
    lbs = subject / "smpl_lbs"
    joints, parents = np.load(lbs / "joints.npy"), np.load(lbs / "parents.npy")
    faces, weights = np.load(lbs / "faces.npy"), np.load(lbs / "weights.npy")
    count = len(joints)
    assert count == 24 and parents.shape == (24,) and weights.shape == (faces.max() + 1, 24)
    assert faces.dtype == parents.dtype == np.int64 and faces.shape[1] == 3
    annots = np.load(subject / "annots.npy", allow_pickle=True).item()
    assert {"K", "D", "R", "T"} <= annots["cams"].keys()
    for frame, row in enumerate(annots["ims"]):
        assert (subject / row["ims"][0]).exists()
        params = np.load(subject / f"smpl_params/{frame}.npy", allow_pickle=True).item()
        assert params["poses"].shape == (1, 72) and params["Rh"].shape == params["Th"].shape == (1, 3)
        assert not params["poses"][0, :3].any()
        world = np.load(subject / f"smpl_vertices/{frame}.npy")
        posed = (world - params["Th"]) @ Rotation.from_rotvec(params["Rh"][0]).as_matrix()
        volume = np.load(lbs / f"bweights/{frame}.npy")
        nodes = np.ceil((np.ptp(posed, axis=0) + 0.1) / 0.025) + 1
        assert volume.shape[3] == count + 1 and (abs(volume.shape[:3] - nodes) <= 1).all()
    big = load_npy(lbs / "bigpose_vertices.npy")
    assert big.shape == world.shape
    assert load_npy(lbs / "bigpose_bw.npy").shape[:3] == load_npy(subject / "bigpose_uv.npy").shape[:3]
    assert load_npy(lbs / "tvertices.npy").shape == big.shape and load_npy(lbs / "tbw.npy").shape[-1] == count + 1
    uv = load_npy(subject / "bigpose_uv.npy")
    assert uv.min() >= 0 and uv.max() <= 1 and np.ptp(uv[..., 0]) > 0.5


def test_points_of_another_tool_fit_the_users_model_too(shown: tuple[Camera, Posed, SmplBody]):
    """Within 5 mm on average, though its landmarks may be fewer."""
    _, truth, smpl = shown
    names = tuple(sam3d_body.LANDMARKS)
    known = [i for i, name in enumerate(names) if from_landmarks._has(smpl, name)]
    basis = smpl.basis(smpl.shape_mean)
    moments = torch.einsum("k,kljc->ljc", basis, smpl.landmark_basis(tuple(names[i] for i in known)))
    points = torch.full((FRAMES, len(names), 3), 9.0)
    points[:, known] = torch.einsum("fjab,ljb->fla", truth.bone_transforms[:, :, :3], moments)
    surface = spread_vertices(smpl.template(smpl.shape_mean).vertices, 100)
    sequence = BodySequence(smpl, LANDMARKS, OFFSETS, surface, FRAMES)
    from_landmarks.fit_landmarks(sequence, names, points)
    assert (sequence().joints - truth.joints).norm(dim=-1).mean() < 0.005
