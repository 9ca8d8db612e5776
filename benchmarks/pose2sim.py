"""Evaluates novel views of a real person: trains on one camera of Pose2Sim's multi-camera video, scores all four.

    python benchmarks/pose2sim.py prepare FOLDER [--every 10] [-- overrides of preprocess]
    python benchmarks/pose2sim.py fits FOLDER
    python train.py data=zju_mocap data.root=FOLDER/subjects/cam01 run_dir=RUN ...     (or cam01_assumed)
    python benchmarks/pose2sim.py score RUN [RUN ...] --prepared FOLDER --out FOLDER [-- overrides of the run]

`prepare` preprocesses each camera with its calibrated lens, and the first one also with the focal length that is
assumed without a calibration. It triangulates BlazePose's points, and keeps every n-th picture of each camera on black
with its mask in FOLDER/truth. `score` needs that folder, the run and its subject, but neither a network nor a detector.

`fits` compares the bodies of the first camera, fitted with either lens, with the triangulated joints and with the
network's masks.

The avatar is in the axes of the camera it was trained on, at a scale that one camera cannot determine. One similarity
transform for the whole sequence, from the fitted joints to the triangulated ones, places it among the four cameras.
Poses are shown as the run has refined them. Remaining errors of pose and depth are part of the result. The true masks
are those of our own segmentation.

The cameras were rotated after their calibration: background points that all of them see disagree by 11 pixels of 1920,
and BlazePose's points by 12. `calibrated` uses the cameras as in the file. `refined` rotates each camera about its
centre until BlazePose's points agree best (6 and 6 pixels).
"""

import argparse
import dataclasses
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from omegaconf import OmegaConf

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.overrides import cut
from benchmarks.placing import seen_from
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.evaluation import drawing
from hashhuman.evaluation.metrics.image import mask_iou
from hashhuman.evaluation.metrics.lpips import LPIPS, Net
from hashhuman.evaluation.metrics.protocols import Comparison, Strict
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import load_json, load_npz, read_image, save_json, save_npz, write_image
from hashhuman.training import run
from preprocess.calibration.cameras import Calibration
from preprocess.calibration.qualisys import read_qualisys
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.multiview.triangulation import (
    Similarity,
    project,
    refine_rotations,
    robust_similarity,
    rotated_cameras,
    similarity,
    triangulate,
)
from preprocess.raster import rasterise
from preprocess.skeleton import NAMES

ROOT = Path(__file__).resolve().parent.parent
TRAINED = "cam01"
ASSUMED = f"{TRAINED}_assumed"
JOINTS = tuple(f"{s}_{j}" for j in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for s in ("left", "right"))
CAMERAS = ("calibrated", "refined")
LEAST_VISIBILITY = 0.3  # the least visibility of a point that is triangulated
NOISE = 0.01  # standard deviation of the network's points, as a share of the person's height in the picture
TOLERANCE = 0.06  # the largest reprojection error of a point, as a share of the person's height in the picture
HUBER = 0.03  # metres; joints within this distance count by their squared distance
SHOWN = ("psnr_full", "psnr_box", "ssim_box", "lpips_{net}_box", "mask_iou", "body_iou")  # {net}: LPIPS's network
LEAST_JOINTS = 6  # the least joints of a frame that counts in PA-MPJPE
COMPARISONS = 4  # side-by-side pictures of each camera


# ---------------------------------------------------------------------- prepare


def prepare(folder: Path, every: int, long_side: int, overrides: list[str]) -> None:
    """Makes FOLDER/subjects and FOLDER/truth."""
    from hashhuman.io.assets import fetch_all
    from preprocess.assets import POSE2SIM_CALIBRATION, POSE2SIM_VIDEOS
    from preprocess.frames.decode import decode  # here, since scoring must work without video decoding

    *videos, file = fetch_all([*POSE2SIM_VIDEOS, POSE2SIM_CALIBRATION])
    calibration = read_qualisys(file)
    cameras = {}
    for video in videos:
        name = video.stem
        size = next(decode(video)).image.shape[:2]
        lens = letterboxed(calibration[name], *size)
        save_json(folder / f"lenses/{name}.json", {"K": lens.K.tolist(), "D": lens.D.tolist()})
        preprocess(video, folder, name, [f"preprocess.frames.camera='{folder / 'lenses' / name}.json'", *overrides])
        R, T = torch.from_numpy(lens.R).float(), torch.from_numpy(lens.T).float()
        camera = Subject(folder / "subjects" / name).camera(0)  # K of the rectified pictures
        cameras[name] = Camera(camera.K, R, T, camera.height, camera.width)
    preprocess(next(v for v in videos if v.stem == TRAINED), folder, ASSUMED, overrides)
    save_truth(folder / "truth", folder / "subjects", cameras, every, long_side)


