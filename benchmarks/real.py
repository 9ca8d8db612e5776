"""Measures an avatar made from a video's pixels alone against the true pictures and masks.

    python benchmarks/real.py prepare SCENE ... --workspace FOLDER [-- overrides of preprocess]
    python benchmarks/real.py inputs SCENE ... --workspace FOLDER [--label NAME]
    python benchmarks/real.py score SCENE ... --workspace FOLDER [--label NAME] [--runs FOLDER] [-- overrides of train]
    python benchmarks/real.py views SCENE ... --workspace FOLDER --runs FOLDER [--label NAME] [--sheets FOLDER]

A scene is a folder NAME in the ZJU-MoCap layout that also holds videos/NAME.mp4: what its first camera filmed, one
picture for each frame, with a background. `prepare` makes FOLDER/subjects/NAME from the video. `score` trains on that
subject, holds every tenth frame out, renders these frames, and compares them with the scene's own pictures and masks by
`metrics=strict`. Training sees only the video, which is compressed. With `eval.fit_poses=true` the columns `_fitted`
have the same after each picture's pose was fitted to the video's picture, the avatar as it is. `--runs` keeps the run
folders, as FOLDER/NAME, for `views`, refined_masks.py and wisps.py.

`views` renders the avatars of kept runs from the scene's other cameras, where it has true pictures: make_scene.py
writes every tenth frame (0, 10, ...), which are training frames of the first camera. placing.py says how an avatar gets
among the cameras: by one similarity transform for the whole sequence, from its joints, in the poses that are rendered,
to the true ones. `scale` is that transform's, and `joints_mm` the mean distance that is left. Training frames have
refined poses, if the run refined them. `--sheets` writes a picture of each camera beside the true one.

A scene may hold a part of its true pictures only; the others are then not compared, and `pictures` says how many were.

`inputs` shows what training is given, over all frames of the video: `mask_iou` and `mask_mae` compare the subject's
masks with the true coverage (MAE over the true mask's box), `psnr_box` the video's pictures, multiplied by these masks,
with the true ones. masks.py also takes away what the plate shows, as training does. body_fit.py measures the poses.

Rows are kept in results/real_DEVICE.json, from which results/real_DEVICE.md is written.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.overrides import cut  # noqa: E402
from benchmarks.placing import named_joints, placement, seen_from, true_joints  # noqa: E402
from benchmarks.speed import METRICS_ALONE, surroundings, train_here  # noqa: E402
from benchmarks.tables import Book, Row, reproducible  # noqa: E402
from hashhuman.data.subject import Subject  # noqa: E402
from hashhuman.errors import UserError  # noqa: E402
from hashhuman.evaluation.drawing import side_by_side  # noqa: E402
from hashhuman.evaluation.images import FITTED  # noqa: E402
from hashhuman.evaluation.metrics.image import bounding_box, mask_iou, psnr  # noqa: E402
from hashhuman.evaluation.metrics.lpips import LPIPS  # noqa: E402
from hashhuman.evaluation.metrics.protocols import Comparison, Strict  # noqa: E402
from hashhuman.io.files import read_image, write_image  # noqa: E402
from hashhuman.training import run  # noqa: E402

TITLES = {
    "inputs": "Masks and cut-out pictures that training is given, against the truth",
    "score": "Held-out frames of the filmed camera, against the true pictures",
    "views": "Other cameras, after one similarity transform of the joints, against the true pictures",
}
TRAINING = (
    "data.holdout_every=10",
    "eval.splits=[heldout]",
    *METRICS_ALONE,
    "eval.products.images.pictures=all",
    "metrics.lpips=null",  # the run compares with the video; the true pictures are compared here
)
SHOWN = ("psnr_full", "psnr_box", "ssim_box", "lpips_alex_box", "mask_iou")


def prepare(scene: Path, workspace: Path, overrides: Iterable[str]) -> None:
    """Makes the subject from the scene's video; finished stages are skipped."""
    line = [sys.executable, "-m", "preprocess", f"video='{video(scene)}'", f"workspace='{workspace}'"]
    subprocess.run([*line, f"subject={scene.name}", *overrides], check=True, cwd=ROOT, env=surroundings(ROOT))


def video(scene: Path) -> Path:
    """The video of the scene's first camera."""
    return scene / "videos" / f"{scene.name}.mp4"


