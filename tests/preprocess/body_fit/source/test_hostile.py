"""Files that are damaged, wrong or hostile: one sentence that names the file, and nothing is run."""

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hashhuman.errors import UserError
from preprocess.body_fit.source.joblib_file import load_joblib
from tests.preprocess.body_fit.source import tools
from tests.preprocess.body_fit.source.tools import HALF, Truth

joblib = pytest.importorskip("joblib")

TOOLS = list(tools.CONTENT)
# what a reader does not look at, or need not find
UNREAD = {
    "verts", "pose_world", "trans_world", "net_outputs", "smpl_params_global", "pred_cam", "pred_pose", "pred_cam_R",
    "pred_cam_T", "mask", "conf", "shot", "results", "center_confs", "gender", "dmpls", "pj2d_org",
    "body_params_global", "smplx_world", "contact", "bboxes", "identity_coeffs", "scale_params", "track_id",
    "has_tracks", "contact_joint_ids", "pred_vertices", "pred_global_rots", "mhr_model_params", "v3d", "smpl_loss",
}  # fmt: skip
UNREAD_PAIRS = {("smplx_cam", "pose"), (0, "transl")}  # with what they are in
IN_FOLDER = {"tram": "camera.npy", "sam3d_body": "000001_0.npz", "multihmr_anny": "000001.pt"}
"""A file that the tool's folder must have."""
PICTURES = ("_DEMO", "clip3")  # files of pictures, of which one is enough
OPTIONAL = {"frames", "size", "joints", "sequence_results"}


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def good(tool: str) -> Any:
    return tools.CONTENT[tool](Truth(0))


def write(tool: str, tmp_path: Path, content: Any) -> Path:
    path = tmp_path / tool
    tools.DUMP[tool](path, content)
    return path


def refuse(tool: str, path: Path) -> str:
    with pytest.raises(UserError) as caught:
        tools.SOURCES[tool]().read(path, *HALF)
    said = str(caught.value)
    assert "\n" not in said and str(path) in said and len(said) < 400 + len(str(path))
    return said


def unread(at: tuple) -> bool:
    return bool(UNREAD & {*at}) or at[-2:] in UNREAD_PAIRS


def leaves(content: Any, at: tuple = ()) -> Iterator[tuple]:
    """Where arrays, tensors and numbers are; of lists, in the first item alone; of pictures, in one that is read."""
    if isinstance(content, dict):
        for key, value in content.items():
            if not str(key).startswith(PICTURES) or "000003" in key:
                yield from leaves(value, (*at, key))
    elif isinstance(content, list) and content and isinstance(content[0], dict | list | np.ndarray):
        yield from leaves(content[0], (*at, 0))
    elif not isinstance(content, str | bytes | None):
        yield at


def replaced(content: Any, at: tuple, value: Any) -> Any:
    changed = copy.deepcopy(content)
    inner = changed
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return changed


def harms(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"text": "nonsense", "nothing": None, "ragged": [[1.0, 2.0], [3.0]], "empty": []}
    if isinstance(value, torch.Tensor):
        found["flat"] = value.reshape(-1)[:-1]
        found["not a number"] = torch.full(value.shape, torch.nan)
        found["huge"] = torch.full(value.shape, 1e30)
    elif isinstance(value, np.ndarray):
        found["flat"] = value.ravel()[:-1]
        found["not a number"] = np.full(value.shape, np.nan)
        found["infinite"] = np.full(value.shape, np.inf)
        found["complex"] = value.astype(complex) if value.dtype.kind != "U" else value
    return found


@pytest.mark.parametrize("tool", TOOLS)
def test_every_entry_of_another_kind_or_shape_is_refused(tool: str, tmp_path: Path):
    content = good(tool)
    checked = 0
    for at in leaves(content):
        value = content
        for key in at:
            value = value[key]
        for harm, wrong in harms(value).items():
            path = write(tool, tmp_path, replaced(content, at, wrong))
            any_length = "betas" in at and harm in ("flat", "empty") and tool in ("amass", "npz")
            any_length |= at[-1] == "shape" and harm == "flat" and tool == "multihmr_anny"
            if unread(at) or any_length:
                assert tools.SOURCES[tool]().read(path, *HALF), (at, harm)
            else:
                refuse(tool, path)
                checked += 1
    assert checked >= 20


@pytest.mark.parametrize("tool", TOOLS)
def test_every_missing_entry_is_refused(tool: str, tmp_path: Path):
    content = good(tool)
    for at in leaves(content):
        keys = [i for i, key in enumerate(at) if isinstance(key, str)]
        if not unread(at) and not OPTIONAL & {*at} and keys[-1] > 0:
            changed = copy.deepcopy(content)
            inner = changed
            for key in at[: keys[-1]]:
                inner = inner[key]
            del inner[at[keys[-1]]]
            refuse(tool, write(tool, tmp_path, changed))


