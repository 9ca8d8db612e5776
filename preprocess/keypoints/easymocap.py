"""Stage 2 with EasyMocap's detections (YOLO and HRNet)."""

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
from preprocess.frames.images import CAMERA, image_paths
from preprocess.keypoints.folder import FolderKeypoints
from preprocess.keypoints.litert import require_litert
from preprocess.keypoints.movenet import Detection
from preprocess.keypoints.points import Keypoints, keypoint_outputs
from preprocess.keypoints.tracks import Track, choose, link
from preprocess.stage import Stage


class EasyMocapKeypoints(Stage):
    """Follows one of the people that EasyMocap has detected, then continues like `FolderKeypoints` with these points.

    EasyMocap numbers people in each picture separately. They are linked into tracks here, like our own detections.

    Args:
        easymocap: runs EasyMocap, or names a folder with its results.
        person: whom to follow if there are several people; see `tracks.choose`.
        lift, pictures, force: as for `FolderKeypoints`.
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
        return [*keypoint_outputs(subject), _followed(subject), subject / "pictures" / self.name]

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
        keypoints, count = follow_person(output, list(image_paths(subject)), camera, self.person)
        keypoints.save(_followed(subject))
        given = FolderKeypoints(str(_followed(subject)), self.lift, self.pictures)
        others = f"; {count} people found" if count > 1 else ""
        return f"EasyMocap's {given.run(subject, progress)}{others}"


def _followed(subject: Path) -> Path:
    """The file with the chosen person's points, before BlazePose adds to them."""
    return subject / "keypoints" / "easymocap.npz"


def follow_person(
    output: Output, frames: list[int], camera: Camera, person: int | list[float] | None
) -> tuple[Keypoints, int]:
    """One person's points in EasyMocap's detections.

    Args:
        output: EasyMocap's folder.
        frames: of the subject.
        camera: of the subject's pictures.
        person: whom to follow; see `tracks.choose`.

    Returns:
        The points in pixels of the subject's pictures, and the number of people found.

    Raises UserError if EasyMocap's files are missing or malformed, or hold no person.
    """
    calibration = output.calibration()
    points: dict[int, np.ndarray] = {}  # by the id() of the detection made from them
    tracks: list[Track] = []
    for index, frame in enumerate(frames):
        people, size = output.people(frame)
        detections = []
        for one in people:
            pixels = to_subject_pixels(one.keypoints, size, calibration, camera)
            detection = _detection(pixels)
            if detection is not None:
                detections.append(detection)
                points[id(detection)] = pixels
        link(tracks, index, detections)
    if not tracks:
        raise UserError(f"EasyMocap found nobody: no file in {output.annots} has keypoints of a person.")
    track = choose(tracks, person, camera.width, camera.height)
    keypoints = Keypoints.empty(frames)
    for index, detection in track.detections.items():
        keypoints.set_body25(index, points[id(detection)])
    return keypoints, len(tracks)


def to_subject_pixels(
    keypoints: Float[np.ndarray, "25 3"], size: tuple[int, int] | None, calibration: Calibration | None, camera: Camera
) -> Float[np.ndarray, "25 3"]:
    """Converts points from pixels of EasyMocap's pictures to pixels of the subject's: undistorted and resized.

    Args:
        keypoints: x, y, confidence.
        size: height and width of EasyMocap's pictures; None: those of the subject's.
        calibration: EasyMocap's camera, if it is known.
        camera: of the subject's pictures.
    """
    height, width = size or (camera.height, camera.width)
    converted = keypoints.copy()
    if calibration is not None and calibration.D.any():
        lens = calibration.scaled(height, width)
        flat = cv2.undistortPoints(converted[:, None, :2], lens.K, lens.D, P=camera.K.double().numpy())
        converted[:, :2] = flat[:, 0]
    else:
        ratio = np.array([camera.width / width, camera.height / height])
        converted[:, :2] = (converted[:, :2] + 0.5) * ratio - 0.5
    return converted


def _detection(points: Float[np.ndarray, "25 3"]) -> Detection | None:
    """The person whose points these are, or None if no point was found or all lie in one place."""
    seen = points[points[:, 2] > 0, :2]
    if not len(seen) or not np.ptp(seen, axis=0).any():
        return None
    box = np.concatenate([seen.min(0), seen.max(0)])
    return Detection(points[:, :2], points[:, 2], box, float(points[:, 2].max()))
