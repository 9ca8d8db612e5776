"""The arrays of a model file of SMPL's family, checked. Only this module knows the file's keys and shapes."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hashhuman.errors import UserError

N_BETAS = 10  # shape parameters kept; those that follow are finer, and in SMPL-X they are facial expressions
ROOT = 2**32 - 1  # the parent of the root in such files: -1 as an unsigned number
NEEDED = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table")
OPTIONAL = ("vt", "ft", "uv", "joint_names", "J_regressor_body25", "sources")
KEYS = NEEDED + OPTIONAL


@dataclasses.dataclass(frozen=True)
class SmplArrays:
    """A body model of J joints and V vertices, in metres, y up. Arrays are float32 or int64."""

    v_template: Float[np.ndarray, "V 3"]
    shapedirs: Float[np.ndarray, "V 3 S"]
    posedirs: Float[np.ndarray, "V 3 P"]  # P = 9 (J - 1)
    J_regressor: Float[np.ndarray, "J V"]
    weights: Float[np.ndarray, "V J"]  # rows sum to one
    faces: Int[np.ndarray, "F 3"]
    parents: tuple[int, ...]  # parents[0] == -1; a parent precedes its children
    joint_names: tuple[str, ...]
    uv: Float[np.ndarray, "V 2"] | None = None  # in [0, 1]
    body25: Float[np.ndarray, "25 V"] | None = None  # regresses OpenPose's 25 points from the vertices

    @staticmethod
    def checked(raw: Mapping[str, np.ndarray], path: Path) -> "SmplArrays":
        """Checks the entries `raw` of the file `path`.

        Raises UserError, which names `path` and the entry, if one is missing or malformed.
        """
        for name in NEEDED:
            if name not in raw:
                raise UserError(f"{path} holds no body model of SMPL's family: it has no {name}.")

        def numbers(name: str, *shape: int | None) -> np.ndarray:
            return _numbers(path, name, raw[name], shape)

        v_template = numbers("v_template", None, 3)
        vertices = len(v_template)
        weights = numbers("weights", vertices, None)
        joints = weights.shape[1]
        if (weights < -1e-4).any() or (abs(weights.sum(1) - 1) > 0.05).any():
            raise UserError(f"{path}: its weights must be positive and add up to one at each vertex.")
        faces = _indices(path, "f", raw["f"], (None, 3), vertices)
        uv = numbers("uv", vertices, 2) if "uv" in raw else None
        if "vt" in raw and "ft" in raw:
            corners = _indices(path, "ft", raw["ft"], faces.shape, len(raw["vt"]))
            uv = uv_of_vertices(numbers("vt", None, 2), corners, faces, vertices)
        names = raw.get("joint_names")
        return SmplArrays(
            v_template=v_template,
            shapedirs=numbers("shapedirs", vertices, 3, None)[..., :N_BETAS],
            posedirs=numbers("posedirs", vertices, 3, 9 * (joints - 1)),
            J_regressor=numbers("J_regressor", joints, vertices),
            weights=weights / weights.sum(1, keepdims=True),
            faces=faces,
            parents=_parents(path, raw["kintree_table"], joints),
            joint_names=tuple(f"joint_{i}" for i in range(joints)) if names is None else _names(path, names, joints),
            uv=None if uv is None else checked_uv(uv, path),
            body25=numbers("J_regressor_body25", 25, vertices) if "J_regressor_body25" in raw else None,
        )

    def raw(self) -> dict[str, np.ndarray]:
        """The arrays under the keys that `checked` reads."""
        arrays = {
            "v_template": self.v_template,
            "shapedirs": self.shapedirs,
            "posedirs": self.posedirs,
            "J_regressor": self.J_regressor,
            "weights": self.weights,
            "f": self.faces,
            "kintree_table": np.stack([np.array(self.parents), np.arange(len(self.parents))]),
            "joint_names": np.array(self.joint_names),
            "uv": self.uv,
            "J_regressor_body25": self.body25,
        }
        return {name: array for name, array in arrays.items() if array is not None}


def uv_of_vertices(
    coordinates: Float[np.ndarray, "T 2"],
    corners: Int[np.ndarray, "F N"],
    faces: Int[np.ndarray, "F N"],
    vertices: int,
) -> Float[np.ndarray, "V 2"]:
    """One texture coordinate a vertex, from one a corner of each face; at a seam, that of the last face.

    Args:
        coordinates: T texture coordinates.
        corners: index into `coordinates` for each corner of each face.
        faces: index of the vertex at each corner.
        vertices: V.
    """
    uv = np.zeros((vertices, 2), np.float32)
    for column in range(faces.shape[1]):
        uv[faces[:, column]] = coordinates[corners[:, column]]
    return uv


def checked_uv(uv: Float[np.ndarray, "V 2"], path: Path) -> Float[np.ndarray, "V 2"]:
    """Texture coordinates, clipped to [0, 1].

    Raises UserError, which names `path`, if they lie outside by more than 1e-3.
    """
    if uv.min() < -1e-3 or uv.max() > 1 + 1e-3:
        raise UserError(f"{path}: its texture coordinates must lie between 0 and 1.")
    return uv.clip(0, 1)


def _described(value: np.ndarray) -> str:
    return f"{' x '.join(map(str, value.shape)) or 'one'} of {value.dtype}"


def _numbers(path: Path, name: str, value: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    value = np.asarray(value)
    fits = value.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, value.shape))
    if not fits or value.dtype.kind not in "fiu" or 0 in value.shape:
        expected = " x ".join("any" if want is None else str(want) for want in shape)
        raise UserError(f"{path}: its {name} must hold {expected} numbers, not {_described(value)}.")
    with np.errstate(over="ignore"):
        value = np.ascontiguousarray(value, np.float32)
    if not np.isfinite(value).all():
        raise UserError(f"{path}: its {name} holds numbers that are not finite.")
    return value


def _indices(path: Path, name: str, value: Any, shape: tuple[int | None, ...], count: int) -> np.ndarray:
    _numbers(path, name, value, shape)
    indices = np.asarray(value).astype(np.int64)
    if indices.min() < 0 or indices.max() >= count:
        raise UserError(f"{path}: its {name} holds indices beyond the {count} points that there are.")
    return indices


def _parents(path: Path, value: Any, joints: int) -> tuple[int, ...]:
    _numbers(path, "kintree_table", value, (2, joints))
    parents = np.asarray(value)[0].astype(np.int64)
    if parents[0] not in (-1, ROOT) or (parents[1:] < 0).any() or (parents[1:] >= np.arange(1, joints)).any():
        raise UserError(f"{path}: its kintree_table must list each joint after its parent, and the root first.")
    return (-1, *parents[1:].tolist())


def _names(path: Path, value: np.ndarray, joints: int) -> tuple[str, ...]:
    names = tuple(map(str, np.ravel(value)))
    if len(set(names)) != joints:
        raise UserError(f"{path}: its joint_names must be {joints} different names.")
    return names
