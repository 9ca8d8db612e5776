"""Folders written here load with instant-nvr's conventions, and folders in its layout load here."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hashhuman.data.splits import split
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.io import files
from tests import toy


class NvrReader:
    """Reads a subject in the conventions of instant-nvr's dataset; of our code it uses only the unpickler."""

    def __init__(self, root: Path, smpl_meta: Path) -> None:
        self.root, self.lbs = root, root / "smpl_lbs"
        annots = files.load_npy(root / "annots.npy")
        self.cams, self.ims = annots["cams"], [frame["ims"] for frame in annots["ims"]]
        self.joints = files.load_npy(self.lbs / "joints.npy").astype(np.float32)
        self.parents = files.load_npy(self.lbs / "parents.npy")
        self.faces = files.load_npy(smpl_meta / "faces.npy").astype(np.int64)
        self.weights = files.load_npy(smpl_meta / "weights.npy").astype(np.float32)

    def camera(self, index: int) -> tuple[np.ndarray, ...]:
        K, D, R, T = (np.array(self.cams[name][index]) for name in "KDRT")
        assert (K.shape, D.shape, R.shape, T.shape) == ((3, 3), (5, 1), (3, 3), (3, 1))
        return K, D, R, T / 1000.0

    def image(self, frame: int, camera: int) -> np.ndarray:
        return cv2.imread(str(self.root / self.ims[frame][camera]))[..., ::-1]

    def labels(self, frame: int, camera: int) -> np.ndarray:
        path = str(self.root / self.ims[frame][camera].replace("images", "schp"))[:-4] + ".png"
        colours = cv2.imread(path)[..., ::-1]
        labels = np.zeros(colours.shape[:2], np.uint8)
        for label in range(20):  # the VOC palette, bit by bit
            colour, rest = np.zeros(3, np.uint8), label
            for shift in range(7, -1, -1):
                for channel in range(3):
                    colour[channel] |= ((rest >> channel) & 1) << shift
                rest >>= 3
            labels[(colours == colour).all(-1)] = label
        return labels

    def body(self, frame: int):
        world = files.load_npy(self.root / f"smpl_vertices/{frame}.npy").astype(np.float32)
        params = files.load_npy(self.root / f"smpl_params/{frame}.npy")
        Rh, Th = params["Rh"].astype(np.float32), params["Th"].astype(np.float32)
        assert Rh.shape == Th.shape == (1, 3)
        posed = (world - Th) @ cv2.Rodrigues(Rh[0])[0].astype(np.float32)
        return world, posed, self.transforms(params["poses"].reshape(-1, 3))

    def transforms(self, poses: np.ndarray) -> np.ndarray:
        chain = []
        for j, rotation in enumerate(poses):
            local = np.eye(4)
            local[:3, :3] = cv2.Rodrigues(rotation.astype(np.float64))[0]
            local[:3, 3] = self.joints[j] - (self.joints[self.parents[j]] if j else 0)
            chain.append(chain[self.parents[j]] @ local if j else local)
        result = np.stack(chain)
        result[:, :3, 3] -= np.einsum("jab,jb->ja", result[:, :3, :3], self.joints)
        return result


@pytest.fixture
def written(toy_copy: Path) -> Path:
    """A folder with everything that instant-nvr reads, volumes of every frame included."""
    subject, writer = Subject(toy_copy), SubjectWriter(toy_copy)
    writer.write_blend_weight_volume(subject.blend_weight_volume()[0])
    writer.write_uv_volume(subject.uv_volume()[0])
    for frame in subject.frames:
        writer.write_blend_weight_volume(subject.blend_weight_volume(frame)[0], frame)
    return toy_copy


def test_instant_nvr_reads_what_is_written_here(written: Path):
    reader = NvrReader(written, written / "smpl_lbs")
    rest = files.load_npy(written / "smpl_lbs/tvertices.npy")
    for frame in range(2):
        world, posed, A = reader.body(frame)
        blended = np.einsum("vj,jab->vab", reader.weights, A)
        skinned = np.einsum("vab,vb->va", blended[:, :3, :3], rest) + blended[:, :3, 3]
        np.testing.assert_allclose(posed, skinned, atol=1e-5)
        for camera in range(2):
            K, D, R, T = reader.camera(camera)
            pixels = cv2.projectPoints(world.astype(np.float64), R, T, K, D)[0][:, 0]
            labels, image = reader.labels(frame, camera), reader.image(frame, camera)
            ys, xs = np.nonzero(labels)
            assert np.abs(pixels.min(0) - (xs.min(), ys.min())).max() < 1.5
            assert np.abs(pixels.max(0) - (xs.max(), ys.max())).max() < 1.5
            assert ((image.max(-1) > 0) == (labels > 0)).all()
            # head and arms are where the vertices of the head and the arms are
            for joint, label in ((1, 13), (2, 14), (3, 15)):
                if (labels == label).sum() > 8:
                    mine = pixels[8 * joint : 8 * joint + 8]
                    ys, xs = np.nonzero(labels == label)
                    assert (mine.min(0) - 1 <= (xs.min(), ys.min())).all()
                    assert (mine.max(0) + 1 >= (xs.max(), ys.max())).all()


