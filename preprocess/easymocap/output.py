"""Reads the files that EasyMocap writes: detections, bodies, vertices, cameras.

    annots/CC/FFFFFF.json             {height, width, annots: [{personID, bbox, keypoints 25 x 3 (BODY_25), ...}]}
    output*/smpl/FFFFFF.json          [{id, Rh 1 x 3, Th 1 x 3, poses 1 x 69 or 72, shapes 1 x 10}] (or {annots: [...]})
    output*/vertices/FFFFFF.json      [{id, vertices V x 3}], if it was asked for them
    intri.yml, extri.yml              its cameras, if they were calibrated

Bodies follow the same convention as our subject folder: world = rotation(Rh) posed + Th, with poses[:3] zero; metres,
radians.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hashhuman.errors import UserError
from hashhuman.io.files import load_json
from preprocess.calibration.cameras import Calibration
from preprocess.calibration.opencv import EXTRI, INTRI, read_easymocap
from preprocess.skeleton import BODY_25

BODIES, VERTICES = ("smpl",), ("vertices", "smplmesh")
"""Names that the folder of each kind of result may have."""
FOCAL = 1.2  # times the shorter side: the focal length that EasyMocap assumes without a calibration (its SVDataset)


@dataclasses.dataclass(frozen=True)
class Person:
    """One person detected in one picture."""

    id: int
    keypoints: Float[np.ndarray, "25 3"]  # BODY_25: x, y in pixels, confidence


@dataclasses.dataclass(frozen=True)
class Body:
    """One fitted body in one frame, in EasyMocap's parameters (radians, metres)."""

    id: int
    body_pose: Float[np.ndarray, "J 3"]
    orient: Float[np.ndarray, "3"]
    transl: Float[np.ndarray, "3"]
    betas: Float[np.ndarray, " S"]


