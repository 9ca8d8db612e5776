"""Novel views of a real person: trained on one camera of the Pose2Sim recording, scored on all four.

    python benchmarks/pose2sim.py prepare FOLDER [--every 5] [-- overrides of preprocess]
    python train.py data=zju_mocap data.root=FOLDER/subjects/cam01 run_dir=RUN ...     (or cam01_assumed)
    python benchmarks/pose2sim.py score RUN [RUN ...] --prepared FOLDER --out FOLDER [-- overrides of the run]

`prepare` preprocesses each camera with its calibrated lens, and the first also with the focal length that is assumed
where nothing is known; triangulates BlazePose's points; and keeps in FOLDER/truth every n-th picture of each camera, on
black, with its mask. `score` needs that folder, the run and the run's subject, but neither the network nor a detector.

The avatar lives in the axes of the camera it was trained on, at a scale that one camera cannot know. One similarity
transform for the whole sequence, from the fitted joints onto the triangulated ones, places it among the four cameras;
what remains of pose, depth and timing shows as it is. Truth is what our own masks of the other cameras say.
"""

import argparse
import json
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

from benchmarks.multiview import Similarity, project, robust_similarity, similarity, triangulate
from benchmarks.qualisys import read_calibration
from hashhuman import pictures, run
from hashhuman.data.camera import Camera
from hashhuman.data.files import load_json, load_npz, read_image, save_json, save_npz, write_image
from hashhuman.data.subject import Subject
from hashhuman.metrics.image import mask_iou
from hashhuman.metrics.lpips import LPIPS, Net
from hashhuman.metrics.protocols import Comparison, Strict
from preprocess.raster import rasterise

ROOT = Path(__file__).resolve().parent.parent
TRAINED = "cam01"
ASSUMED = f"{TRAINED}_assumed"
JOINTS = tuple(f"{s}_{j}" for j in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for s in ("left", "right"))
LEAST_VISIBILITY = 0.3  # of a point that takes part in the triangulation
TOLERANCE = 0.06  # of the person's height in the picture: how far a point may be from its projection
HUBER = 0.03  # metres: joints within it count by their squared distance
SHOWN = ("psnr_full", "psnr_box", "ssim_box", "lpips_box", "mask_iou", "body_iou")
LEAST_JOINTS = 6  # that a frame must have to count in PA-MPJPE
COMPARISONS = 4  # of each camera


# ---------------------------------------------------------------------- prepare


def prepare(folder: Path, every: int, long_side: int, overrides: list[str]) -> None:
    """Makes FOLDER/subjects and FOLDER/truth."""
    from hashhuman.assets import fetch_all
    from preprocess.assets import POSE2SIM_CALIBRATION, POSE2SIM_VIDEOS
    from preprocess.video import decode  # here, since the machine that scores need not be able to decode videos

    *videos, file = fetch_all([*POSE2SIM_VIDEOS, POSE2SIM_CALIBRATION])
    calibration = {camera.name: camera for camera in read_calibration(file)}
    cameras = {}
    for video in videos:
        name = video.stem
        size = next(decode(video)).image.shape[:2]
        lens = calibration[name].letterboxed(*size)
        save_json(folder / f"lenses/{name}.json", {"K": lens.K.tolist(), "D": lens.D.tolist()})
        preprocess(video, folder, name, [f"preprocess.frames.camera='{folder / 'lenses' / name}.json'", *overrides])
        R, T = torch.from_numpy(lens.R).float(), torch.from_numpy(lens.T).float()
        camera = Subject(folder / "subjects" / name).camera(0)  # its K is that of the rectified pictures
        cameras[name] = Camera(camera.K, R, T, camera.height, camera.width)
    preprocess(next(v for v in videos if v.stem == TRAINED), folder, ASSUMED, overrides)

    truth = folder / "truth"
    save_joints(truth / "joints.npz", folder / "subjects", cameras)
    small = {}
    for name, camera in cameras.items():
        small[name] = save_views(truth, name, camera, Subject(folder / "subjects" / name), every, long_side)
    save_json(truth / "cameras.json", small)


def preprocess(video: Path, workspace: Path, subject: str, overrides: list[str]) -> None:
    """Runs what is not finished of all stages."""
    options = [f"video='{video.resolve()}'", f"workspace='{workspace}'", f"subject={subject}", *overrides]
    options = ["preprocess.frames.format=jpg", *options]  # the videos are compressed, and folders have to travel
    subprocess.run([sys.executable, "-m", "preprocess", *options], check=True, cwd=ROOT)


