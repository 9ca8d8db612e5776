"""Reads the user's files of a body model, and converts them once to an .npz that needs no unpickling.

The folder holds the model (`SMPL_NEUTRAL.pkl`). Beside it may lie `smpl_uv.obj` (texture coordinates),
`J_regressor_body25.npy` (OpenPose's points), and `faces.npy`, `parents.npy`, `weights.npy`, which repeat parts of the
model and are only compared with it.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.body.smpl import gather, obj, pickled
from hashhuman.body.smpl.arrays import KEYS, ROOT, SmplArrays
from hashhuman.errors import UserError
from hashhuman.io import files

FORMAT = 1  # of the conversion; raise it when the same files are converted differently
UV, BODY25, REPEATED = "smpl_uv.obj", "J_regressor_body25.npy", ("faces.npy", "parents.npy", "weights.npy")


def sources(model: Path) -> list[Path]:
    """The model file, and those of its companions that exist."""
    return [model, *(path for name in (UV, BODY25, *REPEATED) if (path := model.with_name(name)).exists())]


def converted_path(model: Path) -> Path:
    """The path of a model's conversion: beside the model file."""
    return model.with_name(f"{model.stem}.converted.npz")


def require(model: Path) -> None:
    """Raises UserError where the model's file does not exist."""
    if not model.is_file():
        raise UserError(
            f"{model} does not exist: get SMPL's files from its site (others may not pass them on) and put them "
            "there, or name their folder and the model's file with body.root= and body.model=."
        )


def load(model: Path) -> SmplArrays:
    """Loads a model from its conversion, and converts it first if there is none of the same files.

    `model` may also be a conversion itself. Raises UserError if files are missing, malformed or hostile (no code in
    them is run), or belong to different bodies.
    """
    require(model)
    target = converted_path(model)
    if is_converted(model):
        return read(model)
    return _read_converted(target, stamp(model)) or convert(model, target)


def is_converted(model: Path) -> bool:
    """Whether `convert` wrote a file. Raises UserError if it is absent or damaged."""
    return model.suffix == ".npz" and "sources" in files.load_npz(model, ("sources",))


def convert(model: Path, target: Path) -> SmplArrays:
    """Reads the user's files and writes the model to `target`, whole or not at all. Raises UserError as `load` does."""
    if target.exists() and target.samefile(model):
        raise UserError(f"{target} is the file to be converted: name another with --out.")
    body = read(model)
    files.save_npz(target, body.raw() | {"sources": np.array(stamp(model))})
    return body


def read(model: Path) -> SmplArrays:
    """Reads a model and its companions without the conversion; models of SMPL's family get SMPL's joints.

    Raises UserError as `load` does.
    """
    raw = read_raw(model)
    body = SmplArrays.checked(raw, model)
    beside = {path.name: path for path in sources(model)[1:]}
    if "sources" not in raw:  # a conversion already contains its companions
        _compare(beside, body)
        if UV in beside:
            body = dataclasses.replace(body, uv=obj.read_uv(beside[UV], len(body.v_template)))
        if BODY25 in beside:
            regressor = {"J_regressor_body25": _matrix(beside[BODY25], (25, len(body.v_template)))}
            body = dataclasses.replace(body, body25=SmplArrays.checked(raw | regressor, beside[BODY25]).body25)
    return SmplArrays.checked(gather.gathered(body).raw(), model)


def read_raw(model: Path) -> dict[str, np.ndarray]:
    """The model file's entries with the keys `KEYS`, unchecked. Raises UserError if the file is absent or damaged."""
    if model.suffix == ".npz":
        return files.load_npz(model, KEYS)
    return pickled.load(model, KEYS)


def stamp(model: Path) -> list[str]:
    """Names and SHA-256 of the files that a conversion is made of, and the conversion's format."""
    lines = [f"format {FORMAT}"]
    return [*lines, *(f"{path.name} {files.sha256(path)}" for path in sources(model))]


def _read_converted(target: Path, expected: list[str]) -> SmplArrays | None:
    try:
        raw = files.load_npz(target, KEYS)
        return SmplArrays.checked(raw, target) if raw["sources"].tolist() == expected else None
    except (UserError, KeyError):  # absent or damaged: convert again
        return None


def _matrix(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    value: Any = files.load_npy(path)
    if not isinstance(value, np.ndarray) or value.shape != shape or value.dtype.kind not in "fiu":
        raise UserError(f"{path} is not of this body: it must hold {' x '.join(map(str, shape))} numbers.")
    return value


def _compare(beside: dict[str, Path], body: SmplArrays) -> None:
    """Raises UserError for a companion file that disagrees with the model: it belongs to another one."""
    parents = np.array(body.parents)
    for name, expected in (("faces.npy", body.faces), ("parents.npy", parents), ("weights.npy", body.weights)):
        if name in beside:
            given = _matrix(beside[name], expected.shape).astype(np.float64)
            given[given == ROOT] = -1
            if not np.allclose(given, expected, rtol=0, atol=1e-3):
                raise UserError(f"{beside[name]} is not of this body: remove it, or put that of the same model there.")