def test_instant_nvr_finds_its_volumes(written: Path):
    reader = NvrReader(written, written / "smpl_lbs")
    big = files.load_npy(written / "smpl_lbs/bigpose_vertices.npy").astype(np.float32)
    poses = np.zeros(15)
    poses[3 * 4 + 2] = np.deg2rad(30)  # the toy's left hip; in SMPL the numbers 5 and 8
    big_A = np.einsum("vj,jab->vab", reader.weights, reader.transforms(poses.reshape(5, 3)))
    rest = files.load_npy(written / "smpl_lbs/tvertices.npy")
    np.testing.assert_allclose(np.einsum("vab,vb->va", big_A[:, :3, :3], rest) + big_A[:, :3, 3], big, atol=1e-5)
    bodies = [(big, "smpl_lbs/bigpose_bw.npy")]
    bodies += [(reader.body(frame)[1], f"smpl_lbs/bweights/{frame}.npy") for frame in range(2)]
    for vertices, name in bodies:
        volume = files.load_npy(written / name)
        low, high = vertices.min(0) - 0.05, vertices.max(0) + 0.05
        grid = [np.arange(low[k], high[k] + 0.025, 0.025) for k in range(3)]
        assert (np.abs(np.subtract(volume.shape[:3], [len(axis) for axis in grid])) <= 1).all()
        assert volume.shape[3] == 6
        assert volume.dtype == np.float32
        node = np.rint((vertices - low) / 0.025).astype(int)
        sampled = volume[tuple(node.T)]
        assert sampled[:, -1].max() <= 0.025 * 3**0.5 / 2 + 1e-5  # distance to the body
        np.testing.assert_allclose(sampled[:, :-1].sum(1), 1, atol=1e-5)
        far = volume[0, 0, 0, -1]
        assert np.isclose(far, np.linalg.norm(vertices - low, axis=1).min(), atol=1e-5)
    canonical_nodes = files.load_npy(written / bodies[0][1]).shape[:3]
    assert files.load_npy(written / "bigpose_uv.npy").shape == (*canonical_nodes, 2)


@pytest.fixture
def ground_truth_scene(tmp_path: Path) -> Path:
    """The toy in the layout of a ground-truth scene: camera 0 sees every frame, others some; no derived files."""
    root = toy.write_subject(tmp_path / "scene", n_frames=6, n_cameras=3, derived=False)
    vertices = {frame: toy.world_vertices(toy.template(), frame).numpy() for frame in range(6)}
    for frame in range(6):
        params = files.load_npy(root / f"smpl_params/{frame}.npy")
        params = {name: np.asarray(value, np.float64) for name, value in params.items()}
        files.save_npy(root / f"smpl_params/{frame}.npy", params)
        files.save_npy(root / f"smpl_vertices/{frame}.npy", vertices[frame])
        for camera in (1, 2):
            if frame % 2:  # still listed in annots.npy
                (root / f"images/{camera:02d}/{frame:06d}.png").unlink()
                (root / f"mask/{camera:02d}/{frame:06d}.png").unlink()
    for path in (root / "schp").rglob("*.png"):
        path.unlink()
    (root / "subject.json").unlink()
    (root / "scene.json").write_text(json.dumps({"seed": 1, "frames": 4, "novel": 2, "test_every": 2}))
    np.savez(root / "truth.npz", joints=np.zeros((6, 5, 3)), names=list(toy.JOINT_NAMES))
    return root


def test_a_ground_truth_scene_loads_unchanged(ground_truth_scene: Path):
    before = sorted(ground_truth_scene.rglob("*"))
    subject = Subject(ground_truth_scene)
    assert subject.train_frames == 4
    splits = split(subject)
    found = {name: [(p.camera, p.frame) for p in pictures] for name, pictures in splits.items()}
    assert found == {
        "train": [(0, 0), (0, 1), (0, 2), (0, 3)],
        "heldout": [],
        "novel_view": [(1, 0), (2, 0), (1, 2), (2, 2)],
        "novel_pose": [(1, 4), (2, 4)],
    }
    template = subject.template()
    assert template.joint_names == tuple(f"joint_{i}" for i in range(5))
    pose = subject.pose(4)
    posed = torch.from_numpy(subject.posed_vertices(4))
    torch.testing.assert_close(posed, template.pose_vertices(pose.body_pose), atol=1e-5, rtol=0)
    assert subject.big_pose_vertices().shape == (40, 3)
    assert subject.blend_weight_volume()[0].shape[-1] == 6
    for picture in splits["novel_pose"]:
        assert picture.parts is None
        assert subject.image(picture).shape == (48, 48, 3)
        assert subject.mask(picture).max() == 1
    assert sorted(ground_truth_scene.rglob("*")) == before
