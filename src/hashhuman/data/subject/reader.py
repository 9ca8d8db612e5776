"""Reads a subject folder: its cameras, pictures, masks and part labels, and (`SubjectBody`) its body."""

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from hashhuman.data import lip
from hashhuman.data.silhouette import around, silhouette
from hashhuman.data.subject.annots import read_annots
from hashhuman.data.subject.arrays import shape_text
from hashhuman.data.subject.body import SubjectBody
from hashhuman.data.subject.layout import FINDING, REFINED_MASKS, VERSION, Picture, frame_of
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.io import files, masks
from hashhuman.io.digests import Digests
from hashhuman.io.inside import check_inside

SUFFIXES = (".png", ".jpg", ".npy")
"""Of masks and part labels, in the order in which they are looked for."""


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, int) for each in value)


class Subject(SubjectBody):
    """A subject folder.

    The constructor reads annots.npy and lists folders. Pictures and bodies are read when a method asks for them.

    Args:
        root: the subject folder.
        smpl_meta: for folders whose `smpl_lbs/` is incomplete, a folder with `faces.npy`, `parents.npy` and
            `weights.npy`, or SMPL's own file, from which joints and rest vertices come too.
        masks: the folder of masks, such as `mask_refined`; pictures that have none there take theirs of `mask`.

    The constructor and every method raise UserError for a file that is malformed, or that is missing and cannot be
    derived.
    """

    camera_names: list[str]  # folder names of the pictures, such as "00"
    frames: list[int]  # of the pictures, ascending
    pictures: list[Picture]
    meta: dict[str, Any]  # subject.json; empty if there is none
    scene: dict[str, Any] | None  # scene.json, which scenes with ground truth have

    def __init__(self, root: Path | str, smpl_meta: Path | str | None = None, masks: str = "mask") -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise UserError(
                f"There is no subject folder {self.root}; preprocess a video into it, or correct data.root."
            )
        smpl_meta = Path(smpl_meta) if smpl_meta is not None else None
        if smpl_meta is not None and not smpl_meta.exists():
            raise UserError(
                f"There is no folder {smpl_meta}; data.smpl_meta names one with faces.npy and weights.npy, or "
                "SMPL's file."
            )
        self.meta = self._json("subject.json") or {}
        version, names = self.meta.get("version", VERSION), self.meta.get("joint_names", [])
        if not isinstance(version, int) or not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise UserError(f"{self.root / 'subject.json'} is damaged: run preprocessing again, which restores it.")
        if version > VERSION:
            raise UserError(f"{self.root / 'subject.json'} was written by a newer version of this program; update it.")
        super().__init__(self.root, smpl_meta, tuple(names))
        self.scene = self._json("scene.json")
        if self.scene is not None and not isinstance(self.scene.get("frames"), int | None):
            raise UserError(f"{self.root / 'scene.json'}: frames must be a number: correct it.")
        self._annots = read_annots(self.path("annots.npy"))
        self.camera_names = [f"{camera:02d}" for camera in range(len(self._annots.K))]
        for row in reversed(self._annots.pictures):
            for camera, path in enumerate(row):
                self.camera_names[camera] = path.parent.name or self.camera_names[camera]  # pictures beside annots.npy
        if Path(masks).name != masks:
            raise UserError(f"data.masks={masks} must be the name of a folder in {self.root}, such as mask_refined.")
        if masks != "mask" and not (self.root / masks).is_dir():
            raise UserError(
                f"There is no folder {self.root / masks}: correct data.masks, or write it with `hashhuman write-masks`."
            )
        self.pictures = self._present(self._annots.pictures, (masks, "mask", "mask_cihp"))
        if not self.pictures:
            raise UserError(f"{self.root} holds none of the pictures that its {self._names['annots.npy']} lists.")
        self.frames = sorted({picture.frame for picture in self.pictures})

    def _json(self, name: str) -> dict[str, Any] | None:
        path = self.root / name
        if not path.exists():
            return None
        value = files.load_json(path)
        if not isinstance(value, dict):
            raise UserError(f"{path} must hold a JSON object: run preprocessing again, which restores it.")
        return value

    def _present(self, listed: list[list[PurePosixPath]], masks: Sequence[str]) -> list[Picture]:
        """The listed pictures that exist, each with its mask, of the first folder that has one, and its part labels."""

        @functools.cache
        def names(folder: Path) -> set[str]:  # listing a folder once is faster than looking up each picture
            return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()

        def find(folders: Sequence[str], path: PurePosixPath) -> Path | None:
            tails = [PurePosixPath(*path.parts[1:]), path] if path.parts[0] == "images" else [path]
            paths = [self.root / folder / tail for folder in folders for tail in tails]
            candidates = [path.with_suffix(suffix) for suffix in SUFFIXES for path in paths]
            return next((p for p in candidates if p.name in names(p.parent)), None)

        pictures = []
        for row in listed:
            for camera, path in enumerate(row):
                image = self.root / path
                if image.name in names(image.parent):
                    frame = frame_of(path.stem)
                    if frame is None:
                        raise UserError(f"{image} is not named by its frame's number, like images/00/000012.jpg.")
                    mask, parts = find(masks, path), find(("schp",), path)
                    pictures.append(Picture(camera, frame, image, mask, parts))
        return pictures

    @property
    def train_frames(self) -> int | None:
        """Number of training frames that scene.json states (`frames`); None if it states none."""
        return None if self.scene is None else self.scene.get("frames")

    @functools.cached_property
    def splits(self) -> dict[str, list[int]] | None:
        """The frames of `train`, `heldout` and `novel_pose` that subject.json states; None if it states none."""
        stated = self.meta.get("splits")
        if stated is None:
            return None
        names = {"train", "heldout", "novel_pose"}
        if not isinstance(stated, dict) or stated.keys() != names or not all(map(_is_numbers, stated.values())):
            raise UserError(
                f"{self.root / 'subject.json'}: splits must hold the frames of train, heldout and novel_pose."
            )
        frames = [frame for row in stated.values() for frame in row]
        if len(frames) != len(set(frames)):
            raise UserError(f"{self.root / 'subject.json'}: splits names a frame twice.")
        return stated

    @property
    def findings(self) -> list[tuple[str, str, str, str]] | None:
        """What preprocessing found: verdict (ok, warn, bad), name, value, advice; None if findings.json is missing."""
        path = self.root / "findings.json"
        if not path.exists():
            return None
        found = files.load_json(path)
        if not isinstance(found, list) or not all(isinstance(row, dict) and row.keys() == {*FINDING} for row in found):
            raise UserError(f"{path} holds no findings: run preprocessing again, which restores it.")
        return [tuple(str(row[key]) for key in FINDING) for row in found]  # type: ignore[misc]

    @functools.cached_property
    def _sizes(self) -> dict[int, tuple[int, int]]:
        return {}

    @functools.cached_property
    def _plates(self) -> dict[int, tuple[np.ndarray, np.ndarray] | None]:
        return {}

    def camera(self, index: int) -> Camera:
        """Camera `index` (position in annots.npy) of the undistorted pictures, float32, T in metres."""
        if index not in self._sizes:
            self._sizes[index] = self._size_of_pictures(index)
        K, R, T = (torch.from_numpy(x[index]).float() for x in (self._annots.K, self._annots.R, self._annots.T))
        return Camera(K, R, T, *self._sizes[index])

    def _size_of_pictures(self, camera: int) -> tuple[int, int]:
        """Height and width of a camera's first picture that is not damaged."""
        damage: UserError | None = None
        for picture in (picture for picture in self.pictures if picture.camera == camera):
            try:
                height, width = files.read_image(picture.image).shape[:2]
                return height, width
            except UserError as error:
                damage = damage or error
        raise damage or UserError(f"{self.root} has no picture of camera {camera} ({self.camera_names[camera]}).")

    def distortion(self, index: int) -> Float[np.ndarray, "5"]:
        """OpenCV's k1, k2, p1, p2, k3 of the pictures on disk, float64. `image`, `mask` and `parts` undo it."""
        return self._annots.D[index]

    def image(self, picture: Picture) -> UInt8[np.ndarray, "H W 3"]:
        """The undistorted picture, RGB."""
        image = files.read_rgb(picture.image)
        size = self._sizes.setdefault(picture.camera, image.shape[:2])
        if size != image.shape[:2]:
            raise UserError(
                f"{picture.image} is {shape_text(image.shape)}, other pictures of its camera are {shape_text(size)}."
            )
        return self._undistort(image, picture.camera, cv2.INTER_LINEAR)

    def mask(self, picture: Picture) -> Float[np.ndarray, "H W"]:
        """The person's coverage of each pixel of the undistorted picture, in [0, 1], float32.

        If there is no mask, the person is where the part labels are not background. `hashhuman.io.masks` says which
        kinds of files are masks; of several ids, those that lie about the body are the person.
        """
        path = picture.mask or picture.parts
        if path is None:
            raise UserError(f"There is no mask of {picture.image}: add {self.root / 'mask'}/CC/FFFFFF.png.")
        camera = self.camera(picture.camera)
        folder = path.relative_to(self.root).parts[0]
        read = masks.read_coverage if folder == REFINED_MASKS else masks.read_ids_or_coverage
        mask = masks.fit(read(path), camera.height, camera.width, path)
        if mask.dtype.kind == "f":
            return self._undistort(masks.chosen(mask, None, path), picture.camera, cv2.INTER_LINEAR)
        people = folder == "mask" and len(np.unique(mask)) > 2
        if people:  # several ids: parts of the body, or several people
            mask = self._undistort(mask.astype(np.uint16), picture.camera, cv2.INTER_NEAREST)
            body = silhouette(camera, self.vertices(picture.frame), self.template().faces.numpy())
            return masks.chosen(mask, around(body), path)
        return self._undistort(masks.chosen(mask, None, path), picture.camera, cv2.INTER_LINEAR)

    def shows_nobody(self, picture: Picture) -> bool:
        """Whether the picture's mask is empty; False without a mask, and for a damaged one, which `mask` refuses."""
        try:
            return picture.mask is not None and not masks.read_ids_or_coverage(picture.mask).any()
        except UserError:
            return False

    def parts(self, picture: Picture) -> UInt8[np.ndarray, "H W"]:
        """LIP classes (`hashhuman.data.lip`) of the undistorted picture, 0 for the background."""
        if picture.parts is None:
            raise UserError(f"There are no part labels of {picture.image}: add {self.root / 'schp'}/CC/FFFFFF.png.")
        labels = files.read_image(picture.parts)
        labels = lip.decode(labels) if labels.ndim == 3 else labels
        labels = self._fit(labels, picture, picture.parts, cv2.INTER_NEAREST)
        return self._undistort(labels, picture.camera, cv2.INTER_NEAREST)

    def plate(self, camera: int) -> tuple[UInt8[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]] | None:
        """What a static camera sees without the person: undistorted RGB, and where it is known; None without a plate.

        Raises UserError if it does not have the size of the camera's pictures.
        """
        if camera not in self._plates:
            self._plates[camera] = self._read_plate(camera)
        return self._plates[camera]

    def _read_plate(self, camera: int) -> tuple[np.ndarray, np.ndarray] | None:
        paths = self._plate_paths(camera)
        if not paths[0].exists():
            return None
        color, known, seen = files.read_rgb(paths[0]), files.read_image(paths[1]), self.camera(camera)
        size = seen.height, seen.width
        if color.shape[:2] != size or known.shape != size:
            folder = paths[0].parent
            raise UserError(f"{folder} must hold pictures of {shape_text(size)}, like its camera's; delete it.")
        color = self._undistort(color, camera, cv2.INTER_LINEAR)
        return color, self._undistort(known, camera, cv2.INTER_LINEAR) == 255

    def _plate_paths(self, camera: int) -> list[Path]:
        folder = self.root / "plate" / self.camera_names[camera]
        return [folder / "color.png", folder / "known.png"]

    def _fit(self, mask: np.ndarray, picture: Picture, path: Path, interpolation: int) -> np.ndarray:
        """Resizes a mask to its picture's size, since some subject folders hold smaller masks."""
        camera = self.camera(picture.camera)
        height, width = camera.height, camera.width
        if mask.shape == (height, width):
            return mask
        if mask.shape[0] * width != mask.shape[1] * height:
            raise UserError(f"{path} is {shape_text(mask.shape)}, but its picture is {shape_text((height, width))}.")
        return cv2.resize(mask, (width, height), interpolation=interpolation)

    def _undistort(self, image: np.ndarray, camera: int, interpolation: int) -> np.ndarray:
        K, D = self._annots.K[camera], self._annots.D[camera]
        if not D.any():
            return image
        size = image.shape[1::-1]
        x, y = cv2.initUndistortRectifyMap(K, D, np.eye(3), K, size, cv2.CV_32FC1)
        return cv2.remap(image, x, y, interpolation)

    def digest(self) -> str:
        """The SHA-256 of all that training and evaluation read here: the `sources` of all pictures, with their names.

        It is the same wherever the folder lies. subject.json is left out, since reports write into it. Files that have
        not changed since the last time are not read again: `cache/digests.json` has theirs.
        """
        found, inside = hashlib.sha256(), {}
        for path in self.sources(self.pictures):
            if path != self.root / "subject.json":
                inside[path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)] = path
        remembered = self.root / "cache" / "digests.json"
        check_inside(self.root, [remembered])
        for name, digest in Digests(remembered).of(inside).items():
            found.update(f"{Path(name).name if Path(name).is_absolute() else name}\0{digest}\n".encode())
        return found.hexdigest()

    def sources(self, pictures: Sequence[Picture]) -> list[Path]:
        """All existing files from which pictures, plates, masks, part labels and bodies are read, sorted."""
        folders = ("smpl_params", "smpl_vertices")
        bodies = (self.path(f"{folder}/{p.frame}.npy") for folder in folders for p in pictures)
        named = (path for p in pictures for path in (p.image, p.mask, p.parts) if path is not None)
        meta = [] if self.smpl_meta is None else [self.smpl_meta]
        shared = [path for folder in (self.path("smpl_lbs"), *meta) for path in folder.glob("*.npy")]
        shared += [path for path in meta if path.is_file()]
        plates = (path for camera in {p.camera for p in pictures} for path in self._plate_paths(camera))
        once = {*bodies, *named, *shared, *plates, self.path("annots.npy"), self.root / "subject.json"}
        return sorted(path for path in once if path.exists())
