"""Recordings of the mannequin in the layouts of published data sets, built to their documented keys.

The body is posed the slow way (`smpl_files.posed_by_hand`), so that what the readers yield can be compared with it.
"""

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from hashhuman.data.synthetic.mannequin import mannequin, mesh
from hashhuman.io.files import write_image
from preprocess.raster import rasterise
from tests import smpl_files
from tests.preprocess import clips

SIZE = 160  # pixels
N_BETAS = 4
K = np.array([[215.0, 0, 77.3], [0, 218.0, 82.1], [0, 0, 1]])
D = np.array([-0.12, 0.05, 0.001, -0.002, 0.0])
FACES = mesh(mannequin()).faces.numpy()


def model() -> dict[str, np.ndarray]:
    """The mannequin as a model of SMPL's format."""
    return smpl_files.model(mesh(mannequin()), N_BETAS)


@dataclasses.dataclass(frozen=True)
class Person:
    """F pictures of a person; `vertices` are SMPL's, in the axes in which pose and transl are."""

    pose: np.ndarray  # F x 24 x 3
    transl: np.ndarray  # F x 3
    shapes: np.ndarray  # F x S
    vertices: np.ndarray  # F x V x 3


def person(count: int, arrays: dict[str, np.ndarray], world: Rotation | None = None, seed: int = 0) -> Person:
    """Somebody who turns before the camera, upside down in its axes, as SMPL is.

    Args:
        count: F.
        arrays: the model.
        world: turns camera axes into those of the world in which pose and transl are stated.
        seed: of the pose.
    """
    rng = np.random.default_rng(seed)
    pose = np.cumsum(rng.normal(0, 0.02, (count, 24, 3)), 0) + rng.normal(0, 0.1, (24, 3))
    turn = Rotation.from_rotvec([np.pi, 0, 0]) * Rotation.from_rotvec(np.outer(np.linspace(0, 2, count), [0, 1, 0]))
    turn = turn if world is None else world * turn
    pose[:, 0] = turn.as_rotvec()
    transl = np.array([0.05, -0.1, 2.9]) + np.cumsum(rng.normal(0, 0.01, (count, 3)), 0)
    transl = transl if world is None else world.apply(transl)
    betas = np.tile(rng.normal(0, 0.5, N_BETAS), (count, 1))
    return with_vertices(pose, transl, betas, arrays)


def with_vertices(pose: np.ndarray, transl: np.ndarray, betas: np.ndarray, arrays: dict[str, np.ndarray]) -> Person:
    vertices = [smpl_files.posed_by_hand(arrays, b, p)[1] + t for p, t, b in zip(pose, transl, betas)]
    return Person(pose, transl, betas, np.stack(vertices))


def silhouette(camera_vertices: np.ndarray, D: np.ndarray | None = None) -> np.ndarray:
    """Where a body in the camera's axes is seen, as truth values, SIZE x SIZE; through a lens with distortion `D`."""
    distortion = np.zeros(5) if D is None else D
    pixels = cv2.projectPoints(camera_vertices, np.zeros(3), np.zeros(3), K, distortion)[0][:, 0]
    return rasterise(np.column_stack([pixels, camera_vertices[:, 2]]), FACES, SIZE, SIZE) >= 0


def picture(mask: np.ndarray) -> np.ndarray:
    """A picture of somebody in light clothes before a dark wall."""
    return np.where(mask[..., None], [230, 215, 205], [40, 42, 50]).astype(np.uint8)


def film(folder: Path, masks: np.ndarray) -> None:
    """The video of PeopleSnapshot, and its camera."""
    clips.write_video(folder / f"{folder.name}.mp4", [picture(mask) for mask in masks])
    camera = {
        "camera_f": K[[0, 1], [0, 1]], "camera_c": K[:2, 2], "camera_k": D, "camera_rt": np.zeros(3),
        "camera_t": np.zeros(3), "width": SIZE, "height": SIZE,
    }  # fmt: skip
    (folder / "camera.pkl").write_bytes(pickle.dumps(camera, 2))


def people_snapshot(folder: Path, who: Person, more_poses: int = 0) -> Path:
    """As its authors give it out: a distorted video, and HDF5 files; `more_poses` rows come before the first one."""
    import h5py

    masks = np.stack([silhouette(vertices, D) for vertices in who.vertices])
    film(folder, masks)
    with h5py.File(folder / "masks.hdf5", "w") as file:
        file.create_dataset("masks", data=masks.astype(np.uint8), chunks=True, compression="lzf")
    pose, trans = who.pose.reshape(-1, 72), who.transl
    with h5py.File(folder / "reconstructed_poses.hdf5", "w") as file:
        for name, rows in (("pose", pose), ("trans", trans)):
            before = np.repeat(rows[:1] + 0.3, more_poses, 0)
            file.create_dataset(name, data=np.concatenate([before, rows]), dtype="f", chunks=True, compression="lzf")
        file.create_dataset("betas", data=who.shapes[0], dtype="f")
    return folder


