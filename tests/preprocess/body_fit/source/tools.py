"""Files as other tools write them, of a motion that is known; each built to the tool's documented keys.

`CONTENT[tool]` makes what the tool holds in memory when it writes, `DUMP[tool]` writes it as the tool does.
"""

import pickle
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from preprocess.body_fit.source.aist import Aist
from preprocess.body_fit.source.amass import Amass
from preprocess.body_fit.source.gem import Gem
from preprocess.body_fit.source.gvhmr import Gvhmr
from preprocess.body_fit.source.hmr2 import Hmr2
from preprocess.body_fit.source.motion import Source
from preprocess.body_fit.source.multihmr_anny import MultiHmrAnny
from preprocess.body_fit.source.npz import Npz
from preprocess.body_fit.source.prompthmr import PromptHmr
from preprocess.body_fit.source.romp import Romp
from preprocess.body_fit.source.sam3d_body import Sam3dBody
from preprocess.body_fit.source.tram import Tram
from preprocess.body_fit.source.wham import Wham

joblib = pytest.importorskip("joblib")

VIDEO = (640, 360)  # width, height
HALF = (320, 180)  # of the subject's pictures
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
FRAMES = np.array([2, 3, 4, 6, 7])


class Truth:
    """A person, F pictures of a video: SMPL's rotations, translation and joints in the axes of a camera."""

    def __init__(self, seed: int, frames: np.ndarray = FRAMES, x: float = 0.0):
        rng = np.random.default_rng(seed)
        self.frames, count = frames, len(frames)
        self.vectors = rng.normal(0, 0.3, (count, 24, 3))
        self.vectors[:, 0] = rng.normal([np.pi, 0, 0], 0.1, (count, 3))
        self.matrices = Rotation.from_rotvec(self.vectors.reshape(-1, 3)).as_matrix().reshape(count, 24, 3, 3)
        self.transl = np.array([x, 0.1, 4.0]) + rng.normal(0, 0.1, (count, 3))
        self.betas = np.tile(rng.normal(0, 1, 10), (count, 1))
        self.rest = rng.normal(0, 0.2, (24, 3))
        turned, self.joints = [], np.zeros((count, 24, 3))
        for j, parent in enumerate(PARENTS):
            turned.append(self.matrices[:, j] if j == 0 else turned[parent] @ self.matrices[:, j])
            offset = self.rest[j] if j == 0 else np.einsum("fij,j->fi", turned[parent], self.rest[j])
            self.joints[:, j] = offset + (self.transl if j == 0 else self.joints[:, parent])


def wham(*people: Truth) -> Any:
    tracks = defaultdict(dict)
    turn = Rotation.from_euler("x", 180, degrees=True)
    for i, person in enumerate(people):
        pose = person.vectors.reshape(-1, 72)
        root = (turn * Rotation.from_rotvec(pose[:, :3])).as_rotvec()
        tracks[i] = {
            "pose": pose.astype(np.float32),
            "trans": person.transl.astype(np.float32),
            "pose_world": np.concatenate([root, pose[:, 3:]], 1).astype(np.float32),
            "trans_world": turn.apply(person.joints[:, 1:3].mean(1)) + np.array([1, 0, 2], np.float32),  # the hips'
            "betas": person.betas.astype(np.float32),
            "verts": np.zeros((len(pose), 6, 3), np.float32),
            "frame_ids": person.frames,
        }
    return tracks


def gvhmr(person: Truth) -> Any:
    width, height = VIDEO
    focal = float(np.hypot(width, height))
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    flat = torch.tensor(person.vectors.reshape(-1, 72)).float()
    params = {"body_pose": flat[:, 3:66], "global_orient": flat[:, :3]}
    params |= {"betas": torch.tensor(person.betas).float(), "transl": torch.tensor(person.transl).float()}
    return {
        "smpl_params_global": {**params, "transl": params["transl"] + 1},
        "smpl_params_incam": params,
        "K_fullimg": K.repeat(len(flat), 1, 1),
        "net_outputs": {"static_conf_logits": torch.zeros(1, len(flat), 6)},
    }


