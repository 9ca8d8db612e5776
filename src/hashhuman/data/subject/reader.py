"""Reads a subject folder, and derives what it lacks."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from hashhuman.body import volumes
from hashhuman.body.template import SMPL_JOINTS, BodyPose, BodyTemplate
from hashhuman.data import lip
from hashhuman.data.subject.layout import MILLIMETRES, VERSION, Picture
from hashhuman.errors import UserError
from hashhuman.geometry import skinning
from hashhuman.geometry.camera import Camera
from hashhuman.io import files


class Subject:
    """Reads a subject folder.

    Opening it reads annots.npy and lists folders; pictures and bodies are read when asked for.

    Args:
        root: the subject folder.
        smpl_meta: a folder with `faces.npy`, `parents.npy` and `weights.npy`, for folders whose `smpl_lbs/` lacks them.

    Raises UserError, here and in every method, for a file that is missing and cannot be derived, or is malformed.
    """

    root: Path
    camera_names: list[str]
    frames: list[int]  # of the pictures, ascending
    pictures: list[Picture]
    meta: dict[str, Any]  # subject.json, or empty
    scene: dict[str, Any] | None  # scene.json of a ground-truth scene

    def __init__(self, root: Path | str, smpl_meta: Path | str | None = None) -> None:
        self.root = Path(root)
        self.smpl_meta = Path(smpl_meta) if smpl_meta is not None else None
        if not self.root.is_dir():
            raise UserError(
                f"There is no subject folder {self.root}; preprocess a video into it, or correct data.root."
            )
        if self.smpl_meta is not None and not self.smpl_meta.is_dir():
            raise UserError(
                f"There is no folder {self.smpl_meta}; data.smpl_meta names one with faces.npy and weights.npy."
            )
        self.meta = self._json("subject.json") or {}
        if self.meta.get("version", VERSION) > VERSION:
            raise UserError(f"{self.root / 'subject.json'} was written by a newer version of this program; update it.")
        self.scene = self._json("scene.json")
        self._K, self._D, self._R, self._T, listed = _read_annots(self.root / "annots.npy")
        self.camera_names = [f"{camera:02d}" for camera in range(len(self._K))]
        for row in reversed(listed):
            for camera, path in enumerate(row):
                self.camera_names[camera] = path.parent.name
        self.pictures = self._present(listed)
        if not self.pictures:
            raise UserError(f"{self.root} holds none of the pictures that its annots.npy lists.")
        self.frames = sorted({picture.frame for picture in self.pictures})

    def _json(self, name: str) -> dict[str, Any] | None:
        path = self.root / name
        if not path.exists():
            return None
        value = files.load_json(path)
        if not isinstance(value, dict):
            raise UserError(f"{path} must hold a JSON object; delete it, or make it anew.")
        return value

    def _present(self, listed: list[list[PurePosixPath]]) -> list[Picture]:
        @functools.cache
        def names(folder: Path) -> set[str]:  # one listing a folder instead of one look-up a picture
            return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()

        def find(folders: Sequence[str], path: PurePosixPath) -> Path | None:
            tails = [PurePosixPath(*path.parts[1:]), path] if path.parts[0] == "images" else [path]
            candidates = [self.root / folder / tail.with_suffix(".png") for folder in folders for tail in tails]
            return next((p for p in candidates if p.name in names(p.parent)), None)

        pictures = []
        for row in listed:
            for camera, path in enumerate(row):
                image = self.root / path
                if image.name in names(image.parent):
                    if not path.stem.isdigit():
                        raise UserError(f"{image} is not named by its frame's number, like images/00/000012.jpg.")
                    mask, parts = find(("mask", "mask_cihp"), path), find(("schp",), path)
                    pictures.append(Picture(camera, int(path.stem), image, mask, parts))
        return pictures

    @property
    def train_frames(self) -> int | None:
        """How many frames the folder itself reserves for training (scene.json's `frames`), if it says so."""
        return None if self.scene is None else self.scene.get("frames")

    @functools.cached_property
    def posed_frames(self) -> list[int]:
        """Frames with a body in smpl_params/, ascending."""
        return sorted(int(p.stem) for p in (self.root / "smpl_params").glob("*.npy") if p.stem.isdigit())

    # ------------------------------------------------------------------ cameras and pictures

    @functools.cached_property
    def _sizes(self) -> dict[int, tuple[int, int]]:
        return {}

    def camera(self, index: int) -> Camera:
        """The camera of the undistorted pictures; float32, T in metres."""
        if index not in self._sizes:
            first = next((picture for picture in self.pictures if picture.camera == index), None)
            if first is None:
                raise UserError(f"{self.root} has no picture of camera {index} ({self.camera_names[index]}).")
            self._sizes[index] = files.read_image(first.image).shape[:2]
        K, R, T = (torch.from_numpy(x[index]).float() for x in (self._K, self._R, self._T))
        return Camera(K, R, T, *self._sizes[index])

    def distortion(self, index: int) -> Float[np.ndarray, "5"]:
        """OpenCV's k1, k2, p1, p2, k3 of the recorded pictures (undone by `image`, `mask` and `parts`); float64."""
        return self._D[index]

    def image(self, picture: Picture) -> UInt8[np.ndarray, "H W 3"]:
        """The undistorted picture, RGB."""
        image = files.read_rgb(picture.image)
        size = self._sizes.setdefault(picture.camera, image.shape[:2])
        if size != image.shape[:2]:
            raise UserError(f"{picture.image} is {_size(image.shape)}, other pictures of its camera are {_size(size)}.")
        return self._undistort(image, picture.camera, cv2.INTER_LINEAR)

    def mask(self, picture: Picture) -> Float[np.ndarray, "H W"]:
        """How much of each pixel of the undistorted picture the person covers, in [0, 1], float32.

        Where there is no mask, every part label but the background's counts as the person.
        """
        path = picture.mask or picture.parts
        if path is None:
            raise UserError(f"There is no mask of {picture.image}: add {self.root / 'mask'}/CC/FFFFFF.png.")
        mask = files.read_image(path)
        mask = mask.max(-1) if mask.ndim == 3 else mask
        labels = path.relative_to(self.root).parts[0] != "mask" or mask.max() <= 1
        coverage = (mask != 0).astype(np.float32) if labels else mask.astype(np.float32) / 255
        coverage = self._fit(coverage, picture, path, cv2.INTER_LINEAR)
        return self._undistort(coverage, picture.camera, cv2.INTER_LINEAR)

    def parts(self, picture: Picture) -> UInt8[np.ndarray, "H W"]:
        """LIP classes (`hashhuman.data.lip`) of the undistorted picture, 0 for the background."""
        if picture.parts is None:
            raise UserError(f"There are no part labels of {picture.image}: add {self.root / 'schp'}/CC/FFFFFF.png.")
        labels = files.read_image(picture.parts)
        labels = lip.decode(labels) if labels.ndim == 3 else labels
        labels = self._fit(labels, picture, picture.parts, cv2.INTER_NEAREST)
        return self._undistort(labels, picture.camera, cv2.INTER_NEAREST)

    def _fit(self, mask: np.ndarray, picture: Picture, path: Path, interpolation: int) -> np.ndarray:
        """Brings a mask to its picture's size (some recordings store smaller masks)."""
        camera = self.camera(picture.camera)
        height, width = camera.height, camera.width
        if mask.shape == (height, width):
            return mask
        if mask.shape[0] * width != mask.shape[1] * height:
            raise UserError(f"{path} is {_size(mask.shape)}, but its picture is {_size((height, width))}.")
        return cv2.resize(mask, (width, height), interpolation=interpolation)

    def _undistort(self, image: np.ndarray, camera: int, interpolation: int) -> np.ndarray:
        if not self._D[camera].any():
            return image
        K, size = self._K[camera], image.shape[1::-1]
        x, y = cv2.initUndistortRectifyMap(K, self._D[camera], np.eye(3), K, size, cv2.CV_32FC1)
        return cv2.remap(image, x, y, interpolation)

    def sources(self, pictures: Sequence[Picture]) -> list[Path]:
        """All files that may decide how pictures, their masks, part labels and bodies are read."""
        bodies = (
            self.root / folder / f"{p.frame}.npy" for folder in ("smpl_params", "smpl_vertices") for p in pictures
        )
        named = (path for p in pictures for path in (p.image, p.mask, p.parts) if path is not None)
        folders = (self.root / "smpl_lbs", *([self.smpl_meta] if self.smpl_meta is not None else []))
        shared = (path for folder in folders for path in folder.glob("*.npy"))
        once = {*bodies, *named, *shared, self.root / "annots.npy", self.root / "subject.json"}
        return sorted(path for path in once if path.exists())

    # ------------------------------------------------------------------ body

    @functools.cached_property
    def _template(self) -> BodyTemplate:
        joints = self._array("smpl_lbs/joints.npy", (None, 3))
        weights = self._array("smpl_lbs/weights.npy", (None, len(joints)), meta="weights.npy")
        faces = self._array("smpl_lbs/faces.npy", (None, 3), meta="faces.npy").astype(np.int64)
        parents = self._array("smpl_lbs/parents.npy", (len(joints),), meta="parents.npy").astype(np.int64)
        if (parents[1:] >= np.arange(1, len(parents))).any() or (parents[1:] < 0).any():
            raise UserError(
                f"{self.root / 'smpl_lbs/parents.npy'} must list each joint's parent before the joint itself."
            )
        if faces.min() < 0 or faces.max() >= len(weights):
            raise UserError(f"The faces of {self.root} name vertices that the body, of {len(weights)}, does not have.")
        total = weights.sum(1, keepdims=True)
        if (weights < -1e-4).any() or (abs(total - 1) > 0.05).any():
            raise UserError(f"The skinning weights of {self.root} must be positive and add up to one at each vertex.")
        template = BodyTemplate(
            vertices=torch.zeros(len(weights), 3),
            faces=torch.from_numpy(faces),
            lbs_weights=torch.from_numpy(weights / total).float(),
            joints=torch.from_numpy(joints).float(),
            parents=(-1, *parents[1:].tolist()),  # SMPL's own root parent is 2^32 - 1
            joint_names=self._joint_names(len(joints)),
        )
        template = dataclasses.replace(template, vertices=self._rest_vertices(template))
        return dataclasses.replace(template, uv=torch.from_numpy(self._uv(template)).float())

    def template(self) -> BodyTemplate:
        """The shaped rest body, float32; texture coordinates are derived if the folder has none."""
        return self._template

    def _joint_names(self, count: int) -> tuple[str, ...]:
        names = tuple(self.meta.get("joint_names", ()))
        if names and len(names) != count:
            raise UserError(f"{self.root / 'subject.json'} names {len(names)} joints, smpl_lbs/joints.npy has {count}.")
        if names:
            return names
        return SMPL_JOINTS if count == len(SMPL_JOINTS) else tuple(f"joint_{i}" for i in range(count))

    def _rest_vertices(self, template: BodyTemplate) -> torch.Tensor:
        shape = (len(template.lbs_weights), 3)
        if (self.root / "smpl_lbs/tvertices.npy").exists():
            return torch.from_numpy(self._array("smpl_lbs/tvertices.npy", shape)).float()
        if (self.root / "smpl_lbs/bigpose_vertices.npy").exists():
            posed = torch.from_numpy(self._array("smpl_lbs/bigpose_vertices.npy", shape)).float()
            body_pose = template.big_pose()
        else:
            frame = next((f for f in self.posed_frames if (self.root / f"smpl_vertices/{f}.npy").exists()), None)
            if frame is None:
                raise UserError(
                    f"{self.root} has no body: neither smpl_lbs/tvertices.npy nor smpl_lbs/bigpose_vertices.npy, nor a "
                    "frame with both smpl_params/ and smpl_vertices/; run the body fit."
                )
            pose = self._read_pose(frame, len(template.parents))
            world = torch.from_numpy(self._array(f"smpl_vertices/{frame}.npy", shape)).float()
            posed = skinning.transform(skinning.invert_affine(pose.world_from_posed()), world)
            body_pose = pose.body_pose
        blended = skinning.blend(template.lbs_weights, template.bone_transforms(body_pose))
        return skinning.transform(skinning.invert_affine(blended), posed)

    def _uv(self, template: BodyTemplate) -> np.ndarray:
        if (self.root / "smpl_lbs/uv.npy").exists():
            return self._array("smpl_lbs/uv.npy", (len(template.vertices), 2))
        big_pose = self._big_pose_vertices(template)
        if (self.root / "bigpose_uv.npy").exists():
            volume = self._volume("bigpose_uv.npy", 2, big_pose)
            return volumes.vertex_values(volume, volumes.volume_origin(big_pose), volumes.STEP, big_pose)
        return volumes.front_back_uv(template.vertices.numpy(), template.faces.numpy())

    def pose(self, frame: int) -> BodyPose:
        """The pose of a frame, float32."""
        return self._read_pose(frame, len(self.template().parents))

    def _read_pose(self, frame: int, joints: int) -> BodyPose:
        path = self.root / f"smpl_params/{frame}.npy"
        params = files.load_npy(path)
        if not isinstance(params, dict) or not {"poses", "Rh", "Th"} <= params.keys():
            raise UserError(f"{path} must hold a dictionary with poses, Rh and Th.")
        fields = {}
        for name, size in (("poses", 3 * joints), ("Rh", 3), ("Th", 3)):
            value = np.asarray(params[name])
            if value.size != size or value.dtype.kind not in "fiu" or not np.isfinite(value).all():
                raise UserError(f"{path}: {name} must hold {size} finite numbers, not {_describe(value)}.")
            fields[name] = torch.from_numpy(value.astype(np.float32).reshape(-1))
        return BodyPose(fields["poses"].reshape(-1, 3), fields["Rh"], fields["Th"])

    def vertices(self, frame: int) -> Float[np.ndarray, "V 3"]:
        """The body's vertices in the world (m), float32; skinned from the template where smpl_vertices/ lacks them."""
        if (self.root / f"smpl_vertices/{frame}.npy").exists():
            return self._array(f"smpl_vertices/{frame}.npy", (len(self.template().vertices), 3)).astype(np.float32)
        pose = self.pose(frame)
        posed = self.template().pose_vertices(pose.body_pose)
        return skinning.transform(pose.world_from_posed(), posed).numpy()

    def posed_vertices(self, frame: int) -> Float[np.ndarray, "V 3"]:
        """The same vertices in posed space (m): before `orient` and `transl` are applied."""
        posed_from_world = skinning.invert_affine(self.pose(frame).world_from_posed())
        return skinning.transform(posed_from_world, torch.from_numpy(self.vertices(frame))).numpy()

    def big_pose_vertices(self) -> Float[np.ndarray, "V 3"]:
        """The body's vertices in canonical space (m), float32."""
        return self._big_pose_vertices(self.template())

    def _big_pose_vertices(self, template: BodyTemplate) -> np.ndarray:
        if (self.root / "smpl_lbs/bigpose_vertices.npy").exists():
            shape = (len(template.vertices), 3)
            return self._array("smpl_lbs/bigpose_vertices.npy", shape).astype(np.float32)
        return template.pose_vertices(template.big_pose()).numpy()

    # ------------------------------------------------------------------ volumes

    def blend_weight_volume(
        self, frame: int | None = None
    ) -> tuple[Float[np.ndarray, "X Y Z J1"], Float[np.ndarray, "3"], float]:
        """Skinning weights around the canonical body, or around a frame's posed body; origin (m) and step (m).

        The last channel is the distance to the body (m). Derived from the nearest vertices where there is no file.
        """
        name = "smpl_lbs/bigpose_bw.npy" if frame is None else f"smpl_lbs/bweights/{frame}.npy"
        vertices = self.big_pose_vertices() if frame is None else self.posed_vertices(frame)
        template = self.template()
        if (self.root / name).exists():
            volume = self._volume(name, len(template.parents) + 1, vertices)
            return volume, volumes.volume_origin(vertices), volumes.STEP
        return volumes.blend_weight_volume(vertices, template.faces.numpy(), template.lbs_weights.numpy())

    def uv_volume(self) -> tuple[Float[np.ndarray, "X Y Z 2"], Float[np.ndarray, "3"], float]:
        """Texture coordinates around the canonical body; origin (m) and step (m)."""
        vertices, template = self.big_pose_vertices(), self.template()
        origin = volumes.volume_origin(vertices)
        if (self.root / "bigpose_uv.npy").exists():
            return self._volume("bigpose_uv.npy", 2, vertices), origin, volumes.STEP
        assert template.uv is not None  # `template` derives what is missing
        return volumes.uv_volume(vertices, template.faces.numpy(), template.uv.numpy()), origin, volumes.STEP

    def _volume(self, name: str, channels: int, vertices: np.ndarray) -> np.ndarray:
        volume = self._array(name, (None, None, None, channels))
        nodes = (np.ptp(vertices, axis=0) + 2 * volumes.PAD) / volumes.STEP + 1
        if (abs(volume.shape[:3] - nodes) > 2).any():  # rounding can add or take a node at the far end
            raise UserError(
                f"{self.root / name}: a grid of {_size(volume.shape[:3])} nodes does not fit the body; remake it."
            )
        return volume.astype(np.float32)

    def _array(self, name: str, shape: tuple[int | None, ...], meta: str | None = None) -> np.ndarray:
        """A numeric array of the given shape (None: any length) of this folder, or of the one named by smpl_meta."""
        path = self.root / name
        if not path.exists() and meta is not None:
            if self.smpl_meta is None:
                raise UserError(f"{path} does not exist; name the folder that holds {meta} with data.smpl_meta.")
            path = self.smpl_meta / meta
        array = files.load_npy(path)
        fits = (
            isinstance(array, np.ndarray)
            and array.ndim == len(shape)
            and all(want in (None, have) for want, have in zip(shape, array.shape))
            and array.dtype.kind in "fiu"
        )
        if not fits:
            expected = " x ".join("any" if want is None else str(want) for want in shape)
            raise UserError(f"{path} must hold {expected} numbers, not {_describe(array)}.")
        if not np.isfinite(array).all():
            raise UserError(f"{path} holds numbers that are not finite.")
        return array


def _read_annots(
    path: Path,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[list[PurePosixPath]]]:
    """K (C 3 3), D (C 5), R (C 3 3), T (C 3) in metres, all float64, and the pictures listed for each frame."""
    annots = files.load_npy(path)
    try:
        cams = {name: [np.asarray(x, np.float64) for x in annots["cams"][name]] for name in ("K", "D", "R", "T")}
        rows = [[PurePosixPath(str(p)) for p in frame["ims"]] for frame in annots["ims"]]
    except (KeyError, TypeError, IndexError, ValueError):
        raise UserError(f"{path} must hold cams (K, D, R, T of each camera) and ims (each frame's pictures).") from None
    count = len(cams["K"])
    shapes = {"K": {(3, 3)}, "R": {(3, 3)}, "T": {(3,)}, "D": {(4,), (5,)}}
    for name, allowed in shapes.items():
        values = [x.ravel() if name in "TD" else x for x in cams[name]]
        if len(values) != count or not all(x.shape in allowed and np.isfinite(x).all() for x in values):
            raise UserError(f"{path}: cams[{name!r}] must hold {count} finite arrays of shape {min(allowed)}.")
        cams[name] = values
    if not count or max((len(row) for row in rows), default=0) > count:
        raise UserError(f"{path} lists pictures of more cameras than the {count} it describes.")
    for picture in (p for row in rows for p in row):
        if picture.is_absolute() or ".." in picture.parts or not picture.name:
            raise UserError(f"{path} lists the picture {picture}, which does not lie inside the subject folder.")
    distortion = np.array([np.pad(x, (0, 5 - len(x))) for x in cams["D"]])
    return np.array(cams["K"]), distortion, np.array(cams["R"]), np.array(cams["T"]) / MILLIMETRES, rows


def _size(shape: Sequence[int]) -> str:
    return " x ".join(str(n) for n in shape)


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{_size(value.shape) or 'one'} of {value.dtype}"
    return f"a {type(value).__name__}"
