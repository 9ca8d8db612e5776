"""The person's 33 points in every picture: their file, and their conversion to and from OpenPose's BODY_25."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_npz, save_json, save_npz
from preprocess.skeleton import BODY_25, NAMES

_PARTS = "face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d"
"""What OpenPose's files hold beside the body, empty unless asked for; EasyMocap's reader stops without them."""


@dataclasses.dataclass(frozen=True)
class Keypoints:
    """The person's points in the F pictures of one camera, in the order of `skeleton.NAMES`.

    Rows of pictures without the person hold zeros.
    """

    frames: np.ndarray
    """(F,) int64: frame numbers, ascending."""
    detected: np.ndarray
    """(F,) bool: the person was found in the picture."""
    score: np.ndarray
    """(F,) float32 in [0, 1]: probability that the person is in the picture."""
    image_points: np.ndarray
    """(F, 33, 2) float32, pixels of the pictures, pixel centres at integers."""
    visibility: np.ndarray
    """(F, 33) float32 in [0, 1]: probability that a point is in the picture and not hidden."""
    presence: np.ndarray
    """(F, 33) float32 in [0, 1]: probability that a point is in the picture, hidden or not."""
    world_points: np.ndarray
    """(F, 33, 3) float32: metres from the midpoint of the hips, x right, y down, z away; NaN where unknown.

    The axes are those of a camera that looks straight at the person (`keypoints/camera_axes.py`).
    """
    crop: np.ndarray
    """(F, 3, 3) float32: image_from_crop, from pixels of the network's 256 x 256 input to pixels of the picture."""

    @staticmethod
    def empty(frames: list[int]) -> "Keypoints":
        """Keypoints of these frames, with nothing detected yet."""
        count, points = len(frames), len(NAMES)
        shapes = {"score": (), "image_points": (points, 2), "visibility": (points,), "presence": (points,)}
        shapes |= {"world_points": (points, 3), "crop": (3, 3)}
        arrays = {name: np.zeros((count, *shape), np.float32) for name, shape in shapes.items()}
        return Keypoints(np.array(frames, np.int64), np.zeros(count, bool), **arrays)

    def save(self, path: Path) -> None:
        """Writes an .npz file with one array for each field."""
        save_npz(path, {field.name: getattr(self, field.name) for field in dataclasses.fields(self)})

    @staticmethod
    def load(path: Path) -> "Keypoints":
        """Reads what `save` has written. Raises UserError if an array is missing or has a wrong shape."""
        arrays = load_npz(path)
        frames = arrays.get("frames")
        if frames is None or frames.ndim != 1 or frames.dtype.kind not in "iu" or (frames.size and frames.min() < 0):
            raise UserError(f"{path} must hold `frames`, a list of the frame number of each row.")
        model = Keypoints.empty(frames.tolist())
        for field in dataclasses.fields(Keypoints):
            expected = getattr(model, field.name)
            given = arrays.get(field.name)
            if given is None or given.shape != expected.shape or given.dtype.kind not in "fiub":
                raise UserError(f"{path} must hold `{field.name}` of shape {expected.shape}.")
            arrays[field.name] = arrays[field.name].astype(expected.dtype)
        return Keypoints(**{field.name: arrays[field.name] for field in dataclasses.fields(Keypoints)})

    def write_body25(self, folder: Path) -> None:
        """Writes a file for each frame, as OpenPose does: x, y and confidence of 25 points, or no people."""
        for row, frame in enumerate(self.frames):
            points = {"pose_keypoints_2d": self.body25(row).ravel().tolist()}
            people = [{"person_id": [-1], **points, **{name: [] for name in _PARTS}}]
            name = f"{frame:06d}_keypoints.json"
            save_json(folder / name, {"version": 1.3, "people": people if self.detected[row] else []})

    def body25(self, row: int) -> np.ndarray:
        """The BODY_25 points of one picture, (25, 3) float64: x, y, confidence (the visibility)."""
        points = np.zeros((len(BODY_25), 3))
        for i, names in enumerate(BODY_25):
            if names:
                chosen = [NAMES.index(name) for name in names]
                points[i, :2] = self.image_points[row, chosen].mean(0)
                points[i, 2] = self.visibility[row, chosen].min()
        return points.round(3)

    def set_body25(self, row: int, points: Any) -> None:
        """Sets one picture's points from BODY_25 points (25, 3); points that BODY_25 lacks keep visibility zero.

        Raises ValueError for another number of points.
        """
        points = np.asarray(points, np.float32).reshape(-1, 3)
        if len(points) != len(BODY_25):
            raise ValueError(f"{len(points)} points, not {len(BODY_25)}")
        for (x, y, confidence), names in zip(points, BODY_25):
            if len(names) == 1 and confidence > 0:
                i = NAMES.index(names[0])
                self.image_points[row, i] = x, y
                self.visibility[row, i] = self.presence[row, i] = min(confidence, 1.0)
        self.detected[row] = bool((self.visibility[row] > 0).any())
        self.score[row] = float(self.visibility[row].max())
        self.world_points[row] = np.nan


def points_path(subject: Path, camera: int = 0) -> Path:
    """The file with the points in a camera's pictures."""
    return subject / "keypoints" / f"{camera:02d}.npz"


def points_files(subject: Path) -> list[Path]:
    """The files of all cameras that have points, named by the cameras' numbers."""
    return sorted(path for path in points_path(subject).parent.glob("*.npz") if path.stem.isdigit())


def body25_folder(subject: Path) -> Path:
    """The folder with the first camera's points as OpenPose's BODY_25 files."""
    return subject / "keypoints" / "body25" / "00"


def others_folder(subject: Path) -> Path:
    """The folder with the probability of other people, in the first camera's pictures where they overlap the person."""
    return subject / "keypoints" / "others" / "00"


def keypoint_outputs(subject: Path) -> list[Path]:
    """What variants of the stage for one camera write; whatever another one has left there belongs to other points."""
    return [points_path(subject), body25_folder(subject), segmentation_folder(subject), others_folder(subject)]


def overlapped_frames(subject: Path) -> list[int]:
    """The frames in which somebody else overlaps the person in the first camera."""
    return sorted(int(path.stem) for path in others_folder(subject).glob("*.png"))


def segmentation_folder(subject: Path) -> Path:
    """The folder with the network's masks for the first camera: 8-bit probability of the person, in full size."""
    return subject / "keypoints" / "segmentation" / "00"