def gem(person: Truth) -> Any:
    """GEM-SMPL's `smpl_params.pt`, of a run that also made a motion of a text."""
    params = gvhmr(person)
    count = len(person.frames)
    text = {name: torch.zeros(3, value.shape[1]) for name, value in params["smpl_params_incam"].items()}

    def mixed(key: str) -> dict[str, torch.Tensor]:
        return {name: torch.cat([text[name], value]) for name, value in params[key].items()}

    return {
        "body_params_incam": mixed("smpl_params_incam"),
        "body_params_global": mixed("smpl_params_global"),
        "K_fullimg": torch.cat([torch.eye(3).repeat(3, 1, 1), params["K_fullimg"]]),
        "segment_info": [
            {"start": 3, "end": 3 + count, "type": "video", "video_path": "clip.mp4"},
            {"start": 0, "end": 3, "type": "text", "caption": "a person waves"},
        ],
    }


SOMA_OF_SMPL = (
    "Hips", "LeftLeg", "RightLeg", "Spine1", "LeftShin", "RightShin", "Spine2", "LeftFoot", "RightFoot", "Chest",
    "LeftToeBase", "RightToeBase", "Neck1", "LeftShoulder", "RightShoulder", "Head", "LeftArm", "RightArm",
    "LeftForeArm", "RightForeArm", "LeftHand", "RightHand",
)  # fmt: skip
SOMA_ORDER = (
    "Hips", "Spine1", "Spine2", "Chest", "Neck1", "Neck2", "Head", *["a part of the face"] * 4,
    "LeftShoulder", "LeftArm", "LeftForeArm", "LeftHand", *["a part of a finger"] * 24,
    "RightShoulder", "RightArm", "RightForeArm", "RightHand", *["a part of a finger"] * 24,
    "LeftLeg", "LeftShin", "LeftFoot", "LeftToeBase", "LeftToeEnd",
    "RightLeg", "RightShin", "RightFoot", "RightToeBase", "RightToeEnd",
)  # fmt: skip


def gem_x(person: Truth) -> Any:
    """GEM-X's `hpe_results.pt`; fingers and face turn as they like, and the neck bends at its second joint."""
    count, rng = len(person.frames), np.random.default_rng(1)
    vectors = rng.normal(0, 0.3, (count, 77, 3))
    for name, rotations in zip(SOMA_OF_SMPL, np.moveaxis(person.vectors, 1, 0)):
        vectors[:, SOMA_ORDER.index(name)] = rotations
    vectors[:, SOMA_ORDER.index("Neck2")] = 0
    flat = torch.tensor(vectors.reshape(count, -1)).float()
    params = {
        "body_pose": flat[:, 3:],
        "identity_coeffs": torch.zeros(count, 45),
        "scale_params": torch.ones(count, 69),
        "global_orient": flat[:, :3],
        "transl": torch.tensor(person.joints[:, 0]).float(),
    }
    return {
        "body_params_global": {**params, "transl": params["transl"] + 1},
        "body_params_incam": params,
        "K_fullimg": gvhmr(person)["K_fullimg"],
        "net_outputs": {"model_output": {"pred_cam": torch.zeros(1, count, 3), "extra": [None, "text"]}},
    }


