"""Folders as EasyMocap documents and writes them (doc/02_output.md, easymocap/mytools/file_utils.py), of the toy."""

import json
import stat
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from hashhuman.data.subject import SubjectWriter
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import write_image
from tests import smpl_files, toy

FRAMES, WIDTH, HEIGHT = 4, 80, 96
ARRAYS = smpl_files.model(toy.template())  # the "SMPL" that everything here is of: 5 joints, 40 vertices
BETAS = np.array([0.4, -1.2, 0.7])
DECIMALS = 3  # as EasyMocap writes


def body_pose(frame: int) -> np.ndarray:
    """Axis-angles, 5 x 3, the root's zero."""
    return toy.pose(frame).body_pose.numpy().astype(float).round(DECIMALS)


def orient(frame: int) -> np.ndarray:
    """EasyMocap's rotation: the body stands upright before the camera, and turns."""
    upright = Rotation.from_rotvec([np.pi, 0, 0])
    return (upright * Rotation.from_rotvec([0, 0.4 * frame, 0])).as_rotvec().round(DECIMALS)


def transl(frame: int) -> np.ndarray:
    """EasyMocap's translation (m)."""
    return np.array([0.05 * frame, -0.1, 3.2]).round(DECIMALS)


def joints_and_vertices(frame: int) -> tuple[np.ndarray, np.ndarray]:
    """In EasyMocap's world (m), by the slow code of tests/smpl_files.py."""
    turn = Rotation.from_rotvec(orient(frame))
    joints, vertices = smpl_files.posed_by_hand(ARRAYS, BETAS, body_pose(frame))
    return turn.apply(joints) + transl(frame), turn.apply(vertices) + transl(frame)


def body(frame: int, id: int = 0, full: bool = True) -> dict[str, Any]:
    """One person of a file of smpl/; `full` poses have the root's three zeros."""
    rows = {
        "Rh": orient(frame),
        "Th": transl(frame),
        "poses": body_pose(frame).ravel()[0 if full else 3 :],
        "shapes": BETAS,
    }
    return {"id": id, **{name: [row.tolist()] for name, row in rows.items()}}


def person(points: np.ndarray, id: int = 0) -> dict[str, Any]:
    """One person of a file of annots/, with BODY_25 points (25, 3)."""
    seen = points[points[:, 2] > 0, :2]
    box = [*seen.min(0), *seen.max(0), 1.0] if len(seen) else [0, 0, 100, 100, 0]
    return {"bbox": [float(x) for x in box], "personID": id, "keypoints": points.tolist(), "isKeyframe": False}


def body25(frame: int, shift: float = 0.0) -> np.ndarray:
    """Points (25, 3) of somebody standing, the feet's unseen as HRNet leaves them."""
    points = np.zeros((25, 3))
    points[:, 0] = 30 + 10 * np.cos(np.arange(25)) + frame + shift
    points[:, 1] = 20 + 2.5 * np.arange(25)
    points[:, 2] = 0.9
    points[19:] = 0
    return points


def annotation(frame: int, *people: dict[str, Any]) -> dict[str, Any]:
    """A file of annots/."""
    size = {"filename": f"images/00/{frame:06d}.jpg", "height": HEIGHT, "width": WIDTH}
    return {**size, "annots": list(people), "isKeyframe": False}


def write(path: Path, content: Any) -> Path:
    """Writes JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=4))
    return path


def write_bodies(root: Path, annots: bool = False, full: bool = True, first: int = 0) -> Path:
    """Writes output/smpl, flat or under `annots`, from frame number `first` on; returns the root."""
    for frame in range(FRAMES):
        people = [body(frame, full=full)]
        write(root / f"output/sv1p/smpl/{first + frame:06d}.json", {"annots": people} if annots else people)
    return root


def write_cameras(root: Path, cameras: dict[str, Camera], distortion: np.ndarray) -> None:
    """Writes intri.yml and extri.yml as EasyMocap's FileStorage does, with carriage returns."""

    def matrix(name: str, values: np.ndarray) -> list[str]:
        data = ", ".join(f"{x:.6f}" for x in values.ravel())
        rows, cols = values.shape
        return [f"{name}: !!opencv-matrix", f"  rows: {rows}", f"  cols: {cols}", "  dt: d", f"  data: [{data}]"]

    head = ["%YAML:1.0", "---", "names:", *(f'  - "{name}"' for name in cameras)]
    intri, extri = list(head), list(head)
    for name, camera in cameras.items():
        R = camera.R.double().numpy()
        intri += matrix(f"K_{name}", camera.K.double().numpy()) + matrix(f"dist_{name}", distortion[None])
        extri += matrix(f"R_{name}", np.asarray(cv2.Rodrigues(R)[0])) + matrix(f"Rot_{name}", R)
        extri += matrix(f"T_{name}", camera.T.double().numpy()[:, None])
    root.mkdir(parents=True, exist_ok=True)
    for file, lines in (("intri.yml", intri), ("extri.yml", extri)):
        (root / file).write_text("\r\n".join(lines) + "\r\n", newline="")


