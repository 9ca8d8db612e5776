"""How the masks of a filmed man fare when somebody walks past in front of him, or behind him.

    python benchmarks/overlaps.py

The passer-by is the man of the demo recording himself: mirrored, in other colours, and at another moment. The truth is
the network's mask of him alone, without the pixels that the passer-by covers.
"""

import sys
import tempfile
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
from rich.console import Console

from hashhuman.io.assets import fetch
from hashhuman.io.files import read_image, read_rgb, write_image
from preprocess.frames.decode import DEMO_CAMERA
from preprocess.frames.images import image_paths
from preprocess.frames.monocular import VideoFrames
from preprocess.keypoints.blazepose import BlazePoseKeypoints
from preprocess.keypoints.others import OtherPeople
from preprocess.keypoints.points import overlapped_frames, segmentation_folder
from preprocess.stage import run_stages

STEP, SIZE = 3, 720  # every third picture of the recording, shrunk to so many pixels
FROM, TO = -0.9, 0.9  # where the passer-by begins and ends, in widths of the picture beside the man
LATER = 11  # pictures by which their motions differ


def main() -> None:
    """Prints the table."""
    print("| the passer-by is | overlapping pictures | masks | mean IoU | worst |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = process(str(fetch(DEMO_CAMERA)), folder / "alone", step=STEP, max_size=SIZE)
        for where in ("in front", "behind"):
            truth = film(alone, folder / where, in_front=where == "in front")
            separated = process(str(folder / where), folder / f"{where}, separated")
            frames = overlapped_frames(separated)
            with mock.patch.object(OtherPeople, "separate", return_value=[]):
                plain = process(str(folder / where), folder / f"{where}, plain")
            for what, subject in (("of the network alone", plain), ("separated", separated)):
                found = [iou(network_mask(subject, frame), truth[frame]) for frame in frames]
                print(f"| {where} | {len(frames)} of {len(truth)} | {what} | {np.mean(found):.3f} | {min(found):.3f} |")


def process(video: str, subject: Path, **options: int) -> Path:
    """Pictures and keypoints of a video; returns the subject's folder."""
    stages = [VideoFrames(video, **options), BlazePoseKeypoints()]  # type: ignore[arg-type]
    run_stages(stages, subject, console=Console(file=sys.stderr))
    return subject


def network_mask(subject: Path, frame: int) -> np.ndarray:
    """The pixels of the person in the network's mask, H x W bool."""
    return read_image(segmentation_folder(subject) / f"{frame:06d}.png") > 127


def film(alone: Path, folder: Path, in_front: bool) -> list[np.ndarray]:
    """Writes pictures with a passer-by, and returns what is to be seen of the man in each, H x W bool."""
    paths, truth = list(image_paths(alone).values()), []
    for frame, path in enumerate(paths):
        image, mask = read_rgb(path), network_mask(alone, frame)
        other = (frame + LATER) % len(paths)
        moved = round((FROM + (TO - FROM) * frame / (len(paths) - 1)) * mask.shape[1])
        theirs = place(network_mask(alone, other).astype(np.uint8), mask, moved) > 0
        colours = place(read_rgb(paths[other])[..., ::-1], mask, moved)
        shown = theirs if in_front else theirs & ~mask
        write_image(folder / path.name, np.where(shown[..., None], colours, image))
        truth.append(mask & ~theirs if in_front else mask)
    return truth


def place(image: np.ndarray, mask: np.ndarray, moved: int) -> np.ndarray:
    """A picture mirrored about the middle of the man's mask, and moved to the right (pixels)."""
    columns = np.flatnonzero(mask.any(0))
    middle = float(columns[[0, -1]].mean())
    matrix = np.array([[-1, 0, 2 * middle + moved], [0, 1, 0]], np.float32)
    return cv2.warpAffine(np.ascontiguousarray(image), matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Of two masks."""
    return float((a & b).sum() / max((a | b).sum(), 1))


if __name__ == "__main__":
    main()