def prompthmr(*people: Truth) -> Any:
    turn, tracks = Rotation.from_euler("x", 180, degrees=True), {}
    for i, person in enumerate(people, 1):
        count = len(person.frames)
        pose = np.concatenate([person.vectors[:, :22], np.zeros((count, 33, 3))], 1)
        matrices = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(count, 55, 3, 3)
        world = pose.copy()
        world[:, 0] = (turn * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
        tracks[i] = {
            "track_id": i,
            "frames": person.frames,
            "bboxes": np.zeros((count, 4)),
            "smplx_cam": {
                "rotmat": matrices.astype(np.float32),
                "pose": pose[:, :25].reshape(count, 75).astype(np.float32),
                "shape": person.betas.astype(np.float32),
                "trans": person.transl.astype(np.float32),
                "contact": np.zeros((count, 6), bool),
            },
            "smplx_world": {
                "pose": world.reshape(count, 165).astype(np.float32),
                "shape": person.betas.astype(np.float32),
                "trans": turn.apply(person.transl).astype(np.float32),
            },
        }
    camera = {
        "pred_cam_R": np.tile(np.eye(3, dtype=np.float32), (10, 1, 1)),
        "pred_cam_T": np.zeros((10, 3), np.float32),
        "img_focal": np.float64(600.0),
        "img_center": np.array([VIDEO[0] / 2, VIDEO[1] / 2]),
    }
    return {"camera": camera, "people": tracks, "timings": {}, "has_tracks": True, "contact_joint_ids": [7, 10]}


def sam3d_person(points: np.ndarray, cam_t: np.ndarray, focal: float, size: tuple[int, int]) -> dict[str, Any]:
    """SAM 3D Body's dictionary of one person, made as it makes it of MHR's points.

    Args:
        points: 70 points in the camera's axes (m).
        cam_t: where the root is (m).
        focal: in pixels of the picture.
        size: of the picture, width and height.
    """
    mhr = (points - cam_t) * [1, -1, -1] * 100  # y up, z backward, in centimetres
    returned = mhr / 100 * [1, -1, -1]
    seen = (returned + cam_t) * [focal, focal, 1]
    pixels = seen[:, :2] / seen[:, 2:] + np.array(size) / 2
    rng = np.random.default_rng(3)
    return {
        "focal_length": np.float32(focal),
        "pred_keypoints_3d": returned.astype(np.float32),
        "pred_keypoints_2d": pixels.astype(np.float32),
        "pred_vertices": rng.normal(size=(40, 3)).astype(np.float32),
        "pred_cam_t": cam_t.astype(np.float32),
        "pred_global_rots": Rotation.random(127, rng).as_matrix().astype(np.float32),
        "mhr_model_params": rng.normal(size=204).astype(np.float32),
        "scale_params": rng.normal(size=28).astype(np.float32),
        "mask": None,
    }


def sam3d_points(person: Truth) -> np.ndarray:
    """70 points (F, 70, 3) about the person."""
    return person.transl[:, None] + np.random.default_rng(2).normal(0, 0.4, (70, 3))


def sam3d_body(*people: Truth) -> Any:
    """{file: content} of the folder."""
    files = {}
    for i, person in enumerate(people):
        for frame, points, transl in zip(person.frames, sam3d_points(person), person.transl):
            files[f"clip3_{frame:06d}_{i}.npz"] = sam3d_person(points, transl + 0.1, 500.0, VIDEO)
    return files


def multihmr_anny(*people: Truth) -> Any:
    """{file: content} of the folder: what Multi-HMR's model returns for each picture, on Anny."""
    rng, files = np.random.default_rng(4), {}
    for frame in sorted({int(frame) for person in people for frame in person.frames}):
        here = [(p, int(np.flatnonzero(p.frames == frame)[0])) for p in people if frame in p.frames]
        humans = []
        for person, row in here:
            place = torch.tensor(person.transl[row]).float()
            points = place + torch.tensor(rng.normal(0, 0.4, (163, 3))).float()
            humans.append({
                "K": torch.tensor([[582.0, 0, 336], [0, 582, 336], [0, 0, 1]]),  # of the padded square, 672 wide
                "transl": place - torch.tensor([0, 0.6, 0]),
                "transl_pelvis": place[None],
                "rotvec": torch.tensor(rng.normal(0, 0.1, (163, 3))).float(),
                "shape": torch.full((11,), 0.5),
                "v3d": points[:50],
                "j2d": 582 * points[:, :2] / points[:, 2:] + 336,
            })  # fmt: skip
        files[f"clip3_{frame:06d}.jpg_multiHMR_672_L_anny.png.pt"] = humans
    return files


def tram(*people: Truth) -> Any:
    """{file: content} of the folder."""
    width, height = VIDEO
    files: dict[str, Any] = {
        "camera.npy": {
            "pred_cam_R": Rotation.from_euler("y", 90, degrees=True).as_matrix()[None].repeat(10, 0),
            "pred_cam_T": np.tile([1.0, 2, 3], (10, 1)),
            "img_focal": np.float64(700.0),
            "img_center": np.array([width / 2, height / 2]),
        }
    }
    for k, person in enumerate(people):
        files[f"hps/hps_track_{k}.npy"] = {
            "pred_cam": torch.zeros(len(person.frames), 3),
            "pred_pose": torch.zeros(len(person.frames), 144),
            "pred_shape": torch.tensor(person.betas).float(),
            "pred_rotmat": torch.tensor(person.matrices).float(),
            "pred_trans": torch.tensor(person.transl[:, None]).float(),
            "frame": torch.tensor(person.frames),
        }
    return files


BODY_25_OF_SMPL = {1: 12, 2: 17, 3: 19, 4: 21, 5: 16, 6: 18, 7: 20, 8: 0, 9: 2, 10: 5, 11: 8, 12: 1, 13: 4, 14: 7}


def hmr2(*people: Truth) -> Any:
    """Each is also guessed at in the picture after those that show them."""
    pictures: dict[str, Any] = {}
    for time in range(10):
        lists: dict[str, list] = defaultdict(list)
        for tid, person in enumerate(people, 1):
            rows = np.flatnonzero(person.frames == time)
            guessed = np.flatnonzero(person.frames == time - 1)
            for row, since in [(row, 0) for row in rows] + [(row, 1) for row in guessed if not len(rows)]:
                points = np.zeros((45, 3))
                for i, j in BODY_25_OF_SMPL.items():
                    points[i] = person.joints[row, j] - person.transl[row]
                matrices = person.matrices[row]
                lists["tid"].append(tid)
                lists["tracked_time"].append(since)
                lists["bbox"].append(np.array([300.0 * tid, 100, 40, 120]))
                lists["size"].append([VIDEO[1], VIDEO[0]])
                smpl = {"global_orient": matrices[:1], "body_pose": matrices[1:], "betas": person.betas[row]}
                lists["smpl"].append({k: v.astype(np.float32) for k, v in smpl.items()})
                lists["camera"].append(person.transl[row])
                lists["3d_joints"].append(points)
                lists["mask"].append([{"size": [360, 640], "counts": b"abc"}])
                lists["conf"].append(np.float32(0.9))
        names = ("tid", "tracked_time", "bbox", "size", "smpl", "camera", "3d_joints", "mask", "conf")
        pictures[f"_DEMO/clip/img/{time + 1:06d}.jpg"] = {"time": time, "shot": 0, **{n: lists[n] for n in names}}
    return pictures


def romp_people(people: list[tuple[Truth, int]]) -> dict[str, Any]:
    """ROMP's answer for one picture: those people, each by its row."""
    side = max(VIDEO)
    cams, joints, seen = [], [], []
    for person, row in people:
        scale = 0.5
        center = person.transl[row, :2] / 4
        points = np.concatenate([person.joints[row] - person.transl[row], np.zeros((47, 3))])
        cams.append([scale, *center])
        joints.append(points)
        pixels = (points[:, :2] * scale + center + 1) * side / 2 - [0, (side - VIDEO[1]) / 2]
        seen.append(pixels)
    return {
        "cam": np.array(cams, np.float32),
        "smpl_thetas": np.array([p.vectors[row].ravel() for p, row in people], np.float32),
        "smpl_betas": np.array([p.betas[row] for p, row in people], np.float32),
        "joints": np.array(joints, np.float32),
        "pj2d_org": np.array(seen, np.float32),
        "center_confs": np.ones(len(people), np.float32),
    }


def romp(*people: Truth, tracked: bool = True) -> Any:
    results, sequences = {}, {}
    for time in range(10):
        here = [(p, int(np.flatnonzero(p.frames == time)[0])) for p in people if time in p.frames]
        results[f"{time:08d}.png"] = romp_people(here) if here else None
        for i, (person, _) in enumerate(here if tracked else []):
            track = sequences.setdefault(people.index(person), {"frame_id": []})
            track["frame_id"].append(time)
            for key, value in romp_people(here).items():
                track.setdefault(key, []).append(value[i])
    return {"results": results, "sequence_results": sequences}


def amass(person: Truth) -> Any:
    poses = np.concatenate([person.vectors[:, :22].reshape(-1, 66), np.zeros((len(person.frames), 90))], 1)
    return {
        "trans": person.transl,
        "gender": np.array("neutral"),
        "mocap_framerate": np.array(20.0),
        "betas": np.append(person.betas[0], np.zeros(6)),
        "dmpls": np.zeros((len(poses), 8)),
        "poses": poses,
    }


def aist(person: Truth) -> Any:
    return {
        "smpl_poses": person.vectors.reshape(-1, 72).astype(np.float32),
        "smpl_scaling": np.array([93.5], np.float32),
        "smpl_trans": (93.5 * person.transl).astype(np.float32),
        "smpl_loss": 1.25,
    }


def npz(person: Truth) -> Any:
    flat = person.vectors.reshape(-1, 72)
    return {
        "global_orient": flat[:, :3],
        "body_pose": flat[:, 3:],
        "betas": person.betas,
        "transl": person.transl,
        "K": np.array([[500.0, 0, 319.5], [0, 500, 179.5], [0, 0, 1]]),
        "size": np.array(VIDEO),
        "frames": person.frames,
        "joints": person.joints,
    }


def _dump_folder(path: Path, content: Any) -> None:
    for name, value in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(path / name, value)


def _dump_tensors(path: Path, content: Any) -> None:
    path.mkdir(exist_ok=True)
    for name, value in content.items():
        torch.save(value, path / name)


def _dump_archives(path: Path, content: Any) -> None:
    path.mkdir(exist_ok=True)
    for name, value in content.items():
        _dump_archive(path / name, value)


def _dump_archive(path: Path, content: Any) -> None:
    ragged = {name: np.array(value, object) for name, value in content.items() if isinstance(value, list) and value}
    with open(path, "wb") as file:
        np.savez(file, **content | ragged)


CONTENT: dict[str, Callable[..., Any]] = {
    "wham": wham, "gvhmr": gvhmr, "gem": gem, "gem_x": gem_x, "prompthmr": prompthmr, "tram": tram, "hmr2": hmr2,
    "romp": romp, "sam3d_body": sam3d_body, "multihmr_anny": multihmr_anny, "amass": amass, "aist": aist, "npz": npz,
}  # fmt: skip
DUMP: dict[str, Callable[[Path, Any], Any]] = {
    "wham": lambda path, content: joblib.dump(content, path),
    "gvhmr": lambda path, content: torch.save(content, path),
    "gem": lambda path, content: torch.save(content, path),
    "gem_x": lambda path, content: torch.save(content, path),
    "prompthmr": lambda path, content: joblib.dump(content, path),
    "tram": _dump_folder,
    "hmr2": lambda path, content: joblib.dump(content, path, compress=3),
    "romp": _dump_archive,
    "sam3d_body": _dump_archives,
    "multihmr_anny": _dump_tensors,
    "amass": _dump_archive,
    "aist": lambda path, content: path.write_bytes(pickle.dumps(content, pickle.HIGHEST_PROTOCOL)),
    "npz": _dump_archive,
}
SOURCES: dict[str, Callable[[], Source]] = {
    "wham": Wham, "gvhmr": Gvhmr, "gem": Gem, "gem_x": Gem, "prompthmr": PromptHmr, "tram": Tram, "hmr2": Hmr2,
    "romp": Romp, "sam3d_body": Sam3dBody, "multihmr_anny": MultiHmrAnny, "amass": Amass, "aist": Aist, "npz": Npz,
}  # fmt: skip
