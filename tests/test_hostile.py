"""Folders and files that try to run something, each with a harmless marker: a file that must never appear.

The marker of a payload is checked to appear where the payload is run by Python's own unpickler or by Hydra, so that a
payload that cannot work does not pass for one that is refused.
"""

import builtins
import contextlib
import functools
import io
import json
import os
import pickle
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from hashhuman.data.datamodule import PixelCache
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.io import checkpoint, files
from hashhuman.training import run, run_folder
from preprocess.body_fit.source.joblib_file import load_joblib
from preprocess.body_fit.source.tensors import load_torch
from preprocess.keypoints.points import Keypoints
from preprocess.quality import Quality


class Payload:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


PAYLOADS: dict[str, Callable[[str], Payload]] = {
    "open": lambda marker: Payload(open, marker, "w"),
    "system": lambda marker: Payload(os.system, f"touch '{marker}'"),
    "exec": lambda marker: Payload(exec, f"open({marker!r}, 'w')"),
    "eval": lambda marker: Payload(builtins.eval, f"open({marker!r}, 'w')"),
    "program": lambda marker: Payload(subprocess.check_call, ["touch", marker]),
    "partial": lambda marker: Payload(functools.reduce, os.path.join, [Payload(open, marker, "w"), "b"]),
    "mkdir": lambda marker: Payload(os.mkdir, marker),
    "copy": lambda marker: Payload(shutil.copy, __file__, marker),
    "path": lambda marker: Payload(Path.touch, Path(marker)),
}
PROTOCOLS = (0, 2, 5)


def pickled(payload: Payload, protocol: int) -> bytes:
    """A dictionary with the payload deep inside."""
    return pickle.dumps({"state_dict": {"a": [1, {"b": payload}]}}, protocol)


@pytest.mark.parametrize("name", PAYLOADS)
def test_the_payloads_work(name: str, tmp_path: Path):
    marker = tmp_path / "marker"
    with contextlib.suppress(TypeError):  # of the outer call; the inner one has been made
        pickle.loads(pickled(PAYLOADS[name](str(marker)), 2))  # noqa: S301 - this is what it is for
    assert marker.exists()


