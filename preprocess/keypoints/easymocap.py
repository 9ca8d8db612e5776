"""Stage 2 by EasyMocap (YOLO and HRNet), or from its folder."""

from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from jaxtyping import Float
from rich.progress import Progress

from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.io.assets import Asset
from preprocess.assets import BLAZEPOSE_HEAVY
from preprocess.calibration.cameras import Calibration
from preprocess.easymocap.output import Output
from preprocess.easymocap.source import Source
from preprocess.frames.monocular import CAMERA, image_paths
from preprocess.keypoints.folder import FolderKeypoints
from preprocess.keypoints.litert import require_litert
from preprocess.keypoints.movenet import Detection
from preprocess.keypoints.points import Keypoints, body25_folder, points_path, segmentation_folder
from preprocess.keypoints.tracks import Track, choose, link
from preprocess.stage import Stage


class EasyMocapKeypoints(Stage):
    """Follows one of the people whom EasyMocap detected, and goes on as if the user had given that person's points.

    EasyMocap numbers people picture by picture; they are linked into tracks here, as our own detector's are.

    Args:
        easymocap: runs it, or names the folder that it wrote.
        person: who: None takes whom most of the video shows, a number counts from the left, [x, y] takes the nearest
            (pixels of images/00, where first seen).
        lift: let BlazePose look where the points are, for the metric points that EasyMocap lacks and for the masks; the
            points in the image stay EasyMocap's.
        pictures: how many pictures to draw.
    """

    name: ClassVar[str] = "keypoints"

    def __init__(
        self,
        easymocap: Source,
        person: int | list[float] | None = None,
        lift: bool = True,
        pictures: int = 12,
        force: bool = False,
    ):
        self.easymocap, self.person = easymocap, person
        self.lift, self.pictures, self.force = lift, pictures, force

    @staticmethod
    def require(lift: bool = True) -> None:
        """Raises UserError without the package that runs the network which lifts the points."""
        if lift:
            require_litert()

    def inputs(self, subject: Path) -> list[Path]:
        return [subject / "images" / "00", subject / "annots.npy", *self.easymocap.inputs(subject)]

    def outputs(self, subject: Path) -> list[Path]:
        keypoints = [points_path(subject), body25_folder(subject), segmentation_folder(subject)]
        return [*keypoints, _followed(subject), subject / "pictures" / self.name]

    def settings(self) -> dict[str, Any]:
        easymocap = {"source": type(self.easymocap).__name__, **self.easymocap.settings()}
        return {"easymocap": easymocap, "person": self.person, "lift": self.lift, "pictures": self.pictures}

    def assets(self) -> list[Asset]:
        return [BLAZEPOSE_HEAVY] if self.lift else []

    def missing(self) -> str | None:
        return self.easymocap.missing()

    def run(self, subject: Path, progress: Progress) -> str:
        output = self.easymocap.keypoints(subject, progress)
        camera = Subject(subject).camera(CAMERA)
        keypoints, count = follow(output, list(image_paths(subject)), camera, self.person)
        keypoints.save(_followed(subject))
        given = FolderKeypoints(str(_followed(subject)), self.lift, self.pictures)
        others = f"; {count} people seen" if count > 1 else ""
        return f"EasyMocap's {given.run(subject, progress)}{others}"


def _followed(subject: Path) -> Path:
    """The chosen person's points as EasyMocap has them."""
    return subject / "keypoints" / "easymocap.npz"


def follow(
    output: Output, frames: list[int], camera: Camera, person: int | list[float] | None
) -> tuple[Keypoints, int]:
    """One person's points in pixels of the camera's pictures, and how many people were seen.

    Raises UserError if EasyMocap's files are missing or malformed, or found nobody.
    """
    calibration = output.calibration()
    points: dict[int, np.ndarray] = {}  # by the detection that they are of
    tracks: list[Track] = []
    for index, frame in enumerate(frames):
        people, size = output.people(frame)
        detections = []
        for one in people:
            placed = to_pictures(one.keypoints, size, calibration, camera)
            detection = _detection(placed)
            if detection is not None:
                detections.append(detection)
                points[id(detection)] = placed
        link(tracks, index, detections)
    if not tracks:
        raise UserError(f"EasyMocap found nobody: no file in {output.annots} has keypoints.")
    track = choose(tracks, person, camera.width, camera.height)
    keypoints = Keypoints.empty(frames)
    for index, detection in track.detections.items():
        keypoints.set_body25(index, points[id(detection)])
    return keypoints, len(tracks)


def to_pictures(
    keypoints: Float[np.ndarray, "25 3"], size: tuple[int, int] | None, calibration: Calibration | None, camera: Camera
) -> Float[np.ndarray, "25 3"]:
    """Points of EasyMocap's pictures, of a size (height, width), in pixels of ours: undistorted, and resized."""
    height, width = size or (camera.height, camera.width)
    placed = keypoints.copy()
    if calibration is not None and calibration.D.any():
        lens = calibration.scaled(height, width)
        flat = cv2.undistortPoints(placed[:, None, :2], lens.K, lens.D, P=camera.K.double().numpy())
        placed[:, :2] = flat[:, 0]
    else:
        ratio = np.array([camera.width / width, camera.height / height])
        placed[:, :2] = (placed[:, :2] + 0.5) * ratio - 0.5
    return placed


def _detection(points: Float[np.ndarray, "25 3"]) -> Detection | None:
    """Somebody in a picture, unless the points are all unseen, or all in one place."""
    seen = points[points[:, 2] > 0, :2]
    if not len(seen) or not np.ptp(seen, axis=0).any():
        return None
    box = np.concatenate([seen.min(0), seen.max(0)])
    return Detection(points[:, :2], points[:, 2], box, float(points[:, 2].max()))
