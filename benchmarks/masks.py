"""Preprocesses videos of ground-truth scenes and compares masks and part labels with the truth.

    python benchmarks/masks.py SCENE [SCENE ...] [--root FOLDER] [--out FILE.json] [-- overrides of preprocess]

A scene is a folder in the ZJU-MoCap layout with exact masks and bodies, and the video of camera 0 in videos/. Subjects
are kept in FOLDER/subjects, so that a second run only compares. Masks are compared at half coverage. Part labels are
compared with those of the exact body, extended over the exact mask, in the intersection of both masks. Edges: error of
the coverage, per pixel of the mask. Cut and exact_cut: PSNR between the scene's true pictures and the video's, cut out
as training does with our masks, and with the exact ones on the same plate (all in the box around the exact mask and 10
pixels more).
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.overrides import cut
from hashhuman.data import lip
from hashhuman.data.datamodule import unmix
from hashhuman.data.subject import Subject
from hashhuman.io.files import read_image
from preprocess.frames.decode import subject_name
from preprocess.keypoints.points import segmentation_folder
from preprocess.masks.parts import PartRenderer, spread_classes

COLUMNS = ("iou", "worst", "network_iou", "edges", "cut", "exact_cut", "parts", *lip.PART_CLASSES)


def preprocess(video: Path, root: Path, overrides: list[str]) -> Path:
    """Runs the stages up to the masks. Returns the subject folder."""
    command = [sys.executable, "-m", "preprocess", f"video='{video}'", f"workspace='{root}'", *overrides]
    subprocess.run(command, check=True, cwd=Path(__file__).parent.parent)
    return root / "subjects" / subject_name(str(video))


def compare(folder: Path, scene_folder: Path) -> dict:
    """The figures of a scene."""
    subject, scene = Subject(folder), Subject(scene_folder)
    truth = {picture.frame: picture for picture in scene.pictures if picture.camera == 0}
    numbers = subject.meta["video"]["pictures"]
    render, camera = PartRenderer(scene.template()), scene.camera(0)
    rows = []
    for picture in subject.pictures:
        real = truth[numbers[picture.frame]]
        mask, exact = subject.mask(picture), scene.mask(real)
        network = read_image(segmentation_folder(folder) / f"{picture.frame:06d}.png")
        solid, needed = mask > 0.5, exact > 0.5
        labels = spread_classes(render(camera, scene.vertices(real.frame)), needed)
        found, both = subject.parts(picture), solid & needed
        row = {"iou": iou(solid, needed), "network_iou": iou(network > 127, needed)}
        row |= {"edges": np.abs(mask - exact).sum() / needed.sum(), "parts": (found == labels)[both].mean()}
        plate = subject.plate(picture.camera)
        for name, alpha in (("cut", mask), ("exact_cut", exact)):
            row[name] = psnr_in_box(cut_out(subject.image(picture), alpha, plate), scene.image(real), exact)
        for part, classes in lip.PART_CLASSES.items():
            row[part] = iou(np.isin(found, classes) & both, np.isin(labels, classes) & both)
        rows.append(row)
    means = {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}
    return {"scene": scene_folder.name, "worst": min(float(row["iou"]) for row in rows), **means}


def cut_out(image: np.ndarray, mask: np.ndarray, plate: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    """The 8-bit picture's person on black in [0, 1], as training sees it; see `SubjectDataModule.masked`."""
    color = image.astype(np.float32) / 255
    return color * mask[..., None] if plate is None else unmix(color, mask, *plate)


def psnr_in_box(found: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """PSNR between a picture in [0, 1] and an 8-bit one, around the mask."""
    rows, columns = (np.flatnonzero((mask > 0).any(axis)) for axis in (1, 0))
    box = tuple(slice(max(0, at[0] - 10), at[-1] + 11) for at in (rows, columns))
    return float(-10 * np.log10(np.square(found[box] - truth[box].astype(np.float32) / 255).mean()))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks; NaN if both are empty."""
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else float("nan")


def table(rows: list[dict]) -> str:
    """A markdown table with a row for each scene."""
    lines = ["| scene | " + " | ".join(COLUMNS) + " |", "|" + "---|" * (len(COLUMNS) + 1)]
    lines += [f"| {row['scene']} | " + " | ".join(f"{row[c]:.4f}" for c in COLUMNS) + " |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", type=Path)
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, help="write the rows here as JSON")
    known, overrides = cut(sys.argv[1:])
    arguments = parser.parse_args(known)
    rows = []
    for scene in arguments.scenes:
        video = next(scene.resolve().glob("videos/*.mp4"))
        rows.append(compare(preprocess(video, arguments.root.resolve(), overrides), scene))
    rows.append({"scene": "mean"} | {column: float(np.mean([row[column] for row in rows])) for column in COLUMNS})
    print(f"\n{table(rows)}")
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
