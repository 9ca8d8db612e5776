"""The filmed video rendered again: the avatar over what the camera sees without the person."""

import itertools
import logging
import statistics
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.errors import UserError
from hashhuman.evaluation import drawing
from hashhuman.evaluation.metrics.image import psnr
from hashhuman.evaluation.product import Evaluation, Made, Product
from hashhuman.io.progress import track
from hashhuman.io.video import require_video, write_video

log = logging.getLogger(__name__)
WHAT = (
    "PSNR (dB) of the whole picture, the avatar over the plate against what was filmed: `mean` of all pictures and of "
    "those of a split; `others` are in none"
)
SHORTEST = 1e-3  # seconds between two pictures; what is less is no time
LATEST = 1e12  # seconds; more than any clock shows
INPAINTED = 3  # pixels: how far around a place that is never free its colour is looked for


class Composite(Product):
    """`composite.mp4`: every picture of the first training camera with a pose, the avatar over the subject's `plate/`.

    The PSNR of each whole picture is reported. The plate is that of preprocessing: the median of the pictures outside
    the masks, for a camera that stands still. Where it is unknown, colours from around fill it.

    Args:
        wanted: whether to make it.
        fps: frames per second, if the subject does not say when its pictures were taken.

    Raises:
        UserError: if a package for videos is missing.
    """

    def __init__(self, wanted: bool, fps: int) -> None:
        if wanted:
            require_video("the composite video")
        self.wanted, self.fps = wanted, fps

    def check(self, subject: Any) -> None:
        """Raises UserError for a subject without a plate."""
        if self.wanted and all(subject.plate(camera) is None for camera in range(len(subject.camera_names))):
            raise _no_plate(subject.root)

    def make(self, evaluation: Evaluation) -> Made:
        """Writes the video. Raises UserError if no training camera has a plate."""
        if not self.wanted:
            return Made()
        subject, splits = evaluation.datamodule.subject, evaluation.datamodule.splits
        filmed = [picture.camera for picture in splits["train"] if subject.plate(picture.camera) is not None]
        if not filmed:
            raise _no_plate(subject.root)
        posed = set(subject.posed_frames)
        pictures = [picture for picture in subject.pictures if picture.camera == filmed[0] and picture.frame in posed]
        names = {picture.image: name for name, members in splits.items() for picture in members}
        each: list[dict[str, Any]] = []

        def frames() -> Iterator[np.ndarray]:
            for picture, rgb, truth in _composites(evaluation, pictures):
                row = {"picture": f"{subject.camera_names[picture.camera]}/{picture.frame:06d}"}
                each.append(row | {"split": names.get(picture.image, "others"), "psnr": psnr(rgb, truth)})
                yield drawing.even(drawing.to_uint8(rgb))

        path = evaluation.folder / "composite.mp4"
        write_video(path, frames(), _frame_rate(subject.meta, self.fps))
        kinds = {"all": each} | {kind: [row for row in each if row["split"] == kind] for kind in [*splits, "others"]}
        mean = {kind: statistics.fmean(row["psnr"] for row in rows) for kind, rows in kinds.items() if rows}
        report = {"composite": {"what": WHAT, "mean": mean, "each": each}}
        return Made({"the video, rendered again": path}, report, videos={"composite": path})


def _composites(
    evaluation: Evaluation, pictures: list[Any]
) -> Iterator[tuple[Any, Float[Tensor, "H W 3"], Float[Tensor, "H W 3"]]]:
    """Each picture with the avatar over the plate, and what was filmed; RGB in [0, 1]. Damaged ones are left out."""
    avatar, data = evaluation.avatar, evaluation.datamodule
    plate = torch.from_numpy(data.resize(filled(*data.subject.plate(pictures[0].camera))).astype(np.float32))
    plate = plate.to(avatar.device)
    for picture in track(pictures, "composite", len(pictures), "pictures"):
        try:
            truth = data.resize(data.subject.image(picture).astype(np.float32) / 255)
        except UserError as error:
            log.warning("A picture is left out of the composite video: %s", error)
            continue
        frame = data.train_frames.index(picture.frame) if picture.frame in data.train_frames else None
        rendered = avatar.render_image(data.camera(picture), evaluation.pose(picture.frame), frame, plate)
        yield picture, rendered.rgb.clamp(0, 1), torch.from_numpy(truth).to(rendered.rgb.device)


def filled(color: np.ndarray, known: np.ndarray) -> Float[np.ndarray, "H W 3"]:
    """A plate (8-bit RGB) in [0, 1], with colours from around where it is not known (Telea 2004)."""
    return cv2.inpaint(color, (~known).astype(np.uint8), INPAINTED, cv2.INPAINT_TELEA).astype(np.float32) / 255


def _frame_rate(meta: dict[str, Any], otherwise: int) -> int:
    """Pictures a second, from when subject.json says that they were taken."""
    video = meta.get("video")
    seconds = video.get("seconds") if isinstance(video, dict) else None
    if not isinstance(seconds, list) or len(seconds) < 2 or not all(map(_is_time, seconds)):
        return otherwise
    between = statistics.median(after - before for before, after in itertools.pairwise(seconds))
    return max(1, round(1 / between)) if between > SHORTEST else otherwise


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < LATEST


def _no_plate(root: Any) -> UserError:
    return UserError(
        f"eval.composite=true needs {root / 'plate'}, which preprocessing writes with preprocess.masks.matting=true "
        "for a camera that stands still: leave eval.composite out."
    )
