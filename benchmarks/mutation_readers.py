"""The readers that `mutations.py` attacks, each with whole files to start from.

The files are made here, from numbers and noise, so that they hold nothing of anybody's, and nothing that harms other
software. Readers with a format of another tool take the contents that the tests of that reader make.
"""

import dataclasses
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch

from hashhuman.body.smpl.obj import read_uv
from hashhuman.body.smpl.source import read as read_smpl
from hashhuman.data.subject import Subject
from hashhuman.data.subject.annots import read_annots
from hashhuman.io import checkpoint, files
from hashhuman.training import run_folder
from hashhuman.training.manifest import MANIFEST, Manifest
from preprocess.body_fit.source.tensors import load_torch
from preprocess.calibration.read import read_calibration
from preprocess.easymocap.output import Output
from preprocess.frames.decode import decode
from preprocess.frames.lens import Lens
from preprocess.frames.video_index import VideoIndex, recorded_notes, video_index
from preprocess.keypoints.coco import CocoKeypoints
from preprocess.keypoints.openpose import read_people
from preprocess.keypoints.points import Keypoints
from preprocess.quality import Quality
from preprocess.subject_copy import restore
from tests import smpl_files, toy
from tests.preprocess.body_fit.source import tools
from tests.preprocess.easymocap import folders


@dataclasses.dataclass(frozen=True)
class Reader:
    """One way in."""

    name: str
    prepare: Callable[[Path], list[Path]]
    """Writes whole files into an empty folder, and returns those to mutate, one at a time."""
    read: Callable[[Path], Any]
    """Reads everything that the folder holds, given the file that was mutated."""
    text: bool = False
    """Whether to mutate the file as a text, too."""
    weight: float = 1.0
    """The share of inputs that it gets, compared with the others."""


def one(name: str, write: Callable[[Path], Any]) -> Callable[[Path], list[Path]]:
    """Prepares a folder with one file."""

    def prepare(folder: Path) -> list[Path]:
        path = folder / name
        write(path)
        return [path]

    return prepare


def several(**writers: Callable[[Path], Any]) -> Callable[[Path], list[Path]]:
    """Prepares a folder with a file for each suffix, any of which may be mutated and read."""

    def prepare(folder: Path) -> list[Path]:
        paths = []
        for suffix, write in writers.items():
            path = folder / f"file.{suffix.replace('_', '.')}"
            write(path)
            paths.append(path)
        return paths

    return prepare


RNG = np.random.default_rng(0)
PICTURE = cv2.resize(RNG.integers(0, 255, (6, 8, 3)).astype(np.uint8), (48, 32))
DICT = {"poses": np.zeros((1, 15)), "ims": [{"ims": ["images/00/000000.png"]}], "n": 3, "s": "x"}


def write_text(content: Any) -> Callable[[Path], Any]:
    """Writes JSON."""
    return lambda path: path.write_text(content if isinstance(content, str) else json.dumps(content))


def write_picture(path: Path) -> None:
    """Writes a small picture, in the format of the suffix."""
    _, data = cv2.imencode(path.suffix, PICTURE)
    path.write_bytes(data.tobytes())


def write_quality(path: Path) -> None:
    """Writes figures on a fit of two frames."""
    each, both, flags = np.ones(2), np.ones((1, 2)), np.zeros(2, bool)
    Quality(
        cameras=("00",), frames=np.arange(2), height=both, reprojection=both, silhouette_iou=both, jitter=each,
        beyond=each, worst_joint=np.zeros(2, int), interpolated=flags, flipped=flags, joint_names=("pelvis",),
    ).save(path)  # fmt: skip