def score(scene: Path, subject: Path, label: str, overrides: Iterable[str], runs: Path | None = None) -> Row:
    """Trains on a subject, and compares its held-out pictures with the truth. Keeps the run in `runs`, if given."""
    with tempfile.TemporaryDirectory() as temporary:
        run = (runs or Path(temporary)) / scene.name
        trained = train_here(subject, [*TRAINING, *overrides], run)
        row: Row = {"scene": scene.name, "label": label, "device": device()}
        row |= {"steps": trained["steps"], "train_s": trained["train_s"], "peak_gib": trained["peak_gib"]}
        return row | rendered(scene, Subject(subject), run / "evaluation")


def rendered(scene: Path, subject: Subject, folder: Path) -> Row:
    """Means of the strict metrics over the pictures that a run rendered, and of those in fitted poses."""
    row = means(scene, subject, folder)
    fitted = means(scene, subject, folder, FITTED) if (folder / f"images{FITTED}").exists() else {}
    return row | {f"{name}{FITTED}": fitted[name] for name in SHOWN if fitted}


def means(scene: Path, subject: Subject, folder: Path, suffix: str = "") -> Row:
    """Means of the strict metrics over a run's pictures in the folders whose names have this suffix."""
    protocol = Strict(LPIPS("alex"))
    each = []
    for path in sorted((folder / f"images{suffix}").glob("*/*.png")):
        frame = int(path.stem)
        if not has_truth(scene, subject, frame):
            continue
        rgb, alpha = (unit(folder / f"{kind}{suffix}" / path.parent.name / path.name) for kind in ("images", "mask"))
        truth, mask = true_picture(scene, subject, frame)
        vertices = torch.from_numpy(subject.vertices(frame))
        each.append(protocol(Comparison(rgb, alpha, truth, mask, subject.camera(0), vertices)))
    return {"pictures": len(each)} | {name: statistics.fmean(row[name] for row in each) for name in SHOWN}


def views(scene: Path, subject: Path, folder: Path, label: str, sheets: Path | None = None) -> Row:
    """Compares the avatar of the run in `folder` with the true pictures of all cameras but the first.

    Raises:
        UserError: if the scene has no such pictures, or the folder is not a run of this subject.
    """
    module, data, _ = run.load(folder, OmegaConf.create({"data": {"root": str(subject)}}))
    target = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    avatar, protocol, truth = module.avatar.to(target), Strict(LPIPS("alex")).to(target), Subject(scene)
    frames = {data.subject.meta["video"]["pictures"][frame]: frame for frame in data.subject.posed_frames}
    pictures = [picture for picture in truth.pictures if picture.camera > 0 and picture.frame in frames]
    if not pictures:
        raise UserError(f"{scene} has no true pictures of other cameras: make it with make_scene.py --views 6 --video.")
    poses = {
        number: avatar.refined_pose(data.subject.pose(frame).to(target), frame) for number, frame in frames.items()
    }
    true = {name: positions[list(poses)] for name, positions in true_joints(scene).items()}
    world_from_subject, distance = placement(named_joints(data.subject.template(), list(poses.values())), true)
    shown = {picture.camera: picture for picture in pictures}  # the last one of each camera
    figures = []
    for picture in pictures:
        frame, camera = frames[picture.frame], seen_from(truth.camera(picture.camera), world_from_subject).to(target)
        time = data.train_frames.index(frame) if frame in data.train_frames else None
        rendered = avatar.render_image(camera, poses[picture.frame], time)
        rgb, mask = (unit(path).to(target) for path in (picture.image, mask_of(picture.image)))
        vertices = torch.from_numpy(data.subject.vertices(frame)).to(target)
        comparison = Comparison(rendered.rgb, rendered.alpha, rgb, mask, camera, vertices)
        figures.append(protocol(comparison))
        if sheets and picture is shown[picture.camera]:
            name = f"{scene.name}/{truth.camera_names[picture.camera]}_{picture.frame:06d}"
            write_image(sheets / f"{name}.png", drawn(comparison, figures[-1], name))
    row: Row = {"scene": scene.name, "label": label, "device": device(), "cameras": len(shown)}
    row |= {"pictures": len(figures), "scale": world_from_subject.scale, "joints_mm": 1000 * distance}
    return row | {name: statistics.fmean(each[name] for each in figures) for name in SHOWN}