def instant_avatar(folder: Path, who: Person, extrinsic: np.ndarray, suffix: str = ".npy") -> Path:
    """As InstantAvatar's scripts write it; `extrinsic` is 4 x 4, and the person stands in that world."""
    seen = who.vertices @ extrinsic[:3, :3].T + extrinsic[:3, 3]
    (folder / "masks").mkdir(parents=True)
    for i, mask in enumerate(map(silhouette, seen)):
        write_image(folder / f"images/image_{i:04d}.png", picture(mask))
        path = folder / f"masks/mask_{i:04d}{suffix}"
        if suffix == ".npy":
            np.save(path, mask.astype(np.uint8))
        else:
            write_image(path, mask.astype(np.uint8) * 255)
    np.savez(folder / "cameras.npz", intrinsic=K, extrinsic=extrinsic, height=SIZE, width=SIZE)
    write_poses(folder / "poses.npz", who, slice(None))
    return folder


def write_poses(path: Path, who: Person, rows: Any, split: bool = False) -> None:
    """InstantAvatar's poses of some pictures; `split`: as in poses/, otherwise as in poses.npz."""
    path.parent.mkdir(exist_ok=True)
    pose, kind = who.pose[rows].reshape(-1, 72).astype(np.float32), np.float32
    parts = {"global_orient": pose[:, :3], "body_pose": pose[:, 3:]} if split else {"thetas": pose}
    betas = who.shapes[rows][:1].astype(kind)
    np.savez(path, betas=betas if split else betas[0], transl=who.transl[rows].astype(kind), **parts)


def neuman(folder: Path, who: Person, seed: int = 0) -> Path:
    """A scene of NeuMan: the person, in the axes of each picture's camera, filmed by a camera that moves.

    The scene's unit is 2.5 m; besides NeuMan's own poses there are those of HUGS.
    """
    import joblib

    rng = np.random.default_rng(seed)
    scale, count = 1 / 2.5, len(who.pose)
    cameras = Rotation.from_rotvec(rng.normal(0, 0.4, (count, 3)))
    centres = rng.normal(0, 1, (count, 3))
    lines = ["# Image list", "#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME", "#   POINTS2D[]", "#"]
    alignments, hugs = {}, {"global_orient": [], "transl": []}
    for i in reversed(range(count)):  # COLMAP does not list pictures in order
        name, R = f"{i:05d}.png", cameras[i].as_matrix()
        T = -R @ centres[i]
        mask = silhouette(who.vertices[i])
        write_image(folder / "images" / name, picture(mask))
        write_image(folder / "segmentations" / name, np.where(mask, 0, 255).astype(np.uint8))
        write_image(folder / "4d_humans/sam_segmentations" / f"mask_{i:04d}.png", mask.astype(np.uint8) * 255)
        q = cameras[i].as_quat(scalar_first=True)
        lines += [
            f"{i + 1} {' '.join(map(repr, [*map(float, q), *map(float, T)]))} 1 {name}",
            "" if i % 2 else "1.0 2.0 -1",
        ]
        # camera / scale = x + transl, where x is SMPL without translation; scene = R^T (camera - T)
        alignments[name] = np.column_stack([scale * R.T, R.T @ (scale * who.transl[i] - T)]).T
    for i in range(count):
        # R^T Rg (v - j0) scale + transl: the pelvis turns in place in SMPL, and about the scene's origin here
        joints = smpl_files.posed_by_hand(model(), who.shapes[i], np.zeros((24, 3)))[0]
        back = cameras[i].inv()
        hugs["global_orient"].append((back * Rotation.from_rotvec(who.pose[i, 0])).as_rotvec())
        placed = back.apply(scale * (who.transl[i] + joints[0])) + centres[i]
        hugs["transl"].append(placed - scale * joints[0])
    (folder / "sparse").mkdir()
    (folder / "sparse/images.txt").write_text("\n".join(lines) + "\n")
    pinhole = f"1 PINHOLE {SIZE} {SIZE} {K[0, 0]} {K[1, 1]} {K[0, 2] + 0.5} {K[1, 2] + 0.5}"
    (folder / "sparse/cameras.txt").write_text(
        f"# Camera list\n#   CAMERA_ID, MODEL\n# Number of cameras: 1\n{pinhole}\n"
    )
    pose = who.pose.reshape(-1, 72)
    joblib.dump({1: {"pose": list(pose), "betas": list(who.shapes)}}, folder / "smpl_output_optimized.pkl")
    joblib.dump({1: {"pose": pose + 0.01, "betas": who.shapes}}, folder / "smpl_output_romp.pkl")
    np.save(folder / "alignments.npy", np.array(alignments, dtype=object))
    np.savez(
        folder / "4d_humans/smpl_optimized_aligned_scale.npz", body_pose=pose[:, 3:], betas=who.shapes,
        scale=np.full(count, scale), **{name: np.array(rows) for name, rows in hugs.items()},
    )  # fmt: skip
    return folder


EXTRINSIC = np.eye(4)
EXTRINSIC[:3, :3] = Rotation.from_rotvec([0.2, -0.3, 0.1]).as_matrix()
EXTRINSIC[:3, 3] = [0.3, -0.2, 0.4]