def write_video(path: Path, codec: str = "libx264") -> None:
    """Writes a video of eight small pictures."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *PICTURE.shape[:2], "rgb8" if codec == "gif" else "yuv420p"
        for shift in range(8):
            frame = av.VideoFrame.from_ndarray(np.roll(PICTURE, 3 * shift, 1), format="rgb24")
            container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode())


def read_video(path: Path) -> None:
    """Decodes all that can be decoded."""
    for _ in decode(path):
        pass


def subject_folder(folder: Path) -> list[Path]:
    """A whole subject folder; its description, arrays and pictures are mutated."""
    root = toy.write_subject(folder / "subject", n_frames=1, n_cameras=1)
    description = {"version": 1, "joint_names": list(toy.JOINT_NAMES), "video": {"file": "a", "sha256": "b"}}
    index = {"pictures": [0], "seconds": [0.0], "size": [48, 48], "notes": []}
    (root / "subject.json").write_text(json.dumps({**description, "video": {**description["video"], **index}}))
    (root / "scene.json").write_text('{"frames": 1}')
    return sorted(path for path in root.rglob("*") if path.is_file())


def read_subject(path: Path) -> None:
    """Reads all that training and the report read of a subject folder."""
    root = next(parent for parent in path.parents if parent.name == "subject")
    subject = Subject(root)
    template = subject.template()
    assert len(template.vertices)
    for picture in subject.pictures:
        subject.image(picture), subject.mask(picture), subject.parts(picture)
        subject.pose(picture.frame), subject.vertices(picture.frame), subject.camera(picture.camera)
    subject.big_pose_vertices()
    video_index(root), recorded_notes(root), restore(root)


def smpl_folder(folder: Path) -> list[Path]:
    """A body model as SMPL's pickle and as an archive, of the toy's shape."""
    model = smpl_files.model(toy.template())
    (folder / "SMPL_NEUTRAL.pkl").write_bytes(pickle.dumps(model, 2))
    np.savez(folder / "SMPLX_NEUTRAL.npz", **model)
    return [folder / "SMPL_NEUTRAL.pkl", folder / "SMPLX_NEUTRAL.npz"]


def run_files(folder: Path) -> list[Path]:
    """A run folder with a config like a run's."""
    (folder / "subject").mkdir()
    (folder / "checkpoints").mkdir()
    torch.save({"state_dict": {"a": torch.zeros(3, 4)}}, folder / run_folder.CHECKPOINT)
    loss = {"color": {"_target_": "hashhuman.training.losses.ColorLoss", "weight": 1.0}}
    avatar = {"_target_": "hashhuman.avatar.build.hash_grid_avatar", "field": "${field}", "_partial_": True}
    content = {"format": run_folder.FORMAT, "command": ["seed=1"], "loss": loss, "avatar": avatar, "seed": 0}
    where = {"root": str(folder / "subject"), "smpl_meta": None}
    (folder / run_folder.CONFIG).write_text(json.dumps({**content, "data": where, "field": {"width": 16}}))
    seal(folder)
    return [folder / name for name in (run_folder.CONFIG, run_folder.CHECKPOINT, MANIFEST)]


def seal(folder: Path) -> None:
    """Writes the manifest that makes a folder with a config and weights a finished run."""
    manifest = Manifest("0" * 64, "0" * 64, None, trained=True)
    manifest.add(folder, [folder / run_folder.CONFIG, folder / run_folder.CHECKPOINT])
    manifest.save(folder)


def read_run(path: Path) -> None:
    """Reads a run's config and weights."""
    folder = path.parent.parent if path.suffix == ".ckpt" else path.parent
    if path.name != MANIFEST:  # whoever sends a changed file sends its hash as well
        seal(folder)
    run_folder.load_config(folder)
    checkpoint.load_weights(folder / run_folder.CHECKPOINT)


def cameras(folder: Path) -> list[Path]:
    """Calibrations of each kind."""
    matrix = {"type_id": "opencv-matrix", "rows": 3, "cols": 3, "dt": "d", "data": [100, 0, 24, 0, 100, 16, 0, 0, 1]}
    pose = {"R": [0.1, 0.2, 0.3], "T": [0.0, 0.0, 3.0], "D": [0.0] * 5}
    (folder / "rig.json").write_text(json.dumps({"one": {"K": matrix, **pose}, "two": {"K": matrix, **pose}}))
    storage = cv2.FileStorage(str(folder / "rig.yml"), cv2.FILE_STORAGE_WRITE)
    for name, value in (("K", np.eye(3)), ("R", np.eye(3)), ("T", np.ones((3, 1))), ("D", np.zeros((5, 1)))):
        storage.write(name, value)
    storage.release()
    rows = "".join(f"<{k}>{v}</{k}>" for k, v in {"rows": 3, "cols": 3, "dt": "d", "data": "1 0 0 0 1 0 0 0 1"}.items())
    xml = "".join(f'<{k} type_id="opencv-matrix">{rows}</{k}>' for k in ("K", "R")) + "<T>0 0 3</T>"
    (folder / "rig.xml").write_text(f'<?xml version="1.0"?>\n<opencv_storage>{xml}</opencv_storage>\n')
    turn = " ".join(f'r{a}{b}="{int(a == b)}"' for a in (1, 2, 3) for b in (1, 2, 3))
    lens = 'focalLengthU="64000" focalLengthV="64000" centerPointU="32000" centerPointV="24000" '
    lens += " ".join(f'{name}="0"' for name in ("radialDistortion1", "radialDistortion2", "radialDistortion3"))
    lens += ' tangentalDistortion1="0" tangentalDistortion2="0"'
    view = '<fov_video left="0" top="0" right="999" bottom="749"/>'
    camera = f'<camera serial="7">{view}<transform x="1" y="2" z="3" {turn}/><intrinsic {lens}/></camera>'
    (folder / "rig.qca.txt").write_text(f"<calibration><cameras>{camera}</cameras></calibration>")
    numbers = {
        "size": [48.0, 32.0], "matrix": np.eye(3).tolist(), "distortions": [0.0] * 4, "rotation": pose["R"],
        "translation": pose["T"], "fisheye": "false",
    }  # fmt: skip
    table = "\n".join(f"{key} = {value}" for key, value in numbers.items())
    (folder / "rig.toml").write_text(f'[one]\nname = "one"\n{table}\n\n[metadata]\nadjusted = false\nerror = 0.0\n')
    return sorted(folder.iterdir())