def letterboxed(camera: Calibration, height: int, width: int) -> Calibration:
    """The camera of pictures that were scaled to a width and padded with black rows above and below to a height.

    Raises:
        UserError: if the scaled picture is higher than `height`.
    """
    assert camera.size is not None  # Qualisys' files have it
    rows, columns = camera.size
    above = round((height - rows * width / columns) / 2)
    if above < 0:
        raise UserError(f"{camera.name} was calibrated at {columns} x {rows}, not {width} x {height}.")
    K = camera.K.copy()
    K[:2] *= width / columns
    K[:2, 2] += 0.5 * width / columns - 0.5
    K[1, 2] += above
    return dataclasses.replace(camera, K=K, size=(height, width))


def preprocess(video: Path, workspace: Path, subject: str, overrides: list[str]) -> None:
    """Runs all stages that are not finished."""
    options = [f"video='{video.resolve()}'", f"workspace='{workspace}'", f"subject={subject}", *overrides]
    options = ["preprocess.frames.format=jpg", *options]  # small files suffice, since the videos are compressed
    subprocess.run([sys.executable, "-m", "preprocess", *options], check=True, cwd=ROOT)


def save_truth(truth: Path, subjects: Path, cameras: dict[str, Camera], every: int, long_side: int) -> None:
    """Writes the truth for `score`: for each of CAMERAS, the cameras and the JOINTS (F, 12, 3) in their world (m).

    Also writes every n-th picture, and prints how well the cameras agree on BlazePose's points.
    """
    shutil.rmtree(truth, ignore_errors=True)  # pictures of an earlier run may show other frames
    frames, pixels, weights = read_points(subjects, list(cameras))
    tall = float(np.median(np.ptp(pixels[..., 1], axis=-1)))
    flat, seen = pixels.reshape(len(cameras), -1, 2), weights.reshape(len(cameras), -1)
    P = np.stack([c.K.numpy() @ np.column_stack([c.R.numpy(), c.T.numpy()]) for c in cameras.values()]).astype(float)
    turns = refine_rotations(P, flat, seen, NOISE * tall)
    sets: dict[str, Any] = {}
    report: dict[str, Any] = {"person_px": tall}
    for kind, moved in zip(CAMERAS, (P, rotated_cameras(P, turns))):
        points, inliers = triangulate(moved, flat, seen, TOLERANCE * tall)
        error = np.linalg.norm(project(moved, points) - flat, axis=-1)
        report[kind] = {f"p{q}_px": float(np.percentile(error[inliers], q)) for q in (50, 90, 99)}
        report[kind] |= {"rejected": float((~inliers & (seen > 0)).sum() / (seen > 0).sum())}
        report[kind] |= {name: float(np.median(error[i][inliers[i]])) for i, name in enumerate(cameras)}
        joints = points.reshape(len(frames), -1, 3)[:, [NAMES.index(name) for name in JOINTS]]
        save_npz(truth / f"joints_{kind}.npz", {"pictures": frames, "names": np.array(JOINTS), "joints": joints})
        sets[kind] = {}
        for (name, camera), matrix in zip(cameras.items(), moved):
            pose = torch.from_numpy(np.linalg.solve(camera.K.numpy().astype(float), matrix)).float()
            placed = dataclasses.replace(camera, R=pose[:, :3], T=pose[:, 3])
            sets[kind][name] = as_json(shrunk(placed, long_side))
    report["turned_degrees"] = {name: float(np.degrees(np.linalg.norm(turn))) for name, turn in zip(cameras, turns)}
    for name in cameras:
        save_pictures(truth, name, Subject(subjects / name), every, sets["refined"][name])
    save_json(truth / "cameras.json", sets)
    save_json(truth / "reprojection.json", report)
    print(json.dumps(report, indent=1))


