"""The 33 points of BlazePose: their names, their file, and their translation to and from OpenPose's BODY_25."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_npz, save_json, save_npz

NAMES = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip

# Each BODY_25 point is the mean of these; BlazePose has one point for big and small toe, so the small ones stay empty.
BODY_25: tuple[tuple[str, ...], ...] = (
    ("nose",), ("left_shoulder", "right_shoulder"), ("right_shoulder",), ("right_elbow",), ("right_wrist",),
    ("left_shoulder",), ("left_elbow",), ("left_wrist",), ("left_hip", "right_hip"), ("right_hip",), ("right_knee",),
    ("right_ankle",), ("left_hip",), ("left_knee",), ("left_ankle",), ("right_eye",), ("left_eye",), ("right_ear",),
    ("left_ear",), ("left_foot_index",), (), ("left_heel",), ("right_foot_index",), (), ("right_heel",),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Keypoints:
    """What is known of the person's points in F pictures; a picture without the person holds zeros."""

    frames: np.ndarray
    """(F,) int64, ascending."""
    detected: np.ndarray
    """(F,) bool."""
    score: np.ndarray
    """(F,) float32 in [0, 1]: the person is there."""
    image_points: np.ndarray
    """(F, 33, 2) float32, pixels of the pictures, pixel centres at integers."""
    visibility: np.ndarray
    """(F, 33) float32 in [0, 1]: in the picture and not hidden."""
    presence: np.ndarray
    """(F, 33) float32 in [0, 1]: in the picture, perhaps hidden."""
    world_points: np.ndarray
    """(F, 33, 3) float32, metres from the middle of the hips: x right, y down, z away; NaN where unknown."""
    crop: np.ndarray
    """(F, 3, 3) float32, image_from_crop: picture pixels from those of the network's 256 x 256 input."""

    @staticmethod
    def empty(frames: list[int]) -> "Keypoints":
        """Nothing detected yet."""
        count, points = len(frames), len(NAMES)
        shapes = {"score": (), "image_points": (points, 2), "visibility": (points,), "presence": (points,)}
        shapes |= {"world_points": (points, 3), "crop": (3, 3)}
        arrays = {name: np.zeros((count, *shape), np.float32) for name, shape in shapes.items()}
        return Keypoints(np.array(frames, np.int64), np.zeros(count, bool), **arrays)

    def save(self, path: Path) -> None:
        """Writes an .npz of the fields."""
        save_npz(path, {field.name: getattr(self, field.name) for field in dataclasses.fields(self)})

    @staticmethod
    def load(path: Path) -> "Keypoints":
        """Reads what `save` wrote. Raises UserError if arrays are missing or of wrong shapes."""
        arrays = load_npz(path)
        frames = arrays.get("frames")
        if frames is None or frames.ndim != 1:
            raise UserError(f"{path} must hold `frames`, the frame number of each row.")
        model = Keypoints.empty(frames.tolist())
        for field in dataclasses.fields(Keypoints):
            expected = getattr(model, field.name)
            if field.name not in arrays or arrays[field.name].shape != expected.shape:
                raise UserError(f"{path} must hold `{field.name}` of shape {expected.shape}.")
            arrays[field.name] = arrays[field.name].astype(expected.dtype)
        return Keypoints(**{field.name: arrays[field.name] for field in dataclasses.fields(Keypoints)})

    def write_body25(self, folder: Path) -> None:
        """Writes a file a frame as OpenPose does: x, y, confidence of 25 points; nobody where nobody was detected."""
        for row, frame in enumerate(self.frames):
            people = [{"person_id": [-1], "pose_keypoints_2d": self.body25(row).ravel().tolist()}]
            name = f"{frame:06d}_keypoints.json"
            save_json(folder / name, {"version": 1.3, "people": people if self.detected[row] else []})

    def body25(self, row: int) -> np.ndarray:
        """BODY_25 points of one picture: (25, 3) x, y, confidence (the visibility)."""
        points = np.zeros((len(BODY_25), 3))
        for i, names in enumerate(BODY_25):
            if names:
                chosen = [NAMES.index(name) for name in names]
                points[i, :2] = self.image_points[row, chosen].mean(0)
                points[i, 2] = self.visibility[row, chosen].min()
        return points.round(3)

    def set_body25(self, row: int, points: Any) -> None:
        """Fills one picture from BODY_25 points (25, 3); what BODY_25 lacks stays at visibility zero."""
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
    """The points of a camera's pictures."""
    return subject / "keypoints" / f"{camera:02d}.npz"


def points_files(subject: Path) -> list[Path]:
    """The points of each camera that has any, named by its number."""
    return sorted(path for path in points_path(subject).parent.glob("*.npz") if path.stem.isdigit())


def body25_folder(subject: Path) -> Path:
    """The same as OpenPose's files."""
    return subject / "keypoints" / "body25" / "00"


def segmentation_folder(subject: Path) -> Path:
    """The network's masks: 8-bit probability of the person, at the pictures' size."""
    return subject / "keypoints" / "segmentation" / "00"
