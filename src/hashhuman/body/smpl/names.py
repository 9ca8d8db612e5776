"""Finds SMPL's file under the names that its sites and the tools of the field give it.

smpl.is.tue.mpg.de unpacks basicModel_f_lbs_10_207_0_v1.0.0.pkl and basicmodel_m_..., and in version 1.1.0
basicmodel_neutral_..., to smpl/models/; SMPLify has basicModel_neutral_...; the package smplx wants SMPL_NEUTRAL.pkl,
SMPL_MALE.pkl and SMPL_FEMALE.pkl, in a folder smpl/.
"""

import re
from pathlib import Path

from hashhuman.errors import UserError
from hashhuman.io.listing import listed

_NAMES = re.compile(
    r"(?:basicmodel_(?P<old>f|m|neutral)_lbs_10_207_0_v[0-9.]+|smpl_(?P<new>female|male|neutral))\.(?:pkl|npz)", re.I
)
_FOLDERS = ("", "models", "smpl", "smpl/models")


def sex_of(name: str) -> str | None:
    """Whom a model file describes by its name: `female`, `male` or `neutral`; None for any other name."""
    match = _NAMES.fullmatch(name)
    return {"f": "female", "m": "male"}.get(found := (match["old"] or match["new"]).lower(), found) if match else None


def find(root: Path, model: str) -> Path:
    """The model's file: `model` in `root`, or else the one file there that is the same under another of its names.

    Where there is none, the path of `model`, which does not exist.

    Raises UserError if several files could be meant.
    """
    exact, sex = root / model, sex_of(model)
    if exact.is_file() or sex is None:
        return exact
    named = [path for folder in _FOLDERS for path in listed(root / folder) if sex_of(path.name) == sex]
    found = list({path.resolve(): path for path in named}.values())  # a folder may be a link to another
    if len(found) > 1:
        names = " or ".join(str(path.relative_to(root)) for path in found[:3])
        raise UserError(f"body.model={model} may mean {names} in {root}: name one of them.")
    return found[0] if found else exact