def torch_archive(data: bytes) -> bytes:
    """A file of torch.save whose pickle is replaced."""
    buffer, out = io.BytesIO(), io.BytesIO()
    torch.save({"a": torch.zeros(2)}, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            new.writestr(entry, data if entry.filename.endswith("data.pkl") else old.read(entry))
    return out.getvalue()


def npy(data: bytes) -> bytes:
    """A .npy file whose content is a pickle."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "|O", "fortran_order": False, "shape": ()})
    return out.getvalue() + data


def npz(data: bytes) -> bytes:
    """An archive with such a file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("frames", "jitter", "stamp"):
            archive.writestr(f"{name}.npy", npy(data))
    return out.getvalue()


READERS: dict[str, tuple[Callable[[bytes], bytes], Callable[[Path], Any]]] = {
    "checkpoint": (torch_archive, checkpoint.load),
    "old checkpoint": (bytes, checkpoint.load_weights),
    "tensors": (torch_archive, load_torch),
    "pickle": (bytes, files.load_pickle),
    "joblib": (bytes, load_joblib),
    "npy": (npy, files.load_npy),
    "npz": (npz, files.load_npz),
    "npz of objects": (npz, files.load_object_npz),
    "keypoints": (npz, Keypoints.load),
    "quality": (npz, Quality.load),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", PAYLOADS)
def test_files_run_nothing(reader: str, name: str, tmp_path: Path):
    """270 files: nine payloads in three protocols for ten readers."""
    marker, path = tmp_path / "marker", tmp_path / "file"
    wrap, read = READERS[reader]
    for protocol in PROTOCOLS:
        path.write_bytes(wrap(pickled(PAYLOADS[name](str(marker)), protocol)))
        with pytest.raises(UserError):
            read(path)
        assert not marker.exists()


SUBJECT_FILES = [
    "annots.npy", "smpl_params/0.npy", "smpl_vertices/0.npy", "smpl_lbs/joints.npy", "smpl_lbs/weights.npy",
    "smpl_lbs/faces.npy", "smpl_lbs/parents.npy", "smpl_lbs/tvertices.npy", "smpl_lbs/uv.npy",
    "smpl_lbs/bigpose_vertices.npy", "subject.json", "scene.json", "images/00/000000.png", "mask/00/000000.png",
    "schp/00/000000.png",
]  # fmt: skip


@pytest.mark.parametrize("name", SUBJECT_FILES)
def test_subject_folders_run_nothing(name: str, toy_copy: Path, tmp_path: Path):
    marker = tmp_path / "marker"
    assert (toy_copy / name).exists() or name == "scene.json"
    for kind in ("open", "system"):
        (toy_copy / name).write_bytes(npy(pickled(PAYLOADS[kind](str(marker)), 2)))
        with pytest.raises(UserError):
            subject = Subject(toy_copy)
            subject.template(), subject.pose(0), subject.vertices(0), subject.big_pose_vertices()
            picture = subject.pictures[0]
            subject.image(picture), subject.mask(picture), subject.parts(picture)
        assert not marker.exists()


def test_a_cache_of_pictures_runs_nothing(tmp_path: Path):
    marker, cache = tmp_path / "marker", PixelCache(tmp_path / "cache", 10)
    cache.folder.mkdir()
    cache._path("x").write_bytes(npz(pickled(PAYLOADS["open"](str(marker)), 2)))
    assert cache.get("x") is None and not marker.exists()


def targets(marker: str) -> dict[str, dict[str, Any]]:
    """Nodes of a config that Hydra makes into the marker."""
    touch = {"_target_": "os.mkdir", "path": marker}
    return {
        "function": touch,
        "positional": {"_target_": "os.mkdir", "_args_": [marker]},
        "program": {"_target_": "subprocess.check_call", "args": ["touch", marker]},
        "shell": {"_target_": "os.system", "command": f"touch '{marker}'"},
        "evaluation": {"_target_": "builtins.eval", "_args_": [f"open({marker!r}, 'w')"]},
        "through ours": {"_target_": "hashhuman.io.files.os.mkdir", "path": marker},
        "function of ours": {"_target_": "hashhuman.io.files.save_json", "path": marker, "value": 1},
        "deep inside": {"a": [{"b": touch}]},
        "argument of ours": {"_target_": "hashhuman.training.losses.ColorLoss", "weight": touch},
        "Hydra's own": {"_target_": "hydra.utils.call", "config": touch},
    }


WORKING = (
    "function",
    "positional",
    "through ours",
    "deep inside",
    "argument of ours",
)  # Hydra refuses the others itself
PLACES = ["loss.x", "avatar.x", "data.x", "optimizer.x", "step", "metrics", "eval.products.x", "field", "encoder.x"]


@pytest.mark.parametrize("kind", list(targets("")))
def test_run_folders_run_nothing(kind: str, run_of_the_toy: Path, tmp_path: Path):
    """90 run folders: ten nodes in nine places; each is refused before anything is made."""
    marker = tmp_path / "marker"
    node = targets(str(marker))[kind]
    if kind in WORKING:
        with contextlib.suppress(InstantiationException):  # of what contains it, after it was made
            instantiate({"node": node})
        marker.rmdir()  # it was there
    whole = (run_of_the_toy / run_folder.CONFIG).read_text()
    for place in PLACES:
        config = json.loads(whole)
        *parents, last = place.split(".")
        inner = config
        for key in parents:
            inner = inner.setdefault(key, {})
        inner[last] = node
        (run_of_the_toy / run_folder.CONFIG).write_text(json.dumps(config))
        with pytest.raises(UserError, match=r"config\.json names "):
            run.load(run_of_the_toy)
        assert not marker.exists(), place


@pytest.mark.parametrize("value", ["${oc.env:MARKER}", "${oc.env:HOME,x}", "${oc.create:{a:1}}", "${run_me:}"])
def test_run_folders_read_no_environment(value: str, run_of_the_toy: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MARKER", "secret")
    content = files.load_json(run_of_the_toy / run_folder.CONFIG)
    for place in ("avatar", "loss", "data"):
        files.save_json(run_of_the_toy / run_folder.CONFIG, {**content, place: {"x": value}})
        with pytest.raises(UserError, match="would call a function") as caught:
            run.load(run_of_the_toy)
        assert "secret" not in str(caught.value)


@pytest.fixture
def run_of_the_toy(tmp_path: Path, toy_folder: Path) -> Path:
    """A folder like a finished run's."""
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / run_folder.CHECKPOINT).touch()
    config = {"format": run_folder.FORMAT, "data": {"root": str(toy_folder), "smpl_meta": None}}
    files.save_json(folder / run_folder.CONFIG, config)
    return folder


def test_results_do_not_leave_the_run_folder(run_of_the_toy: Path, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (run_of_the_toy / "evaluation").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"evaluation is a link to .*elsewhere, outside"):
        run_folder.check_links(run_of_the_toy)


@pytest.mark.parametrize("name", ["../../x.png", "/etc/passwd", "images/../../x.png", "a\\..\\x.png", "a\0.png", ""])
def test_names_in_a_subject_folder_lead_nowhere(name: str, toy_copy: Path):
    annots = files.load_npy(toy_copy / "annots.npy")
    annots["ims"][0]["ims"][0] = name
    files.save_npy(toy_copy / "annots.npy", annots)
    with pytest.raises(UserError, match=r"annots\.npy names .*which does not lie inside its folder"):
        Subject(toy_copy)


def test_pictures_beside_the_list_do_not_make_results_land_in_the_root_folder(toy_copy: Path):
    """Their folder has no name, and `folder / "/000000"` would be a path of its own."""
    shutil.copy(toy_copy / "images/00/000000.png", toy_copy / "000000.png")
    annots = files.load_npy(toy_copy / "annots.npy")
    annots["ims"] = [{"ims": ["000000.png", "images/01/000000.png"]}]
    files.save_npy(toy_copy / "annots.npy", annots)
    assert Subject(toy_copy).camera_names == ["00", "01"]
