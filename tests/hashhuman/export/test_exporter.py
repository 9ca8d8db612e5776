"""The formats that are asked for are written, each thing is made once, and mistakes are one sentence."""

import dataclasses
import sys

import numpy as np
import pytest

from hashhuman.errors import UserError
from hashhuman.evaluation.product import Evaluation
from hashhuman.export.bvh import BvhFile
from hashhuman.export.exporter import Exporter, Exports
from hashhuman.export.smpl_npz import SmplNpzFile
from tests.hashhuman.export.conftest import rigging
from tests.hashhuman.export.solid import SolidAvatar, SolidData
from tests.hashhuman.fakes import FakeAvatar

FORMATS = {"bvh": BvhFile(1.0), "npz": SmplNpzFile()}


def test_a_product_of_the_evaluation(toy_folder, tmp_path):
    """Motion alone needs no density."""
    made = Exporter(["bvh", "npz"], FORMATS, rigging(), 25.0).make(
        Evaluation(FakeAvatar(), SolidData(toy_folder), tmp_path, {}, {})
    )
    assert {path.name for path in (tmp_path / "export").iterdir()} == {"motion.bvh", "motion.npz"}
    assert made.files == {"bvh": tmp_path / "export/motion.bvh", "npz": tmp_path / "export/motion.npz"}
    nothing = Exporter([], FORMATS, rigging(), 25.0).make(Evaluation(FakeAvatar(), None, tmp_path / "x", {}, {}))
    assert not nothing.files and not (tmp_path / "x").exists()


def test_unknown_formats_and_missing_packages(monkeypatch):
    with pytest.raises(UserError, match="format=fbx does not exist: choose among bvh, npz"):
        Exporter("fbx", FORMATS, rigging(), 25.0)
    Exporter.require("bvh")
    monkeypatch.setitem(sys.modules, "xatlas", None)
    Exporter.require("bvh")
    with pytest.raises(UserError, match=r"pip install -e '\.\[export\]'"):
        Exporter.require(["bvh", "glb"])


def test_an_avatar_without_density(toy_folder):
    with pytest.raises(UserError, match="FakeAvatar has no methods `scene` and `query`"):
        Exports(FakeAvatar(), SolidData(toy_folder), rigging(), 25.0).mesh  # noqa: B018


def test_the_mesh_is_made_once(exports):
    assert exports.mesh is exports.mesh and isinstance(exports._avatar, SolidAvatar)


def test_another_motion_than_the_filmed_one(exports, toy_folder, tmp_path):
    moved = dataclasses.replace(exports.motion, name="new", root=exports.motion.root + 1)
    made = Exporter("npz", FORMATS, rigging(), 25.0)(FakeAvatar(), SolidData(toy_folder), tmp_path, moved)
    with np.load(made["npz"]) as content:
        assert content["transl"] == pytest.approx(moved.root - exports.skeleton.joints[0])