@dataclasses.dataclass(frozen=True)
class Output:
    """A folder that EasyMocap has written.

    Frame F of the subject is number `start + step F` in the folder. Every method raises UserError if a file is missing
    or malformed.
    """

    root: Path
    camera: str | None = None  # its folder in annots/ and its name in intri.yml; None: the only one, or the first
    results: Path | None = None  # the folder that holds smpl/; None: the only one in the root or its output*/
    start: int = 0
    step: int = 1

    def number(self, frame: int) -> str:
        """The name (without suffix) of a frame's files."""
        return f"{self.start + self.step * frame:06d}"

    # ------------------------------------------------------------------ detections

    @property
    def annots(self) -> Path:
        """The folder with the camera's detections."""
        return self._of_camera(self.root / "annots")

    def people(self, frame: int) -> tuple[list[Person], tuple[int, int] | None]:
        """The people detected in a frame, and the picture's height and width, if the file says."""
        path = self.annots / f"{self.number(frame)}.json"
        people = [
            Person(_id(path, entry, row), _array(path, entry, "keypoints", (len(BODY_25), 3)))
            for row, entry in enumerate(_entries(path))
            if "keypoints" in entry
        ]
        about = load_json(path)
        size = (about.get("height"), about.get("width")) if isinstance(about, dict) else (None, None)
        height, width = (length if isinstance(length, int) and length > 0 else None for length in size)
        return people, None if height is None or width is None else (height, width)

    # ------------------------------------------------------------------ bodies

    def folder(self, names: Iterable[str]) -> Path | None:
        """The folder of one kind of result (`BODIES`, `VERTICES`), or None if there is none."""
        if self.results is not None:
            places = [self.results]
        else:
            places = [self.root, *sorted(self.root.glob("output*")), *sorted(self.root.glob("output*/*"))]
        found = [place / name for place in places for name in names if (place / name).is_dir()]
        if len(found) > 1:
            raise UserError(f"{found[0]} and {found[1]} both hold results: choose with preprocess.easymocap.results=.")
        return self._of_camera(found[0]) if found else None

    def people_fitted(self, frames: Sequence[int], joints: int) -> list[dict[int, Body]]:
        """Everybody's body in every frame, by EasyMocap's ids.

        Args:
            frames: of the subject.
            joints: how many joints the body model has.
        """
        folder = self.folder(BODIES)
        if folder is None:
            raise UserError(
                f"{self.results or self.root} holds no bodies: EasyMocap writes them into a folder called smpl."
            )
        found = [self._bodies(folder / f"{self.number(frame)}.json", joints) for frame in frames]
        if not any(found):
            raise UserError(f"The files in {folder} hold no body.")
        return found

    def bodies(self, found: Sequence[dict[int, Body]], frames: Sequence[int], ids: Sequence[int]) -> list[Body]:
        """One person's body in every frame.

        Args:
            found: everybody's, by `people_fitted`.
            frames: of the subject.
            ids: EasyMocap's ids of the person; where a frame has several, the first counts.
        """
        absent = [self.number(frame) for frame, each in zip(frames, found) if not any(id in each for id in ids)]
        if absent:
            known, who = sorted({id for each in found for id in each}), " or ".join(map(str, ids))
            raise UserError(
                f"{self.folder(BODIES)} has no body of person {who} in {len(absent)} of {len(frames)} frames, first "
                f"{absent[0]}: exclude them with preprocess.frames.start and stop, or choose another person of {known} "
                "(preprocess.body_fit.person)."
            )
        return [next(each[id] for id in ids if id in each) for each in found]

    def _bodies(self, path: Path, joints: int) -> dict[int, Body]:
        bodies = {}
        for row, entry in enumerate(_entries(path)):
            poses = _array(path, entry, "poses", None)
            if poses.size not in (3 * joints, 3 * joints - 3):
                raise UserError(f"{path}: poses has {poses.size} numbers, not {3 * joints} as the body model needs.")
            full = np.concatenate([np.zeros(3 * joints - poses.size), poses.ravel()]).reshape(joints, 3)
            if abs(full[0]).max() > 1e-3:
                raise UserError(f"{path}: the first three poses must be zero, Rh turns the body; is it EasyMocap's?")
            orient, transl = (_array(path, entry, name, (3,)) for name in ("Rh", "Th"))
            body = Body(_id(path, entry, row), full, orient, transl, _array(path, entry, "shapes", None).ravel())
            bodies[body.id] = body
        return bodies

    def vertices(self, frame: int, person: int) -> Float[np.ndarray, "V 3"] | None:
        """A body's vertices (world, m), or None if EasyMocap wrote no vertices."""
        folder = self.folder(VERTICES)
        if folder is None:
            return None
        path = folder / f"{self.number(frame)}.json"
        for row, entry in enumerate(_entries(path)):
            if _id(path, entry, row) == person:
                return _array(path, entry, "vertices", (-1, 3))
        raise UserError(f"{path} has no vertices of person {person}.")

    # ------------------------------------------------------------------ cameras

    def calibration(self) -> Calibration | None:
        """The camera, or None without intri.yml and extri.yml; EasyMocap then used `assumed_intrinsics`."""
        if not ((self.root / INTRI).exists() and (self.root / EXTRI).exists()):
            return None
        cameras = read_easymocap(self.root)
        name = self.camera if self.camera is not None else min(cameras, default="")
        if name not in cameras:
            raise UserError(f"{self.root / INTRI} has no camera {name!r}; it has {', '.join(cameras)}.")
        return cameras[name]

    def _of_camera(self, folder: Path) -> Path:
        """The camera's folder in a folder, or the folder itself if it is not divided by cameras."""
        if self.camera is not None and (folder / self.camera).is_dir():
            return folder / self.camera
        inner = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        return inner[0] if inner and not any(folder.glob("*.json")) else folder


def assumed_intrinsics(height: int, width: int) -> Float[np.ndarray, "3 3"]:
    """K (pixels) that EasyMocap assumes without a calibration. Its camera stands at the origin and looks along z."""
    focal = FOCAL * min(height, width)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def _entries(path: Path) -> list[dict[str, Any]]:
    """The people in a file: it is a list of them, or holds that list under `annots`."""
    content = load_json(path)
    entries = content.get("annots") if isinstance(content, dict) else content
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{path} is not a file of EasyMocap: it must hold a list of people, or one under annots.")
    return entries


def _id(path: Path, entry: dict[str, Any], row: int) -> int:
    value = entry.get("id", entry.get("personID", row))
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"{path}: the id of a person must be a whole number, not {str(value)[:40]!r}.")
    return value


def _array(path: Path, entry: dict[str, Any], name: str, shape: tuple[int, ...] | None) -> np.ndarray:
    """An entry's numbers in the given shape (None: as they are)."""
    try:
        array = np.asarray(entry[name], np.float64)
        array = array if shape is None else array.reshape(shape)
    except (KeyError, TypeError, ValueError, OverflowError):
        expected = "" if shape is None else f" ({' x '.join('any' if n < 0 else str(n) for n in shape)})"
        raise UserError(f"{path}: a person lacks the numbers {name}{expected}.") from None
    if not np.isfinite(array).all():
        raise UserError(f"{path}: {name} of a person holds numbers that are not finite.")
    return array
