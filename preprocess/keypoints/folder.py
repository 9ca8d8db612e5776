"""Stage 2 with the user's own points: an .npz file of `Keypoints`, or a folder of OpenPose's BODY_25 files."""

import functools
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rich.progress import Progress

from hashhuman.errors import UserError
from hashhuman.io.assets import Asset
from hashhuman.io.files import load_json, read_image, read_rgb, write_image_fast
from hashhuman.io.journal import Arrays
from hashhuman.io.listing import listed
from preprocess.assets import BLAZEPOSE_HEAVY
from preprocess.frames.images import image_paths
from preprocess.frames.numbering import numbers_in, rows_of_pictures
from preprocess.frames.video_index import video_index
from preprocess.keypoints.crop import Crop
from preprocess.keypoints.draw import draw_sequence
from preprocess.keypoints.litert import require_litert
from preprocess.keypoints.points import Keypoints, body25_folder, keypoint_outputs, points_path, segmentation_folder
from preprocess.keypoints.pose_network import PoseNetwork
from preprocess.shift import clear_shift, moved_rows, words
from preprocess.skeleton import HIPS
from preprocess.stage import Stage, unfinished

_SURE = 0.5  # least probability of a person for the points to be compared with
_LATE = 0.025  # of the person's height: points nearer to those found in the pictures are not late
_CLEARLY = 0.5  # moved in time, late points must lie nearer than this share of the distance


class FolderKeypoints(Stage):
    """Takes the points from `path`, in pixels of images/00: one row or file for each picture, in order.

    Args:
        path: an .npz with the arrays of `Keypoints`, or a folder of BODY_25 JSON files.
        lift: run BlazePose around the given points, to add masks and missing metric points. The points in pixels stay
            as they are given.
        pictures: how many pictures to draw.
        force: run even if nothing has changed.

    Raises UserError if there is nothing at `path`.
    """

    name: ClassVar[str] = "keypoints"

    def __init__(self, path: str, lift: bool = True, pictures: int = 12, force: bool = False):
        self.path = Path(path).expanduser()
        self.lift, self.pictures, self.force = lift, pictures, force
        if not self.path.exists():
            raise UserError(f"there is nothing at {self.path}: correct preprocess.keypoints.path.")

    @staticmethod
    def require(lift: bool = True) -> None:
        """Raises UserError without the package that runs the network which lifts the points."""
        if lift:
            require_litert()

    def inputs(self, subject: Path) -> list[Path]:
        return [subject / "images" / "00", self.path]

    def outputs(self, subject: Path) -> list[Path]:
        return [*keypoint_outputs(subject), subject / "pictures" / self.name]

    def settings(self) -> dict[str, Any]:
        return {"lift": self.lift, "pictures": self.pictures}

    def assets(self) -> list[Asset]:
        return [BLAZEPOSE_HEAVY] if self.lift else []

    def run(self, subject: Path, progress: Progress) -> str:
        paths = image_paths(subject)
        keypoints = self._read(subject, list(paths))
        height, width = read_image(next(iter(paths.values()))).shape[:2]
        seen = keypoints.image_points[keypoints.visibility > 0.5]
        if not ((seen >= 0) & (seen < (width, height))).all(1).mean() > 0.5:
            raise UserError(
                f"most of the points in {self.path} lie outside the pictures of {width} x {height}: "
                "scale them to pixels of images/00."
            )
        if self.lift:
            self._lift(keypoints, paths, subject, progress)
        keypoints.save(points_path(subject))
        keypoints.write_body25(body25_folder(subject))
        draw_sequence(paths, keypoints, subject / "pictures" / self.name, self.pictures)
        return f"points of {keypoints.detected.sum()} of {len(paths)} pictures"

    def _read(self, subject: Path, frames: list[int]) -> Keypoints:
        if self.path.is_file():
            keypoints = Keypoints.load(self.path)
            if keypoints.frames.tolist() != frames:
                raise UserError(
                    f"{self.path} has points of {len(keypoints.frames)} frames, not of the subject's {len(frames)} "
                    "pictures: it needs one row for each picture in images/00."
                )
            return keypoints
        files = listed(self.path, [".json"])
        numbers = numbers_in([file.stem for file in files])
        rows = rows_of_pictures(numbers, len(files), video_index(subject), str(self.path))
        keypoints = Keypoints.empty(frames)
        for row, which in enumerate(rows):
            if which is not None and (person := _largest_person(files[which])) is not None:
                keypoints.set_body25(row, person)
        return keypoints

    def _lift(self, keypoints: Keypoints, paths: dict[int, Path], subject: Path, progress: Progress) -> None:
        """Adds the network's metric points where they are unknown, and writes its masks."""
        network, found = PoseNetwork(), Keypoints.empty(list(paths))

        def lifted(row: int, path: Path, mask: Path) -> Arrays:
            image = read_rgb(path)
            if not keypoints.detected[row]:
                write_image_fast(mask, np.zeros(image.shape[:2], np.uint8))
                return {}
            crop = _crop(keypoints.image_points[row], keypoints.visibility[row])
            pose = network(image, network(image, crop).next_crop, mirror=True)
            write_image_fast(mask, pose.mask(*image.shape[:2]))
            named = {name: np.asarray(getattr(pose, name)) for name in ("score", "image_points", "world_points")}
            return {**named, "crop": pose.crop.image_from_crop}

        with unfinished(self, subject).journal() as journal:
            for row, path in progress.track(enumerate(paths.values()), total=len(paths), description="pose"):
                mask = segmentation_folder(subject) / f"{path.stem}.png"
                pose = journal.once(f"pose/{row}", functools.partial(lifted, row, path, mask), [mask])
                if pose:
                    unknown = np.isnan(keypoints.world_points[row])
                    keypoints.world_points[row][unknown] = pose["world_points"][unknown]
                    keypoints.crop[row] = pose["crop"]
                    found.detected[row] = pose["score"] >= _SURE
                    found.image_points[row] = pose["image_points"]
        if (shift := shift_of(keypoints, found)) != 0:
            raise UserError(
                f"The points in {self.path} appear to be {words(shift, video_index(subject).step)} against the "
                "pictures: number the files as the video's pictures are numbered, from 0."
            )