def write_pictures(subject: Path, camera: Camera, frames: int = FRAMES, suffix: str = ".png") -> Path:
    """A subject with pictures and a camera and nothing else."""
    writer = SubjectWriter(subject)
    rows = []
    for frame in range(frames):
        image = np.full((camera.height, camera.width, 3), 40 + 10 * frame, np.uint8)
        rows.append([writer.image_path(0, frame, suffix)])
        write_image(rows[-1][0], image)
    writer.write_annots([camera], [np.zeros(5)], rows)
    return subject


_PROGRAM = """#!%s
import argparse, json, os, pathlib, shutil, sys
import easymocap
with open(os.devnull if "--help" in sys.argv else "calls.jsonl", "a") as file:
    watched = {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "PYTHONPATH")}
    print(json.dumps([sys.argv[1:], os.getcwd(), watched]), file=file)
answers = pathlib.Path("answers")
parser = argparse.ArgumentParser()
for name in ("mode", "data", "exp", "root", "out"):
    parser.add_argument("--" + name)
parser.add_argument("--subs", nargs="+"); parser.add_argument("--opt_exp", nargs="+")
parser.add_argument("--ranges", nargs=3, type=int, default=[0, 9999, 1])
def each(images):
    for i, image in enumerate(images):
        print(f"\\r 50%%|###| {i + 1}/{len(images)} [00:01<00:00, 9.9it/s]", end="", file=sys.stderr)
        yield i, image.stem
def put(i, kind, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(answers / kind / f"{i}.json", target)
"""
_EXTRACT = """
parser.add_argument("path")
args = parser.parse_args()
for sub in args.subs:
    for i, stem in each(sorted(pathlib.Path(args.path, "images", sub).glob("*.jpg"))):
        put(i, "annots", pathlib.Path(args.path, "annots", sub, stem + ".json"))
"""
_EMC = """
args = parser.parse_args()
assert pathlib.Path(args.data).exists() and pathlib.Path(args.exp).exists()
images = sorted(pathlib.Path(args.root, "images", args.subs[0]).glob("*.jpg"))[slice(*args.ranges)]
cache = pathlib.Path(args.out, "pare"); cache.mkdir(parents=True, exist_ok=True)
for i, stem in each(images):
    if not (cache / stem).exists():
        print("PARE", stem, flush=True)
        (cache / stem).touch()
    if os.environ.get("FAIL_AT") == str(i):
        sys.exit("CUDA error: out of memory")
for i, image in enumerate(images):
    put(i, "smpl", pathlib.Path(args.out, "smpl", image.stem + ".json"))
"""


def write_easymocap(root: Path) -> tuple[Path, Path]:
    """A stand-in for the user's EasyMocap: its folder and its `emc`.

    It answers as the real one does: tqdm's bars, a file a picture, findings kept for each picture, SMPL without the
    root's zeros. What it was called with is in calls.jsonl.
    """
    for path in ("config/datasets/svimage.yml", "config/1v1p/hrnet_pare_finetune.yml"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("args: {}\n")
    for frame in range(FRAMES):
        people = person(body25(frame)), person(body25(frame, 35.0) * [1, 0.5, 1], 1)
        write(root / f"answers/annots/{frame}.json", annotation(frame, *people))
        write(root / f"answers/smpl/{frame}.json", [body(frame, full=False)])
    (root / "easymocap").mkdir()
    (root / "easymocap/__init__.py").touch()
    head = _PROGRAM % sys.executable
    extract, program = root / "apps/preprocess/extract_keypoints.py", root / "bin" / "emc"
    for path, code in ((extract, _EXTRACT), (program, _EMC)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head + code, encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return root, program
