"""Reads the user's folder: the conversion, the companions of the model, and files that do not fit."""

import os
import pickle
import re
import time
from pathlib import Path

import numpy as np
import pytest

from hashhuman.body.smpl import source
from hashhuman.body.smpl.arrays import N_BETAS
from hashhuman.errors import UserError
from tests import smpl_files, toy

MODEL = "SMPL_NEUTRAL.pkl"


def test_reads_the_recipes_folder(tree: Path, toy_template, toy_model):
    body = source.load(tree / MODEL)
    np.testing.assert_allclose(body.v_template, toy_model["v_template"], atol=1e-6)
    np.testing.assert_allclose(body.J_regressor, toy_model["J_regressor"], atol=1e-6)
    np.testing.assert_allclose(body.weights, toy_model["weights"], atol=1e-6)
    assert body.parents == toy_template.parents and body.faces.tolist() == toy_template.faces.tolist()
    np.testing.assert_allclose(body.uv, toy_template.uv, atol=1e-6)
    assert body.joint_names == tuple(f"joint_{i}" for i in range(5)) and body.body25 is None


def test_is_converted_once_and_again_when_a_file_changes(tree: Path, monkeypatch: pytest.MonkeyPatch):
    first = source.load(tree / MODEL)
    converted = tree / "SMPL_NEUTRAL.converted.npz"
    assert [p.name for p in tree.iterdir() if "converted" in p.name or p.name.startswith(".")] == [converted.name]
    written = converted.stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(source.pickled, "load", lambda *_: pytest.fail("the pickle is read again"))
        second = source.load(tree / MODEL)
        os.utime(tree / MODEL, (1, 1))  # another time of change, the same content
        source.load(tree / MODEL)
    np.testing.assert_array_equal(first.posedirs, second.posedirs)
    assert second.parents == first.parents and second.joint_names == first.joint_names

    regressor = np.zeros((25, 40))
    regressor[:, 7] = 1
    np.save(tree / "J_regressor_body25.npy", regressor)
    third = source.load(tree / MODEL)
    np.testing.assert_array_equal(third.body25, regressor)
    assert converted.stat().st_mtime_ns != written

    converted.write_bytes(converted.read_bytes()[:500])
    assert source.load(tree / MODEL).body25 is not None  # a damaged conversion is made again
    np.load(converted)["v_template"]


def test_a_conversion_is_complete_without_the_rest(tree: Path, tmp_path: Path):
    body = source.convert(tree / MODEL, tmp_path / "elsewhere" / "mine.npz")
    alone = source.load(tmp_path / "elsewhere" / "mine.npz")
    assert [p.name for p in (tmp_path / "elsewhere").iterdir()] == ["mine.npz"]
    for name in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "faces", "uv"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(body, name))
    with np.load(tmp_path / "elsewhere" / "mine.npz", allow_pickle=False) as archive:
        assert all(archive[name].dtype != object for name in archive.files)
    with pytest.raises(UserError, match="is the file to be converted"):
        source.convert(tmp_path / "elsewhere" / "mine.npz", tmp_path / "elsewhere" / "mine.npz")


def test_no_more_shapes_than_the_principal_ones(tmp_path: Path, toy_template):
    arrays = smpl_files.model(toy_template, n_betas=N_BETAS + 5)
    body = source.load(smpl_files.write_pickle(tmp_path / MODEL, arrays))
    np.testing.assert_allclose(body.shapedirs, arrays["shapedirs"][..., :N_BETAS], atol=1e-6)


def test_an_npz_with_pickled_extras_reads(tmp_path: Path, toy_model, toy_template):
    """SMPL-X's own .npz holds dictionaries, texture coordinates by corner, and dense arrays."""
    extra = {"joint2num": np.array({"Pelvis": 0}, object), "part2num": np.array({"Pelvis": 0}, object)}
    corners = np.arange(toy_template.faces.numel()).reshape(-1, 3)
    texture = toy_template.uv.numpy()[toy_template.faces.numpy().ravel()]
    np.savez(tmp_path / "X.npz", **toy_model, **extra, ft=corners, vt=texture)
    body = source.load(tmp_path / "X.npz")
    np.testing.assert_allclose(body.uv, toy_template.uv, atol=1e-6)
    np.testing.assert_allclose(body.posedirs, toy_model["posedirs"])


def changed(name: str, change) -> dict:
    model = smpl_files.model(toy.template())
    return model | {name: change(model[name])}


def nan(x: np.ndarray) -> np.ndarray:
    y = np.array(x, float)
    y.flat[3] = np.nan
    return y