def shift_of(given: Keypoints, found: Keypoints) -> int:
    """By how many pictures the given points are late against those found in the pictures; 0 if that is not clear."""
    count = len(given.frames)
    tall = np.ptp(found.image_points, axis=1).max(1)

    def off(shift: int) -> np.ndarray:
        """Mean distance of each picture's visible points, in heights."""
        rows = moved_rows(count, shift)
        counted = given.visibility[rows + shift] > 0
        rows_known = given.detected[rows + shift] & found.detected[rows] & counted.any(1) & (tall[rows] > 0)
        rows, counted = rows[rows_known], counted[rows_known]
        apart = np.linalg.norm(given.image_points[rows + shift] - found.image_points[rows], axis=-1)
        result = np.full(count, np.nan)
        result[rows] = np.where(counted, apart, 0).sum(1) / counted.sum(1) / tall[rows]
        return result

    return clear_shift(off, _LATE, _CLEARLY)


def _largest_person(file: Path) -> np.ndarray | None:
    """The BODY_25 points (25, 3) of the person with the largest box, or None if there is nobody."""
    try:
        people = [np.asarray(p["pose_keypoints_2d"], float).reshape(25, 3) for p in load_json(file)["people"]]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UserError(
            f"{file} is not a BODY_25 file: it needs people, each with 75 numbers in pose_keypoints_2d."
        ) from None
    people = [p for p in people if (p[:, 2] > 0).any()]
    return max(people, key=lambda p: float(np.ptp(p[p[:, 2] > 0, :2], axis=0).prod()), default=None)


def _crop(points: np.ndarray, visibility: np.ndarray) -> Crop:
    """An upright crop around the known points (33, 2), centred between the hips if both are known."""
    known = points[visibility > 0]
    center = points[HIPS].mean(0) if (visibility[HIPS] > 0).all() else known.mean(0)
    reach = 1.15 * float(np.linalg.norm(known - center, axis=1).max())  # head and feet extend beyond their points
    return Crop.around(center, center - (0, reach))
