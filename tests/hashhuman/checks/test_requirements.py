"""The requirements of options are checked by their classes."""

import sys
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from hashhuman.checks.requirements import check_requirements
from hashhuman.errors import UserError
from hashhuman.io.packages import requiring
from tests import smpl_files, toy

asked: list = []


class Needy:
    """A class with requirements."""

    @staticmethod
    def require(size: int, extra: dict | None = None) -> None:
        """Notes its arguments."""
        asked.append((size, extra))
        if size > 5:
            raise UserError("too large.")


@requiring(lambda: asked.append("function"))
def needy_function() -> None:
    """A function with requirements."""


HERE = f"{__name__}."


def test_require_gets_the_options_of_its_node():
    asked.clear()
    nodes = {
        "size": 4,
        "one": {"_target_": f"{HERE}Needy", "size": "${size}", "extra": {"a": [1]}, "other": "???"},
        "list": [{"_target_": f"{HERE}needy_function"}, {"deep": {"_target_": f"{HERE}Needy", "size": 2}}],
        "plain": {"_target_": "collections.OrderedDict"},
        "later": {"_target_": "collections.OrderedDict", "_recursive_": False, "in": {"_target_": f"{HERE}Needy"}},
    }
    check_requirements(OmegaConf.create(nodes))
    assert asked == [(4, {"a": [1]}), "function", (2, None)]
    with pytest.raises(UserError, match="too large"):
        check_requirements(OmegaConf.create({"a": {"_target_": f"{HERE}Needy", "_partial_": True, "size": 9}}))


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("encoder.triton_grid.TritonHashGrids", "encoder=triton needs a CUDA device.*encoder=auto or encoder=torch"),
        ("network.triton_mlp.TritonMLPs", "network=triton needs a CUDA device.*network=auto or network=torch"),
        (
            "training.step.graph.GraphStep",
            "step=graph captures CUDA graphs and needs a GPU: use step=eager or step=auto",
        ),
    ],
)
def test_options_that_need_a_gpu(target: str, sentence: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    node = {"_target_": f"hashhuman.{target}", "_partial_": True}
    with pytest.raises(UserError, match=sentence):
        check_requirements(node, device=torch.device("cpu"))
    check_requirements(node, device=torch.device("cuda"))  # asks no GPU, so that it may be absent here


@pytest.mark.parametrize("target", ["encoder.auto.AutoHashGrids", "network.auto.AutoMLPs"])
def test_options_that_choose_by_device_need_none(target: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    check_requirements({"_target_": f"hashhuman.{target}"}, device=torch.device("cpu"))


@pytest.mark.parametrize("body", [None, {}, 3])
def test_a_part_of_the_field_needs_joints(body: Any):
    node = {"_target_": "hashhuman.field.build.parts_field", "parts": {"head": {"joints": ["neck"]}, "body": body}}
    with pytest.raises(UserError, match=r"field\.parts\.body has no joints: .*choose field=single"):
        check_requirements(node)


@pytest.mark.parametrize(
    ("node", "module", "sentence"),
    [
        ({"_target_": "hashhuman.encoder.tinycudann_grid.TinyCudaHashGrids"}, "tinycudann", "choose encoder=auto"),
        ({"_target_": "hashhuman.neighbors.pytorch3d_knn.PyTorch3dNeighbors", "k": 4}, "pytorch3d", "neighbors=grid"),
        ({"_target_": "hashhuman.training.loggers.wandb_logger", "name": None}, "wandb", "pip install wandb"),
        ({"_target_": "hashhuman.body.anny.AnnyBody", "prior": None}, "anny", "body=smpl"),
        ({"_target_": "preprocess.keypoints.blazepose.BlazePoseKeypoints"}, "ai_edge_litert", "pip install"),
        ({"_target_": "preprocess.keypoints.folder.FolderKeypoints", "path": "x"}, "ai_edge_litert", "pip install"),
        ({"_target_": "preprocess.keypoints.coco.CocoKeypoints", "lift": True}, "ai_edge_litert", "pip install"),
    ],
)
def test_packages_that_options_need(node: dict, module: str, sentence: str, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=f"which is not installed: .*{sentence}"):
        check_requirements({"node": node})


def test_keypoints_without_lifting_need_no_network(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    check_requirements({"_target_": "preprocess.keypoints.folder.FolderKeypoints", "path": "x", "lift": False})


def test_an_smpl_file_that_is_missing_or_cannot_be_read_is_one_sentence(tmp_path):
    node = {"_target_": "hashhuman.body.smpl.body.SmplBody", "root": str(tmp_path), "model": "SMPL_NEUTRAL.pkl"}
    with pytest.raises(UserError, match=r"SMPL_NEUTRAL\.pkl does not exist: get SMPL's files"):
        check_requirements(node)
    whole = smpl_files.write_pickle(tmp_path / "SMPL_NEUTRAL.pkl", smpl_files.model(toy.template())).read_bytes()
    (tmp_path / "SMPL_NEUTRAL.pkl").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"SMPL_NEUTRAL\.pkl is not a readable pickle file"):
        check_requirements(node)
    (tmp_path / "SMPL_NEUTRAL.pkl").write_bytes(whole)
    check_requirements(node)