def read_points(subjects: Path, names: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames (F,), BlazePose's points (C, F, 33, 2) in pixels, and weights (C, F, 33), 0 for invisible points."""
    found = [Keypoints.load(points_path(subjects / name)) for name in names]
    if any(not np.array_equal(points.frames, found[0].frames) for points in found):
        raise UserError(f"the cameras in {subjects} have different frames: preprocess all of each video.")
    weights = np.stack([points.visibility * points.detected[:, None] for points in found]).astype(float)
    pixels = np.stack([points.image_points for points in found]).astype(float)
    return found[0].frames, pixels, np.where(weights < LEAST_VISIBILITY, 0, weights)


def shrunk(camera: Camera, long_side: int) -> Camera:
    """The camera of pictures scaled down to a long side. Rounding may scale width and height slightly differently."""
    scale = min(1.0, long_side / max(camera.height, camera.width))
    height, width = round(camera.height * scale), round(camera.width * scale)
    K = camera.K.clone()
    for axis, ratio in enumerate((width / camera.width, height / camera.height)):
        K[axis] *= ratio
        K[axis, 2] += 0.5 * ratio - 0.5
    return Camera(K, camera.R, camera.T, height, width)


def save_pictures(folder: Path, name: str, subject: Subject, every: int, camera: dict[str, Any]) -> None:
    """Writes every n-th picture, on black, and its mask, at a camera's size."""
    for picture in subject.pictures[::every]:
        mask = subject.mask(picture)
        for kind, values in (("images", subject.image(picture) * mask[..., None]), ("mask", mask * 255)):
            small = cv2.resize(values, (camera["width"], camera["height"]), interpolation=cv2.INTER_AREA)
            write_image(folder / kind / name / f"{picture.frame:06d}.png", np.rint(small).astype(np.uint8))


def as_json(camera: Camera) -> dict[str, Any]:
    """A camera's fields as numbers and lists."""
    fields = {field.name: getattr(camera, field.name) for field in dataclasses.fields(camera)}
    return {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in fields.items()}


def from_json(fields: dict[str, Any]) -> Camera:
    """The camera that `as_json` describes."""
    K, R, T = (torch.tensor(fields[name]) for name in "KRT")
    return Camera(K, R, T, fields["height"], fields["width"])


# ---------------------------------------------------------------------- score


def place(subject: Subject, joints: Path) -> tuple[Similarity, dict[str, Any]]:
    """The transform from the subject's world to the four cameras' world, and its errors over frames and JOINTS (mm)."""
    fit, reference = load_npz(subject.root / "body_fit.npz"), load_npz(joints)
    rows = [int(np.flatnonzero(reference["pictures"] == video_picture(subject, f))[0]) for f in fit["frames"].tolist()]
    names = fit["joint_names"].tolist()
    x = fit["joints"][:, [names.index(name) for name in reference["names"].tolist()]].astype(float)
    y = reference["joints"][rows]
    known = np.asarray(np.isfinite(y).all(-1))
    found = robust_similarity(x[known], y[known], HUBER)
    error = np.linalg.norm(found(x) - y, axis=-1) * 1000
    aligned = []
    for a, b in ((x[row][known[row]], y[row][known[row]]) for row in range(len(y)) if known[row].sum() >= LEAST_JOINTS):
        aligned.append(np.linalg.norm(similarity(a, b)(a) - b, axis=-1).mean() * 1000)
    by_joint = {str(name): float(np.nanmean(error[:, i])) for i, name in enumerate(reference["names"])}
    report = {
        "scale": found.scale,
        "mean_mm": float(np.nanmean(error)),
        "median_mm": float(np.nanmedian(error)),
        "p90_mm": float(np.nanpercentile(error, 90)),
        "pa_mpjpe_mm": float(np.mean(aligned)),
        "joints_mm": by_joint,
    }
    return found, report


def video_picture(subject: Subject, frame: int) -> int:
    """The index in the video of a frame of the subject."""
    return subject.meta["video"]["pictures"][frame]


def score(run_folder: Path, truth: Path, kind: str, out: Path, net: Net, overrides: list[str]) -> dict[str, Any]:
    """Renders a run's avatar from every camera, writes side-by-side pictures, and returns the metrics.

    `kind` is one of CAMERAS.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module, datamodule, _ = run.load(run_folder, OmegaConf.from_dotlist(overrides))
    avatar, subject = module.avatar.to(device), datamodule.subject
    protocol = Strict(LPIPS(net)).to(device)
    world_from_subject, placement = place(subject, truth / f"joints_{kind}.npz")
    frames = {video_picture(subject, frame): frame for frame in subject.posed_frames}
    faces = subject.template().faces.numpy()
    views = {}
    for name, values in load_json(truth / "cameras.json")[kind].items():
        camera = seen_from(from_json(values), world_from_subject).to(device)
        paths = [p for p in sorted((truth / "images" / name).iterdir()) if int(p.stem) in frames]
        drawn = {paths[i * (len(paths) - 1) // (COMPARISONS - 1)] for i in range(COMPARISONS)}
        each = []
        for path in paths:
            frame = frames[int(path.stem)]
            time = datamodule.train_frames.index(frame) if frame in datamodule.train_frames else None
            pose = avatar.refined_pose(subject.pose(frame).to(device), frame)
            rendered = avatar.render_image(camera, pose, time)
            image, mask = (
                torch.from_numpy(read_image(truth / kind / name / path.name)).float().to(device) / 255
                for kind in ("images", "mask")
            )
            vertices = torch.from_numpy(subject.vertices(frame)).to(device)
            figures = protocol(Comparison(rendered.rgb, rendered.alpha, image, mask, camera, vertices))
            projected = camera.project(vertices).cpu().numpy()
            body = torch.from_numpy(rasterise(projected, faces, camera.height, camera.width) >= 0)
            figures["body_iou"] = mask_iou(body, mask.cpu() > 0.5)
            each.append({"picture": path.stem, **figures})
            if path in drawn:
                title = f"{name} {path.stem}: LPIPS {figures[f'lpips_{net}_box']:.3f}, IoU {figures['mask_iou']:.3f}"
                page = drawing.side_by_side(rendered.rgb, image, (mask > 0) | (rendered.alpha > 0.5), title)
                write_image(out / f"comparisons_{kind}" / run_folder.name / f"{name}_{path.stem}.png", page)
        mean = {key: statistics.fmean(row[key] for row in each) for key in each[0] if key != "picture"}
        views[name] = {"pictures": len(each), "mean": mean, "each": each}
    columns = {
        **protocol.columns,
        "body_iou": "intersection over union of the fitted body without clothes and the mask",
    }
    return {
        "run": run_folder.name,
        "lens": "assumed" if subject.meta["video"]["focal_assumed"] else "known",
        "cameras": kind,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "placement": placement,
        "columns": columns,
        "views": views,
    }


def fits(prepared: Path) -> str:
    """A markdown table of the errors of the bodies that were fitted to one camera, before training."""
    heads = ("run", "lens", "cameras", "mean_mm", "pa_mpjpe_mm", "body_iou", "points_px")
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, lens in ((TRAINED, "known"), (ASSUMED, "assumed")):
        subject = Subject(prepared / "subjects" / name)
        fit = load_npz(subject.root / "body_fit.npz")
        overlap, pixels = np.nanmean(fit["silhouette_iou"]), np.nanmedian(fit["reprojection_error"])
        for kind in CAMERAS:
            _, report = place(subject, prepared / f"truth/joints_{kind}.npz")
            figures = f"{report['mean_mm']:.1f} | {report['pa_mpjpe_mm']:.1f} | {overlap:.3f} | {pixels:.1f}"
            lines.append(f"| {name} | {lens} | {kind} | {figures} |")
    return "\n".join(lines)


def table(reports: list[dict[str, Any]], net: Net) -> str:
    """Markdown tables with the placement of each run's body and the metrics from each camera, with LPIPS of `net`."""
    shown = [column.format(net=net) for column in SHOWN]
    placement = ("scale", "mean_mm", "median_mm", "p90_mm", "pa_mpjpe_mm")
    lines = ["| run | lens | cameras | " + " | ".join(placement) + " |", "|" + "---|" * (len(placement) + 3)]
    for report in reports:
        figures = " | ".join(f"{report['placement'][k]:.{3 if k == 'scale' else 1}f}" for k in placement)
        lines.append(f"| {report['run']} | {report['lens']} | {report['cameras']} | {figures} |")
    lines += ["", "| run | lens | cameras | view | " + " | ".join(shown) + " |", "|" + "---|" * (len(shown) + 4)]
    for report in reports:
        means = {name: view["mean"] for name, view in report["views"].items()}
        novel = [mean for name, mean in means.items() if name != TRAINED]
        means["novel views"] = {key: statistics.fmean(mean[key] for mean in novel) for key in shown}
        for name, mean in means.items():
            label = f"{name}, trained on" if name == TRAINED else name
            figures = " | ".join(f"{mean[c]:.{2 if c.startswith('psnr') else 4}f}" for c in shown)
            lines.append(f"| {report['run']} | {report['lens']} | {report['cameras']} | {label} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    making = commands.add_parser("prepare")
    making.add_argument("folder", type=Path)
    making.add_argument("--every", type=int, default=10, help="keep every n-th picture to compare with")
    making.add_argument("--long-side", type=int, default=640, help="long side of these pictures (pixels)")
    fitted = commands.add_parser("fits")
    fitted.add_argument("prepared", type=Path)
    scoring = commands.add_parser("score")
    scoring.add_argument("runs", nargs="+", type=Path)
    scoring.add_argument("--prepared", type=Path, required=True)
    scoring.add_argument("--out", type=Path, required=True)
    scoring.add_argument("--lpips", choices=("vgg", "alex"), default="vgg")
    known, overrides = cut(sys.argv[1:])
    arguments = parser.parse_args(known)
    if arguments.command == "prepare":
        prepare(arguments.folder.resolve(), arguments.every, arguments.long_side, overrides)
        return
    if arguments.command == "fits":
        print(fits(arguments.prepared))
        return
    truth, out = arguments.prepared / "truth", arguments.out
    reports = [
        score(folder, truth, kind, out, arguments.lpips, overrides) for folder in arguments.runs for kind in CAMERAS
    ]
    save_json(out / "pose2sim.json", reports)
    text = f"{reports[0]['device']}\n\n{table(reports, arguments.lpips)}\n"
    (out / "pose2sim.md").write_text(text)
    print(f"\n{text}")


if __name__ == "__main__":
    main()
