"""The quality stage: measures how well the body lies on the person, whichever variant of body_fit wrote it.

It does not rely on the fit's own figures. The skeleton is posed from `smpl_params/` and compared with the points, and
the surface in `smpl_vertices/` is compared with the masks.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from rich.progress import Progress

from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.data.subject import Picture, Subject
from hashhuman.errors import UserError
from hashhuman.geometry import skinning
from hashhuman.geometry.camera import Camera
from hashhuman.io import threads
from hashhuman.io.files import load_npz, save_npz
from preprocess.body_fit.joint_ranges import joint_ranges
from preprocess.body_fit.result import report_path, silhouette_iou
from preprocess.frames.images import CAMERA
from preprocess.keypoints.points import Keypoints, others_folder, overlapped_frames, points_files, points_path
from preprocess.shift import LEAST_PICTURES, clear_shift
from preprocess.skeleton import NAMES
from preprocess.stage import Stage

SPAN = 0.4  # seconds that five frames may take: at ten pictures a second
_VISIBLE = 0.5  # least visibility of a point that counts
_LATE = 0.02  # of the person's height: a body nearer to the points is not late
_CLEARLY = 0.6  # moved in time, a late body must lie nearer than this share of the distance


@dataclasses.dataclass(frozen=True)
class Quality:
    """Figures of F frames in C cameras, as `quality.npz` holds them; NaN where there is nothing to compare with."""

    cameras: tuple[str, ...]
    """Their names; the body was fitted to the first."""
    frames: Int[np.ndarray, "F"]
    """Their numbers."""
    height: Float[np.ndarray, "C F"]
    """Longer side of the box around the person's mask (pixels)."""
    reprojection: Float[np.ndarray, "C F"]
    """Mean distance of the skeleton's joints from the visible points of the same name (pixels)."""
    silhouette_iou: Float[np.ndarray, "C F"]
    """Overlap of the projected body and the person's mask."""
    jitter: Float[np.ndarray, "F"]
    """Mean distance of the joints from smooth paths relative to the first joint (mm); see `jitter`."""
    beyond: Float[np.ndarray, "F"]
    """How far the worst joint is rotated beyond its range (degrees)."""
    worst_joint: Int[np.ndarray, "F"]
    """Index of that joint in `joint_names`."""
    interpolated: Bool[np.ndarray, "F"]
    """Whether the person was not found there, so that the pose was interpolated."""
    flipped: Bool[np.ndarray, "F"]
    """Whether the detector had confused left and right there."""
    overlapped: Bool[np.ndarray, "F"]
    """Whether somebody else overlaps the person there, in the first camera."""
    joint_names: tuple[str, ...]
    shift: Int[np.ndarray, ""]
    """By how many pictures the body is late against the points of the first camera; 0 if that is not clear."""

    @property
    def off(self) -> Float[np.ndarray, "C F"]:
        """The reprojection error divided by the person's height."""
        return self.reprojection / self.height

    def save(self, path: Path) -> None:
        """Writes an .npz of the fields."""
        save_npz(path, {name: np.asarray(value) for name, value in vars(self).items()})

    @staticmethod
    def load(path: Path) -> "Quality":
        """Reads what `save` wrote. Raises UserError if fields are missing."""
        arrays = load_npz(path)
        fields = [field.name for field in dataclasses.fields(Quality)]
        if arrays.keys() != set(fields) or not _fit_together(arrays):
            raise UserError(f"{path} is damaged, or of another version: run python -m preprocess again.")
        words = {name: tuple(map(str, arrays[name])) for name in ("cameras", "joint_names")}
        values: dict[str, Any] = {**arrays, **words}
        return Quality(**values)