WRONG = {
    "flat template": ("v_template", lambda x: x.ravel()),
    "empty template": ("v_template", lambda x: x[:0]),
    "template of text": ("v_template", lambda x: np.full(x.shape, "x")),
    "NaN in the template": ("v_template", nan),
    "NaN in the pose shapes": ("posedirs", nan),
    "infinite regressor": ("J_regressor", lambda x: x + np.inf),
    "a joint's regressor missing": ("J_regressor", lambda x: x[:-1]),
    "pose shapes of another skeleton": ("posedirs", lambda x: x[..., :-9]),
    "shapes of another mesh": ("shapedirs", lambda x: x[:-1]),
    "no shapes": ("shapedirs", lambda x: x[..., :0]),
    "weights of another mesh": ("weights", lambda x: x[1:]),
    "weights that do not add up": ("weights", lambda x: 2 * x),
    "negative weights": ("weights", lambda x: x - np.eye(*x.shape)),
    "faces beyond the mesh": ("f", lambda x: x + 1),
    "negative faces": ("f", lambda x: x.astype(int) - 1),
    "quads": ("f", lambda x: x[:, [0, 1, 2, 2]]),
    "a loop of parents": ("kintree_table", lambda x: np.where(x == 0, 3, x)),
    "a tree without a root": ("kintree_table", lambda x: np.where(x == 2**32 - 1, 0, x)),
    "parents alone": ("kintree_table", lambda x: x[0]),
    "complex numbers": ("weights", lambda x: x.astype(complex)),
    "an object": ("weights", lambda x: np.array({"a": 1}, object)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_entries_are_one_sentence(tmp_path: Path, name: str):
    key, change = WRONG[name]
    path = tmp_path / "SMPL_ODD.pkl"
    path.write_bytes(pickle.dumps(changed(key, change), 2))
    with pytest.raises(UserError, match=rf"SMPL_ODD\.pkl: its {key} ") as caught:
        source.load(path)
    assert "\n" not in str(caught.value) and str(caught.value).count(". ") == 0
    assert not source.converted_path(path).exists()


@pytest.mark.parametrize("name", ["v_template", "posedirs", "f", "kintree_table"])
def test_missing_entries(tmp_path: Path, toy_model, name: str):
    arrays = {key: value for key, value in toy_model.items() if key != name}
    np.savez(tmp_path / "SMPL.npz", **arrays)
    with pytest.raises(UserError, match=f"it has no {name}"):
        source.load(tmp_path / "SMPL.npz")


def test_damaged_archives(tmp_path: Path, toy_model):
    path = tmp_path / "SMPL.npz"
    np.savez_compressed(path, **toy_model)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for keep in (0, 10, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:keep])
        with pytest.raises(UserError, match=r"SMPL\.npz is not a readable npz file"):
            source.load(path)
    for _ in range(40):
        data = bytearray(whole)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        try:
            source.load(path)
        except UserError as error:
            assert "SMPL.npz" in str(error) and "\n" not in str(error)


def test_archives_that_reach_out_of_their_folder(tmp_path: Path, toy_model):
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    np.savez(folder / "SMPL.npz", **toy_model, **{"../../escaped": np.zeros(3)})
    source.load(folder / "SMPL.npz")
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["SMPL.converted.npz", "SMPL.npz"]


def test_files_of_another_body_are_refused(tree: Path):
    faces, weights = np.load(tree / "faces.npy"), np.load(tree / "weights.npy")
    for name, value in (
        ("faces.npy", faces[:, ::-1]),
        ("faces.npy", np.array([["a", "b", "c"]] * len(faces))),
        ("weights.npy", weights[:-1]),
        ("weights.npy", weights[::-1]),
        ("parents.npy", np.array([-1, 0, 1, 1, 1])),
        ("J_regressor_body25.npy", np.zeros((25, 41))),
        ("J_regressor_body25.npy", np.full((25, 40), np.nan)),
    ):
        kept = (tree / name).read_bytes() if (tree / name).exists() else None
        np.save(tree / name, value)
        with pytest.raises(UserError, match=name):
            source.load(tree / MODEL)
        (tree / name).unlink() if kept is None else (tree / name).write_bytes(kept)
    source.load(tree / MODEL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("f 1/", "f 1000000/", 1), "is not of this body"),
        (lambda text: text.replace("f 1/", "f -1/", 1), "is not of this body"),
        (lambda text: text.replace("/", "//"), "no texture coordinates"),
        (lambda text: re.sub(r"(\d+)/\d+/\d+", r"\1", text), "no texture coordinates"),
        (lambda text: text.replace("vt ", "vt x"), "no texture coordinates"),
        (lambda text: "\n".join(line for line in text.splitlines() if line[:2] != "vt"), "no texture coordinates"),
        (lambda text: text[: len(text) // 2], "smpl_uv.obj"),
        (lambda text: text.replace("vt 0.", "vt 7."), "between 0 and 1"),
        (lambda text: text.replace("vt 0.", "vt nan"), "smpl_uv.obj"),
        (lambda text: "", "no texture coordinates"),
    ],
)
def test_odd_meshes(tree: Path, change, message: str):
    path = tree / "smpl_uv.obj"
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=message) as caught:
        source.load(tree / MODEL)
    assert "smpl_uv.obj" in str(caught.value) and "\n" not in str(caught.value)


def test_at_a_seam_the_last_face_counts(tree: Path, toy_template):
    path = tree / "smpl_uv.obj"
    lines = path.read_text().splitlines()
    last = lines[-1].split()  # its first corner takes the coordinate that none uses: vt 0.5 0.5
    lines[-1] = " ".join(["f", last[1].split("/")[0] + "/1", *last[2:]])
    path.write_text("\n".join(lines))
    uv = source.load(tree / MODEL).uv
    vertex = int(toy_template.faces[-1, 0])
    np.testing.assert_array_equal(uv[vertex], [0.5, 0.5])
    others = np.arange(40) != vertex
    np.testing.assert_allclose(uv[others], toy_template.uv.numpy()[others], atol=1e-6)


def test_a_missing_model_says_where_to_put_it(tmp_path: Path):
    for model in (tmp_path / MODEL, tmp_path):
        with pytest.raises(UserError, match=r"does not exist: get SMPL's files.*body\.root="):
            source.load(model)


def test_stamps_do_not_depend_on_time(tree: Path):
    before = source.stamp(tree / MODEL)
    os.utime(tree / MODEL, (time.time() + 9, time.time() + 9))
    assert source.stamp(tree / MODEL) == before
    assert [line.split()[0] for line in before[1:]] == [path.name for path in source.sources(tree / MODEL)]
