"""annots.npy: a malformed one is refused."""

from pathlib import Path

import numpy as np
import pytest

from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.io import files


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a["cams"].pop("R"), "must hold cams"),
        (lambda a: a.pop("ims"), "must hold cams"),
        (lambda a: a["cams"]["K"].pop(), r"cams\['R'\] must hold 1"),
        (lambda a: a["cams"].update(K=[np.eye(4)] * 2), r"cams\['K'\] must hold 2 finite arrays of shape \(3, 3\)"),
        (lambda a: a["cams"].update(T=[np.full(3, np.nan)] * 2), r"cams\['T'\]"),
        (lambda a: a["ims"][0]["ims"].append("images/02/000000.png"), "more cameras than the 2"),
        (lambda a: a["ims"][0].update(ims=["../outside.png"]), "not lie inside"),
        (lambda a: a["ims"][0].update(ims=["/etc/passwd"]), "not lie inside"),
        (lambda a: a.update(ims=[{"ims": ["images/00/000099.png"]}]), "holds none of the pictures"),
    ],
)
def test_bad_annots(toy_copy: Path, change, message: str):
    annots = files.load_npy(toy_copy / "annots.npy")
    change(annots)
    files.save_npy(toy_copy / "annots.npy", annots)
    with pytest.raises(UserError, match=message):
        Subject(toy_copy)


@pytest.mark.parametrize("content", [np.zeros(3), [1, 2], "text"])
def test_annots_of_another_kind(toy_copy: Path, content):
    files.save_npy(toy_copy / "annots.npy", np.array(content))
    with pytest.raises(UserError, match="must hold cams"):
        Subject(toy_copy)