@pytest.mark.parametrize("tool", TOOLS)
def test_truncated_and_flipped_files(tool: str, tmp_path: Path):
    path = write(tool, tmp_path, good(tool))
    file = max([*path.rglob("*_0.np*"), *path.rglob("*.pt")]) if path.is_dir() else path
    whole = file.read_bytes()
    for cut in {0, 1, 7, 100, len(whole) // 3, len(whole) // 2, len(whole) - 40}:
        file.write_bytes(whole[:cut])
        refuse(tool, path)
    rng = np.random.default_rng(0)
    for _ in range(30):  # damage may also go unseen, or be seen, but never be a traceback
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 8):
            data[place] = rng.integers(256)
        file.write_bytes(data)
        try:
            tools.SOURCES[tool]().read(path, *HALF)
        except UserError:
            continue


@pytest.mark.parametrize("tool", TOOLS)
def test_files_that_are_something_else(tool: str, tmp_path: Path):
    for name, data in {"text": b"no poses in here", "empty": b"", "pickle": pickle.dumps([1, 2], 2)}.items():
        path = tmp_path / name
        if tool in IN_FOLDER:
            path.mkdir()
            (path / IN_FOLDER[tool]).write_bytes(data)
        else:
            path.write_bytes(data)
        refuse(tool, path)
    refuse(tool, tmp_path / "absent")
    if tool not in IN_FOLDER:
        refuse(tool, tmp_path)  # a folder


@pytest.mark.parametrize("tool", TOOLS)
def test_bombs_do_not_go_off(tool: str, tmp_path: Path):
    touched = tmp_path / "touched"
    content, bomb = good(tool), Bomb(touched)
    if tool == "tram":
        content["hps/hps_track_0.npy"]["pred_pose"] = bomb
    elif tool == "multihmr_anny":
        next(iter(content.values()))[0]["fov"] = bomb
    elif tool == "sam3d_body":
        content["clip3_000003_0.npz"]["mask"] = np.array([bomb], object)
    elif tool in ("amass", "npz"):
        content["betas"] = np.array([bomb], object)
    elif tool == "romp":
        content["results"]["../../escape.png"] = bomb
    else:
        content["more"] = bomb
    path = write(tool, tmp_path, content)
    refuse(tool, path)
    assert not touched.exists()


@pytest.mark.parametrize("tool", ["romp", "amass", "npz"])
def test_names_in_archives_lead_nowhere(tool: str, tmp_path: Path):
    """An archive is read in memory: a member's name is never a path."""
    folder = tmp_path / "inner" / "folder"
    folder.mkdir(parents=True)
    path = write(tool, folder, good(tool) | {"../../escaped": np.zeros(3), "/tmp/escaped": np.zeros(3)})
    assert len(tools.SOURCES[tool]().read(path, *HALF)) == 1
    assert {p.name for p in tmp_path.rglob("*")} == {"folder", "inner", tool}


def test_tram_reads_no_tracks_of_other_names(tmp_path: Path):
    path = write("tram", tmp_path, good("tram"))
    (path / "hps/other.npy").write_bytes(pickle.dumps(Bomb(tmp_path / "touched")))
    (path / "hps/hps_track_0.npy").rename(path / "hps/hps_track_..npy")
    assert "has no hps/hps_track" in refuse("tram", path)


# ------------------------------------------------------------------ joblib


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3)])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_joblib_files_are_joblibs(compress, protocol: int, tmp_path: Path):
    """What joblib writes, with any compression that Python has, reads back as joblib itself reads it."""
    value = {
        "plain": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(12, dtype=np.int16).reshape(3, 4)),
        "empty": np.zeros((0, 3)),
        "scalar": np.float32(1.5),
        "single": np.array(7),
        "flags": np.array([True, False]),
        "nested": [{"a": (1, 2.5, None, "x", b"y")}, np.array(["ab", "c"])],
    }
    value["again"] = value["plain"]
    path = tmp_path / "x.pkl"
    joblib.dump(value, path, compress=compress, protocol=protocol)
    read, expected = load_joblib(path), joblib.load(path)
    for name in ("plain", "fortran", "empty", "single", "flags", "again"):
        np.testing.assert_array_equal(read[name], expected[name])
        assert read[name].dtype == expected[name].dtype
    assert read["scalar"] == 1.5 and read["nested"][0] == {"a": [1, 2.5, None, "x", b"y"]}
    assert read["nested"][1].tolist() == ["ab", "c"]
    assert set(read) == set(expected)


def test_joblib_files_that_lie_about_their_size(tmp_path: Path):
    path = tmp_path / "x.pkl"
    joblib.dump({"a": np.zeros((3, 5), np.float32)}, path)
    whole = path.read_bytes()
    shape = whole.index(b"K\x03K\x05\x86")
    for forged in (b"K\xffK\xff\x86", b"K\x03K\x05\x85"):
        path.write_bytes(whole[:shape] + forged + whole[shape + 5 :])
        with pytest.raises(UserError, match=r"x\.pkl is not a readable joblib file"):
            load_joblib(path)


def test_joblib_arrays_of_objects_are_refused(tmp_path: Path):
    touched = tmp_path / "touched"
    joblib.dump({"a": np.array([Bomb(touched)], object)}, tmp_path / "x.pkl")
    with pytest.raises(UserError, match=r"x\.pkl is not a readable joblib file"):
        load_joblib(tmp_path / "x.pkl")
    assert not touched.exists()
