"""The user's files of a body model, converted once to an .npz that is read without pickles.

A folder as the recipe lays it out: the model (`SMPL_NEUTRAL.pkl`), and beside it, all optional, `smpl_uv.obj`
(texture), `J_regressor_body25.npy` (OpenPose's points), and `faces.npy`, `parents.npy`, `weights.npy`, which repeat the
model and are only compared with it.
"""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.body.smpl import gather, obj, pickled
from hashhuman.body.smpl.arrays import KEYS, ROOT, SmplArrays
from hashhuman.errors import UserError
from hashhuman.io import files

FORMAT = 1  # to be raised when the same files convert to something else
UV, BODY25, REPEATED = "smpl_uv.obj", "J_regressor_body25.npy", ("faces.npy", "parents.npy", "weights.npy")


def sources(model: Path) -> list[Path]:
    """The files that decide what a model is: its own and those beside it that exist."""
    return [model, *(path for name in (UV, BODY25, *REPEATED) if (path := model.with_name(name)).exists())]


def converted_path(model: Path) -> Path:
    """Where a model's conversion is kept."""
    return model.with_name(f"{model.stem}.converted.npz")


def require(model: Path) -> None:
    """Raises UserError where the model's file does not exist."""
    if not model.is_file():
        raise UserError(
            f"{model} does not exist: get SMPL's files from its site (they may not be passed on) and put them there, "
            "or name their folder and the model's file with body.root= and body.model=."
        )


def load(model: Path) -> SmplArrays:
    """A model, from its conversion if that was made of the same files; else it is converted first.

    Raises UserError for files that are missing, malformed or hostile (nothing in them is run), or of different bodies.
    """
    require(model)
    target = converted_path(model)
    if is_converted(model):
        return read(model)
    return _read_converted(target, stamp(model)) or convert(model, target)


def is_converted(model: Path) -> bool:
    """Whether a file was written by `convert`."""
    return model.suffix == ".npz" and "sources" in files.load_npz(model, ("sources",))


def convert(model: Path, target: Path) -> SmplArrays:
    """Reads the user's files and writes what they hold to `target`, whole or not at all."""
    if target.exists() and target.samefile(model):
        raise UserError(f"{target} is the file to be converted: name another with --out.")
    body = read(model)
    files.save_npz(target, body.raw() | {"sources": np.array(stamp(model))})
    return body


def read(model: Path) -> SmplArrays:
    """A model and what lies beside it, with SMPL's joints where it is one of its family."""
    raw = read_raw(model)
    body = SmplArrays.checked(raw, model)
    beside = {path.name: path for path in sources(model)[1:]}
    if "sources" not in raw:  # a conversion is complete in itself
        _compare(beside, body)
        if UV in beside:
            body = dataclasses.replace(body, uv=obj.read_uv(beside[UV], len(body.v_template)))
        if BODY25 in beside:
            regressor = {"J_regressor_body25": _matrix(beside[BODY25], (25, len(body.v_template)))}
            body = dataclasses.replace(body, body25=SmplArrays.checked(raw | regressor, beside[BODY25]).body25)
    return SmplArrays.checked(gather.gathered(body).raw(), model)


def read_raw(model: Path) -> dict[str, np.ndarray]:
    """The entries of the model's file that are known here."""
    if model.suffix == ".npz":
        return files.load_npz(model, KEYS)
    return pickled.load(model, KEYS)


def stamp(model: Path) -> list[str]:
    """Names and SHA-256 of what a conversion is made of."""
    lines = [f"format {FORMAT}"]
    for path in sources(model):
        with path.open("rb") as file:
            lines.append(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}")
    return lines


def _read_converted(target: Path, expected: list[str]) -> SmplArrays | None:
    try:
        raw = files.load_npz(target, KEYS)
        return SmplArrays.checked(raw, target) if raw["sources"].tolist() == expected else None
    except (UserError, KeyError):  # absent or damaged: made anew
        return None


def _matrix(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    value: Any = files.load_npy(path)
    if not isinstance(value, np.ndarray) or value.shape != shape or value.dtype.kind not in "fiu":
        raise UserError(f"{path} is not of this body: it must hold {' x '.join(map(str, shape))} numbers.")
    return value


def _compare(beside: dict[str, Path], body: SmplArrays) -> None:
    """Refuses files that repeat the model and disagree with it: they belong to another one."""
    parents = np.array(body.parents)
    for name, expected in (("faces.npy", body.faces), ("parents.npy", parents), ("weights.npy", body.weights)):
        if name in beside:
            given = _matrix(beside[name], expected.shape).astype(np.float64)
            given[given == ROOT] = -1
            if not np.allclose(given, expected, rtol=0, atol=1e-3):
                raise UserError(f"{beside[name]} is not of this body: remove it, or put that of the same model there.")