def mask_of(image: Path) -> Path:
    """The file of the true coverage of a scene's picture images/CC/FFFFFF.png."""
    return image.parents[2] / "mask" / image.parent.name / image.name


def drawn(comparison: Comparison, figures: Mapping[str, float], name: str) -> np.ndarray:
    """The true picture, the rendered one and the errors side by side."""
    title = f"{name}: PSNR {figures['psnr_box']:.2f} dB, mask IoU {figures['mask_iou']:.3f}"
    covered = (comparison.mask > 0) | (comparison.alpha > 0.5)
    return side_by_side(comparison.rgb, comparison.truth, covered, title)


def inputs(scene: Path, folder: Path, label: str) -> Row:
    """How far a subject's masks, and the pictures cut out with them, are from the truth."""
    subject, each = Subject(folder), []
    for picture in subject.pictures:
        if not has_truth(scene, subject, picture.frame):
            continue
        truth, mask = true_picture(scene, subject, picture.frame)
        alpha = torch.from_numpy(subject.mask(picture)).float()
        image = torch.from_numpy(subject.image(picture)).float() / 255
        box = bounding_box(mask > 0, margin=10)
        each.append(
            {
                "mask_iou": mask_iou(alpha > 0.5, mask > 0.5),
                "mask_mae": float((alpha - mask)[box].abs().mean()),
                "psnr_box": psnr((image * alpha[..., None])[box], truth[box]),
            }
        )
    row: Row = {"scene": scene.name, "label": label, "device": device(), "pictures": len(each)}
    return row | {name: statistics.fmean(row[name] for row in each) for name in each[0]}


def true_picture(scene: Path, subject: Subject, frame: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The true picture on black (H, W, 3) and coverage (H, W) of a subject's frame, float32 in [0, 1]."""
    return unit(true_path(scene, "images", subject, frame)), unit(true_path(scene, "mask", subject, frame))


def has_truth(scene: Path, subject: Subject, frame: int) -> bool:
    """Whether the scene holds the true picture of a subject's frame."""
    return true_path(scene, "images", subject, frame).exists()


def true_path(scene: Path, kind: str, subject: Subject, frame: int) -> Path:
    """The file of a true picture (`images`) or coverage (`mask`)."""
    return scene / kind / "00" / f"{subject.meta['video']['pictures'][frame]:06d}.png"


def unit(path: Path) -> torch.Tensor:
    """An 8-bit picture as float32 in [0, 1]."""
    return torch.from_numpy(read_image(path)).float() / 255


def main() -> None:
    """Prepares or scores all scenes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("prepare", *TITLES))
    parser.add_argument("scenes", nargs="+", type=lambda text: Path(text).resolve())
    parser.add_argument("--workspace", type=lambda text: Path(text).resolve(), required=True)
    parser.add_argument("--label", default="default", help="what the rows are called")
    parser.add_argument(
        "--runs", type=lambda text: Path(text).resolve(), help="keep the run folders here, or find them"
    )
    parser.add_argument("--sheets", type=Path, help="write pictures of `views` here")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
    known, overrides = cut(sys.argv[1:])
    arguments = parser.parse_args(known)
    if arguments.part == "views" and arguments.runs is None:
        parser.error("views needs --runs, the folder in which `score` kept the runs")
    if overrides and arguments.part in ("inputs", "views"):
        parser.error(f"{arguments.part} trains nothing: leave out what stands after --")
    rows = []
    for scene in arguments.scenes:
        subject = arguments.workspace / "subjects" / scene.name
        if arguments.part == "prepare":
            prepare(scene, arguments.workspace, overrides)
        elif arguments.part == "inputs":
            rows.append(inputs(scene, subject, arguments.label))
        elif arguments.part == "views":
            rows.append(views(scene, subject, arguments.runs / scene.name, arguments.label, arguments.sheets))
            print(rows[-1], file=sys.stderr, flush=True)
        else:
            rows.append(score(scene, subject, arguments.label, overrides, arguments.runs))
            print(rows[-1], file=sys.stderr, flush=True)
    if rows:
        print(Book("real", TITLES, arguments.results).keep(arguments.part, reproducible(sys.argv[1:]), rows))


def device() -> str:
    """The name of the device that trains."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()