def save_joints(path: Path, subjects: Path, cameras: dict[str, Camera]) -> None:
    """Triangulates the points of all cameras, prints how well they agree, and writes JOINTS in the world (F, 12, 3)."""
    from preprocess.keypoints.points import NAMES, Keypoints, points_path

    found = [Keypoints.load(points_path(subjects / name)) for name in cameras]
    frames = found[0].frames
    if any(not np.array_equal(points.frames, frames) for points in found):
        raise ValueError("the cameras have different frames")
    pixels = np.stack([points.image_points for points in found]).astype(float)  # C, F, 33, 2
    weights = np.stack([p.visibility * p.detected[:, None] for p in found]).astype(float)
    weights[weights < LEAST_VISIBILITY] = 0
    tall = np.median(np.ptp(pixels[..., 1], axis=-1))
    P = np.stack([c.K.numpy() @ np.column_stack([c.R.numpy(), c.T.numpy()]) for c in cameras.values()]).astype(float)
    flat = pixels.reshape(len(P), -1, 2)
    points, inliers = triangulate(P, flat, weights.reshape(len(P), -1), TOLERANCE * tall)
    error = np.linalg.norm(project(P, points) - flat, axis=-1)
    report = {
        "person_px": float(tall),
        "points": _reprojection(error, inliers, weights.reshape(inliers.shape) > 0),
        "cameras": {name: float(np.median(error[i][inliers[i]])) for i, name in enumerate(cameras)},
    }
    columns = [NAMES.index(name) for name in JOINTS]
    points, inliers = (
        x.reshape(*x.shape[:-2], len(frames), len(NAMES), x.shape[-1]) for x in (points, inliers[..., None])
    )
    report["joints_found"] = float(np.isfinite(points[:, columns]).all(-1).mean())
    print(json.dumps(report, indent=1))
    save_json(path.with_name("reprojection.json"), report)
    save_npz(path, {"pictures": frames, "names": np.array(JOINTS), "joints": points[:, columns]})


def _reprojection(error: np.ndarray, inliers: np.ndarray, seen: np.ndarray) -> dict[str, float]:
    """Pixels from the projections: of the pixels that were used; and how many of those that could be were not."""
    used = error[inliers]
    quantiles = {f"p{q}": float(np.percentile(used, q)) for q in (50, 90, 99)}
    return {**quantiles, "rejected": float((seen & ~inliers).sum() / seen.sum())}


def save_views(folder: Path, name: str, camera: Camera, subject: Subject, every: int, long_side: int) -> dict[str, Any]:
    """Writes every n-th picture, on black, and its mask; returns the camera of what was written, as JSON."""
    scale = min(1.0, long_side / max(camera.height, camera.width))
    size = round(camera.width * scale), round(camera.height * scale)
    for picture in subject.pictures[::every]:
        mask = subject.mask(picture)
        image = subject.image(picture) * mask[..., None]
        for kind, values in (("images", image), ("mask", mask * 255)):
            small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
            write_image(folder / kind / name / f"{picture.frame:06d}.png", np.rint(small).astype(np.uint8))
    K = camera.K.numpy().astype(float)
    for axis, (new, old) in enumerate(zip(size, (camera.width, camera.height))):
        K[axis] *= new / old
        K[axis, 2] += 0.5 * new / old - 0.5
    R, T = camera.R.tolist(), camera.T.tolist()
    return {"K": K.tolist(), "R": R, "T": T, "height": size[1], "width": size[0]}


# ---------------------------------------------------------------------- score


def place(subject: Subject, truth: Path) -> tuple[Similarity, dict[str, float]]:
    """The transform from the subject's world to the recording's, and how well it fits, over frames and JOINTS (mm)."""
    fit, reference = load_npz(subject.root / "body_fit.npz"), load_npz(truth / "joints.npz")
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
    joints = {str(name): float(np.nanmean(error[:, i])) for i, name in enumerate(reference["names"])}
    report = {
        "scale": found.scale,
        "mean_mm": float(np.nanmean(error)),
        "median_mm": float(np.nanmedian(error)),
        "p90_mm": float(np.nanpercentile(error, 90)),
        "pa_mpjpe_mm": float(np.mean(aligned)),
        "joints_mm": joints,
    }
    return found, report


def video_picture(subject: Subject, frame: int) -> int:
    """Which picture of the video a frame of the subject is."""
    return subject.meta["video"]["pictures"][frame]


def seen_from(camera: Camera, world_from_subject: Similarity) -> Camera:
    """The camera in the subject's world: x_cam = R (s Q x + q) + T is, up to the factor s, (R Q) x + (R q + T) / s."""
    Q, q = (torch.from_numpy(x).float() for x in (world_from_subject.R, world_from_subject.t))
    T = (camera.R @ q + camera.T) / world_from_subject.scale
    return Camera(camera.K, camera.R @ Q, T, camera.height, camera.width)