def easymocap_folder(folder: Path) -> list[Path]:
    """A folder of EasyMocap with one person in two frames."""
    person = {"id": 0, "Rh": [[0, 0, 0]], "Th": [[0, 0, 3]], "poses": [[0] * 72], "shapes": [[0] * 10]}
    detected = {"personID": 0, "keypoints": [[1, 2, 0.9]] * 25}
    for frame in range(2):
        seen = {"height": 9, "width": 9, "annots": [detected]}
        for place, content in (("output/smpl", [person]), ("annots/00", seen)):
            path = folder / place / f"{frame:06d}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
    folders.write_cameras(folder, {"00": toy.camera(0)}, np.zeros(5))
    return sorted(path for path in folder.rglob("*") if path.is_file())


def read_easymocap(path: Path) -> None:
    """Reads all of EasyMocap's results."""
    root = next(parent for parent in path.parents if (parent / "output").is_dir())
    output = Output(root)
    output.bodies([0, 1], 24, None), output.people(0), output.people(1), output.calibration()


def read_coco(path: Path) -> None:
    """Reads keypoints in COCO's order."""
    stage = CocoKeypoints(str(path))
    stage.people(VideoIndex(np.arange(2), np.arange(2) / 25, (48, 32)))


OPENPOSE = {"people": [{"pose_keypoints_2d": [float(i) for i in range(75)], "face_keypoints_2d": []}]}
COCO = [{"frame_id": i, "instances": [{"keypoints": [[1.0, 2.0]] * 17, "keypoint_scores": [0.5] * 17}]} for i in (0, 1)]
OBJ = "v 0 0 0\nvt 0.1 0.2\nvt 0.3 0.4\nvt 0.5 0.6\nf 1/1 2/2 3/3\nf 1/1 2/3 3/2\n"

READERS = [
    Reader("npy: arrays", one("a.npy", lambda p: np.save(p, RNG.random((5, 3)))), files.load_npy),
    Reader("npy: dictionaries", one("a.npy", lambda p: np.save(p, np.asanyarray(DICT))), files.load_npy),
    Reader("npy: cameras of a subject", lambda f: subject_folder(f) and [f / "subject/annots.npy"], read_annots),
    Reader("npz", one("a.npz", lambda p: np.savez_compressed(p, a=RNG.random(9), b=np.eye(3))), files.load_npz),
    Reader("npz of objects", one("a.npz", lambda p: np.savez(p, a=np.asanyarray(DICT))), files.load_object_npz),
    Reader("npz: keypoints", one("a.npz", lambda p: Keypoints.empty([0, 1]).save(p)), Keypoints.load),
    Reader("npz: quality", one("a.npz", write_quality), Quality.load),
    Reader("pickle", one("a.pkl", lambda p: p.write_bytes(pickle.dumps(DICT, 2))), files.load_pickle),
    Reader("SMPL", smpl_folder, read_smpl),
    Reader("obj", one("a.obj", write_text(OBJ)), lambda p: read_uv(p, 3), text=True),
    Reader("torch", one("a.pt", lambda p: torch.save({"a": torch.zeros(9)}, p)), load_torch),
    Reader("run folder", run_files, read_run, text=True, weight=2),
    Reader("subject folder", subject_folder, read_subject, text=True, weight=3),
    Reader("pictures", several(**dict.fromkeys(("png", "jpg", "bmp", "webp", "tiff", "ppm"), write_picture)),
           files.read_image, weight=3),
    Reader("videos", several(mp4=write_video, mkv=write_video, avi=write_video,
                             gif=lambda p: write_video(p, "gif"), mpg=lambda p: write_video(p, "mpeg1video")),
           read_video, weight=3),
    Reader("calibrations: YAML, XML, JSON, TOML", cameras, read_calibration, text=True, weight=3),
    Reader("JSON: lens", one("a.json", write_text({"K": np.eye(3).tolist(), "D": [0] * 5})),
           lambda p: Lens.parse(str(p)), text=True),
    Reader("JSON: OpenPose", one("a.json", write_text(OPENPOSE)), read_people, text=True),
    Reader("JSON: COCO", one("a.json", write_text(COCO)), read_coco, text=True),
    Reader("EasyMocap", easymocap_folder, read_easymocap, text=True),
    *(
        Reader(f"poses of {tool}", lambda folder, tool=tool: tool_files(folder, tool),
               lambda path, tool=tool: read_tool(path, tool))
        for tool in tools.CONTENT
    ),
]  # fmt: skip


def tool_files(folder: Path, tool: str) -> list[Path]:
    """Poses as another tool writes them."""
    tools.DUMP[tool](folder / tool, tools.CONTENT[tool](tools.Truth(0)))
    return sorted(path for path in folder.rglob("*") if path.is_file())


def read_tool(path: Path, tool: str) -> None:
    """Reads poses of another tool."""
    root = path if path.name == tool else next(parent for parent in path.parents if parent.name == tool)
    tools.SOURCES[tool]().read(root, *tools.HALF)