def _fit_together(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether arrays have the kinds and shapes of the fields of `Quality`."""
    kinds = {
        "cameras": "U",
        "joint_names": "U",
        "frames": "iu",
        "worst_joint": "iu",
        "interpolated": "b",
        "flipped": "b",
        "overlapped": "b",
        "shift": "iu",
    }
    if any(array.dtype.kind not in kinds.get(name, "f") for name, array in arrays.items()):
        return False
    cameras, frames = arrays["cameras"].shape, arrays["frames"].shape
    shapes = dict.fromkeys(("height", "reprojection", "silhouette_iou"), (*cameras, *frames))
    shapes |= {"cameras": cameras, "joint_names": arrays["joint_names"].shape, "shift": ()}
    one = len(cameras) == len(frames) == arrays["joint_names"].ndim == 1 and cameras[0] > 0
    return one and all(array.shape == shapes.get(name, frames) for name, array in arrays.items())


def quality_path(subject: Path) -> Path:
    """The file of a subject's figures."""
    return subject / "quality.npz"


class MeasuredQuality(Stage):
    """Measures the body and writes `quality.npz`.

    Args:
        force: run even if nothing has changed.
    """

    name: ClassVar[str] = "quality"
    version: ClassVar[int] = 4

    def __init__(self, force: bool = False) -> None:
        self.force = force

    def inputs(self, subject: Path) -> list[Path]:
        names = "annots.npy", "smpl_params", "smpl_vertices", "smpl_lbs", "mask"
        keypoints = [*points_files(subject), others_folder(subject)]
        return [*keypoints, report_path(subject), *(subject / name for name in names)]

    def outputs(self, subject: Path) -> list[Path]:
        return [quality_path(subject)]

    def settings(self) -> dict[str, Any]:
        return {}

    def run(self, subject: Path, progress: Progress) -> str:
        quality = measure(subject, progress)
        quality.save(quality_path(subject))
        return summary(quality)


def summary(quality: Quality) -> str:
    """The figures of the first camera in a few words, without those that are unknown."""
    words, off, overlap = [], quality.off[0], quality.silhouette_iou[0]
    if np.isfinite(off).any():
        words.append(f"points off by {100 * np.nanmedian(off):.1f} % of the height")
    if np.isfinite(overlap).any():
        words.append(f"IoU {np.nanmedian(overlap):.2f}")
    if np.isfinite(quality.jitter).any():
        words.append(f"jitter {np.nanmedian(quality.jitter):.1f} mm")
    return ", ".join(words)


def measure(subject: Path, progress: Progress) -> Quality:
    """Measures the pictures of all cameras, in the frames that the first camera has."""
    reader = Subject(subject)
    template, cameras = reader.template(), range(len(reader.camera_names))
    frames = [picture.frame for picture in reader.pictures if picture.camera == CAMERA]
    column = {frame: place for place, frame in enumerate(frames)}
    pictures = [picture for picture in reader.pictures if picture.frame in column]
    poses = [reader.pose(frame) for frame in frames]
    joints = np.stack([world_joints(pose, template) for pose in poses])
    faces = template.faces.numpy()

    def compare(picture: Picture) -> tuple[float, float]:
        if picture.mask is None and picture.parts is None:
            return float("nan"), float("nan")
        mask = (255 * reader.mask(picture)).astype(np.uint8)
        camera = reader.camera(picture.camera)
        return person_height(mask), silhouette_iou(reader.vertices(picture.frame), faces, camera, mask)

    figures = np.full((2, len(cameras), len(frames)), np.nan)
    steps = progress.track(threads.ordered(compare, pictures), total=len(pictures), description="quality")
    for picture, found in zip(pictures, steps):
        figures[:, picture.camera, column[picture.frame]] = found
    beyond, worst = beyond_limits(torch.stack([pose.body_pose for pose in poses]), template.joint_names)
    return Quality(
        cameras=tuple(reader.camera_names),
        frames=np.array(frames),
        height=figures[0],
        reprojection=np.stack([_reprojection(reader, camera, np.array(frames), joints) for camera in cameras]),
        silhouette_iou=figures[1],
        jitter=jitter(joints, _seconds(reader, frames)),
        beyond=beyond,
        worst_joint=worst,
        **_flags(subject, np.array(frames)),
        overlapped=np.isin(frames, overlapped_frames(subject)),
        joint_names=template.joint_names,
        shift=np.array(shift_of(reader, np.array(frames), joints)),
    )


def world_joints(pose: BodyPose, template: BodyTemplate) -> Float[np.ndarray, "J 3"]:
    """The joints of the posed skeleton (m, world)."""
    bones = pose.world_from_posed() @ template.bone_transforms(pose.body_pose)
    return skinning.transform(bones, template.joints).numpy()


def person_height(mask: np.ndarray) -> float:
    """The longer side of the box around the person in an 8-bit mask (pixels); NaN if the mask is empty."""
    person = mask >= 128
    if not person.any():
        return float("nan")
    return float(max(np.ptp(np.flatnonzero(person.any(axis))) + 1 for axis in (0, 1)))


def reprojection(
    joints: Float[np.ndarray, "J 3"], names: tuple[str, ...], camera: Camera, points: Float[np.ndarray, "L 2"],
    visibility: Float[np.ndarray, "L"],
) -> float:  # fmt: skip
    """Mean distance (pixels) of the joints from the visible points of the same name; NaN if there are none.

    Args:
        joints: positions (m, world).
        names: of the joints.
        camera: the camera that saw the points.
        points: the L detected points (pixels), named by `skeleton.NAMES`.
        visibility: of the points, in [0, 1].
    """
    pairs = [(names.index(n), NAMES.index(n)) for n in names if n in NAMES]
    pairs = [(joint, point) for joint, point in pairs if visibility[point] > _VISIBLE]
    if not pairs:
        return float("nan")
    which, seen = map(list, zip(*pairs))
    pixels = camera.project(torch.as_tensor(joints[which], dtype=torch.float32)).numpy()
    return float(np.linalg.norm(pixels[:, :2] - points[seen], axis=1).mean())


def jitter(joints: Float[np.ndarray, "F J 3"], seconds: Float[np.ndarray, "F"] | None = None) -> Float[np.ndarray, "F"]:
    """Mean distance (mm) of the joints (m) from the cubic through their two neighbours on either side in time.

    The first joint's path is in the world, the others' are relative to it. Motion that is smooth over five frames gives
    zero; noise of deviation s in each coordinate gives about 3 s. The two frames at either end are NaN.

    At few pictures a second, people move otherwise than along a cubic. Where the five frames take longer than `SPAN`,
    the distance is therefore scaled down with the fourth power of the time between them, as the distance of a smooth
    path from its cubic grows.

    Args:
        joints: positions (m, world).
        seconds: when each frame was taken; None if it is unknown.
    """
    distance = np.full(len(joints), np.nan)
    relative = np.concatenate([joints[:, :1], joints[:, 1:] - joints[:, :1]], 1)
    middle = (4 * (relative[1:-3] + relative[3:-1]) - relative[:-4] - relative[4:]) / 6
    distance[2:-2] = 1000 * np.linalg.norm(relative[2:-2] - middle, axis=-1).mean(1)
    if seconds is not None and len(seconds) > 4:
        span = seconds[4:] - seconds[:-4]
        distance[2:-2] *= np.minimum(1, SPAN / np.maximum(span, 1e-6)) ** 4
    return distance


def _seconds(reader: Subject, frames: list[int]) -> Float[np.ndarray, "F"] | None:
    """When each frame was taken; None if that is unknown, as in a folder of pictures, where numbers stand for it."""
    video = reader.meta.get("video")
    about = video if isinstance(video, dict) else {}
    seconds, numbers = (np.asarray(about.get(name, []), float) for name in ("seconds", "pictures"))
    if seconds.ndim != 1 or len(seconds) <= max(frames) or np.array_equal(seconds, numbers):
        return None
    return seconds[frames]


def beyond_limits(
    body_pose: Float[torch.Tensor, "F J 3"], joint_names: tuple[str, ...]
) -> tuple[Float[np.ndarray, "F"], Int[np.ndarray, "F"]]:
    """How far the worst joint is rotated beyond its range in each frame (degrees), and the index of that joint.

    Args:
        body_pose: axis-angle of each joint against its parent (radians).
        joint_names: of the J joints.
    """
    ranges = joint_ranges(joint_names)
    degrees = torch.rad2deg(body_pose) * ranges.mirror
    excess = torch.maximum(degrees - ranges.high, ranges.low - degrees).clamp_min(0).amax(-1)
    most, worst = excess.max(1)
    return most.numpy(), worst.numpy()


def _reprojection(
    reader: Subject, camera: int, frames: np.ndarray, joints: Float[np.ndarray, "F J 3"]
) -> Float[np.ndarray, "F"]:
    """The reprojection error of one camera in the given frames (pixels)."""
    error = np.full(len(frames), np.nan)
    if points_path(reader.root, camera).exists():
        keypoints = Keypoints.load(points_path(reader.root, camera))
        rows = {int(frame): row for row, frame in enumerate(keypoints.frames) if keypoints.detected[row]}
        for i, frame in enumerate(frames.tolist()):
            if (row := rows.get(frame)) is not None:
                points, visibility = keypoints.image_points[row], keypoints.visibility[row]
                names, view = reader.template().joint_names, reader.camera(camera)
                error[i] = reprojection(joints[i], names, view, points, visibility)
    return error


def shift_of(reader: Subject, frames: Int[np.ndarray, "F"], joints: Float[np.ndarray, "F J 3"]) -> int:
    """By how many pictures the skeleton is late against the first camera's points; 0 if that is not clear.

    Args:
        reader: of the subject.
        frames: their numbers.
        joints: positions (m, world).
    """
    if not points_path(reader.root).exists():
        return 0
    keypoints, names = Keypoints.load(points_path(reader.root)), reader.template().joint_names
    rows = np.flatnonzero(keypoints.detected & np.isin(keypoints.frames, frames))
    pairs = [(names.index(name), NAMES.index(name)) for name in names if name in NAMES]
    if len(rows) < LEAST_PICTURES or not pairs:
        return 0
    which, seen = map(list, zip(*pairs))
    pixels = reader.camera(CAMERA).project(torch.as_tensor(joints[:, which], dtype=torch.float32)).numpy()[..., :2]
    places = np.searchsorted(frames, keypoints.frames[rows])
    points, visible = keypoints.image_points[rows][:, seen], keypoints.visibility[rows][:, seen] > _VISIBLE
    tall = np.ptp(keypoints.image_points[rows], axis=1).max(1)

    def off(shift: int) -> Float[np.ndarray, "F"]:
        """Mean distance of the joints from each frame's points, in heights."""
        known = (places + shift >= 0) & (places + shift < len(frames)) & visible.any(1) & (tall > 0)
        apart = np.linalg.norm(pixels[(places + shift)[known]] - points[known], axis=-1)
        result = np.full(len(frames), np.nan)
        result[places[known]] = (apart * visible[known]).sum(1) / visible[known].sum(1) / tall[known]
        return result

    return clear_shift(off, _LATE, _CLEARLY)


def _flags(subject: Path, frames: np.ndarray) -> dict[str, Bool[np.ndarray, "F"]]:
    """Which frames the fit interpolated or flipped back; none if its report does not say."""
    report = load_npz(report_path(subject)) if report_path(subject).exists() else {"frames": frames}
    rows = {
        name: dict(zip(report["frames"].tolist(), report.get(name, np.zeros(len(report["frames"]), bool))))
        for name in ("interpolated", "flipped")
    }
    return {name: np.array([bool(row.get(frame)) for frame in frames.tolist()]) for name, row in rows.items()}