def score(run_folder: Path, truth: Path, out: Path, net: Net, overrides: list[str]) -> dict[str, Any]:
    """Renders a run's avatar from every camera, compares, writes side-by-side pictures; the figures."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module, datamodule, _ = run.load(run_folder, OmegaConf.from_dotlist(overrides))
    avatar, subject = module.avatar.to(device), datamodule.subject
    protocol = Strict(LPIPS(net)).to(device)
    world_from_subject, placement = place(subject, truth)
    frames = {video_picture(subject, frame): frame for frame in subject.posed_frames}
    faces = subject.template().faces.numpy()
    views = {}
    for name, values in load_json(truth / "cameras.json").items():
        K, R, T = (torch.tensor(values[k]) for k in "KRT")
        camera = seen_from(Camera(K, R, T, values["height"], values["width"]), world_from_subject).to(device)
        paths = [p for p in sorted((truth / "images" / name).iterdir()) if int(p.stem) in frames]
        drawn = {paths[i * (len(paths) - 1) // (COMPARISONS - 1)] for i in range(COMPARISONS)}
        each = []
        for path in paths:
            frame = frames[int(path.stem)]
            time = datamodule.train_frames.index(frame) if frame in datamodule.train_frames else None
            rendered = avatar.render_image(camera, subject.pose(frame).to(device), time)
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
                title = f"{name} {path.stem}: LPIPS {figures['lpips_box']:.3f}, IoU {figures['mask_iou']:.3f}"
                page = pictures.comparison(rendered.rgb, image, (mask > 0) | (rendered.alpha > 0.5), title)
                write_image(out / "comparisons" / run_folder.name / f"{name}_{path.stem}.png", page)
        mean = {key: statistics.fmean(row[key] for row in each) for key in each[0] if key != "picture"}
        views[name] = {"pictures": len(each), "mean": mean, "each": each}
    columns = {
        **protocol.columns,
        "body_iou": "intersection over union of the fitted body without clothes and the mask",
    }
    return {
        "run": run_folder.name,
        "lens": "assumed" if subject.meta["video"]["focal_assumed"] else "calibrated",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "placement": placement,
        "columns": columns,
        "cameras": views,
    }


def table(reports: list[dict[str, Any]]) -> str:
    """Markdown tables: how each run's body is placed, and how it looks from each camera."""
    placement = ("scale", "mean_mm", "median_mm", "p90_mm", "pa_mpjpe_mm")
    lines = ["| run | lens | " + " | ".join(placement) + " |", "|" + "---|" * (len(placement) + 2)]
    for report in reports:
        figures = " | ".join(f"{report['placement'][k]:.{3 if k == 'scale' else 1}f}" for k in placement)
        lines.append(f"| {report['run']} | {report['lens']} | {figures} |")
    lines += ["", "| run | camera | " + " | ".join(SHOWN) + " |", "|" + "---|" * (len(SHOWN) + 2)]
    for report in reports:
        cameras = {name: view["mean"] for name, view in report["cameras"].items()}
        novel = [mean for name, mean in cameras.items() if name != TRAINED]
        cameras["novel views"] = {key: statistics.fmean(mean[key] for mean in novel) for key in SHOWN}
        for name, mean in cameras.items():
            label = f"{name} (trained on)" if name == TRAINED else name
            figures = " | ".join(f"{mean[c]:.{2 if c.startswith('psnr') else 4}f}" for c in SHOWN)
            lines.append(f"| {report['run']} | {label} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    making = commands.add_parser("prepare")
    making.add_argument("folder", type=Path)
    making.add_argument("--every", type=int, default=5, help="keep every n-th picture to compare with")
    making.add_argument("--long-side", type=int, default=640, help="of these pictures (pixels)")
    scoring = commands.add_parser("score")
    scoring.add_argument("runs", nargs="+", type=Path)
    scoring.add_argument("--prepared", type=Path, required=True)
    scoring.add_argument("--out", type=Path, required=True)
    scoring.add_argument("--lpips", choices=("vgg", "alex"), default="vgg")
    known, overrides = sys.argv[1:], []
    if "--" in known:
        cut = known.index("--")
        known, overrides = known[:cut], known[cut + 1 :]
    arguments = parser.parse_args(known)
    if arguments.command == "prepare":
        prepare(arguments.folder.resolve(), arguments.every, arguments.long_side, overrides)
        return
    truth, out = arguments.prepared / "truth", arguments.out
    reports = [score(folder, truth, out, arguments.lpips, overrides) for folder in arguments.runs]
    save_json(out / "pose2sim.json", reports)
    text = f"{reports[0]['device']}\n\n{table(reports)}\n"
    (out / "pose2sim.md").write_text(text)
    print(f"\n{text}")


if __name__ == "__main__":
    main()
