"""Reading refuses code and halves; writing leaves the old file or the new one."""

import collections
import decimal
import errno
import io
import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from hashhuman.errors import UserError
from hashhuman.io import files

PLAIN = {
    "array": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.eye(3)[:, :2]),
    "strided": np.arange(10)[::2],
    "empty": np.zeros((0, 3)),
    "big-endian": np.arange(3, dtype=">i4"),
    "objects": np.array([None, 1.5], object),
    "permuted": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "scalar": np.float32(2.5),
    "text": np.array(["a", "bcd"]),
    "nested": [(1, 2.5, True, None), b"bytes", collections.OrderedDict(x=np.int64(3)), {"set"}, frozenset()],
}


def assert_plain(value: dict) -> None:
    for name in PLAIN.keys() - {"nested"}:
        np.testing.assert_array_equal(value[name], PLAIN[name])
        assert value[name].dtype.newbyteorder("=") == PLAIN[name].dtype.newbyteorder("=")
    assert value["nested"] == PLAIN["nested"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_arrays_and_containers_load(tmp_path: Path, protocol: int):
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps(PLAIN, protocol))
    assert_plain(files.load_pickle(path))


def test_numpy_1_and_2_spell_their_modules_differently(tmp_path: Path):
    path = tmp_path / "old.pkl"
    path.write_bytes(pickle.dumps(PLAIN, 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert b"numpy.core.multiarray" in path.read_bytes()
    assert_plain(files.load_pickle(path))


def test_a_pickle_of_python_2_loads(tmp_path: Path):
    """Python 2 wrote array data as byte strings without an encoding."""
    path = tmp_path / "python2.pkl"
    data = np.array([1.5, -2.0]).tobytes()
    path.write_bytes(
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n(S'f8'\n"
        b"I0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS" + repr(data)[1:].encode() + b"\ntb."
    )
    np.testing.assert_array_equal(files.load_pickle(path), [1.5, -2.0])


def test_npy_files_are_those_of_numpy(tmp_path: Path):
    """What is written is byte for byte what np.save writes, so other readers of the layout open it."""
    for value in (PLAIN["array"], {"poses": np.zeros((1, 15)), "ims": [{"ims": ["a"]}]}):
        files.save_npy(tmp_path / "x.npy", value)
        expected = io.BytesIO()
        np.save(expected, np.asanyarray(value))
        assert (tmp_path / "x.npy").read_bytes() == expected.getvalue()


def test_npy_round_trip(tmp_path: Path):
    files.save_npy(tmp_path / "dict.npy", PLAIN)
    assert_plain(files.load_npy(tmp_path / "dict.npy"))
    assert b"_Array" not in pickle.dumps(files.load_npy(tmp_path / "dict.npy"))  # a worker gets plain arrays
    files.save_npy(tmp_path / "fortran.npy", PLAIN["fortran"])
    np.testing.assert_array_equal(files.load_npy(tmp_path / "fortran.npy"), PLAIN["fortran"])
    objects = np.empty((2, 1), object)
    objects[:, 0] = [np.arange(3), "x"]
    files.save_npy(tmp_path / "objects.npy", objects)
    loaded = files.load_npy(tmp_path / "objects.npy")
    assert loaded.shape == (2, 1)
    assert loaded[1, 0] == "x"


class Hostile:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("kind", ["npy", "pickle"])
def test_hostile_files_run_nothing(tmp_path: Path, kind: str):
    touched, path = tmp_path / "touched", tmp_path / "hostile"
    if kind == "npy":
        value = np.empty((), object)
        value[()] = {"poses": Hostile(touched)}
        with open(path, "wb") as file:
            np.save(file, value)
        load = files.load_npy
    else:
        path.write_bytes(pickle.dumps([Hostile(touched)]))
        load = files.load_pickle
    with pytest.raises(UserError, match=r"hostile.*io\.open"):
        load(path)
    assert not touched.exists()


@pytest.mark.parametrize(
    "stream",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.",
        b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93.",
        # bytes passed off as pointers to objects: in a view of a buffer, by a dtype's flags, by its fields, by its base
        b"cnumpy\nndarray\n((I1\ntS'O'\nS'AAAAAAAA'\ntR.",
        b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbp0\n"
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I1\ntg0\nI00\nS'AAAAAAAA'\ntb.",
        b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nN(S'a'\nt(dS'a'\n(cnumpy\ndtype\n(S'O8'\ntRI0\ntsI8\nI1\nI0\ntb.",
        b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\n(cnumpy\ndtype\n(S'O8'\ntR(I1\nttNNI8\nI1\nI0\ntb.",
        b"cnumpy\ndtype\n(S'V8'\nI0\nI1\ntR.",
        # gigabytes from a few bytes
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(L9999999999L\ntcnumpy\ndtype\n"
        b"(S'O8'\ntRI00\n(lp0\ntb.",
    ],
)
def test_other_ways_to_run_code_are_refused(tmp_path: Path, stream: bytes):
    (tmp_path / "x.pkl").write_bytes(stream)
    with pytest.raises(UserError, match=r"x\.pkl is not a readable pickle"):
        files.load_pickle(tmp_path / "x.pkl")


@pytest.mark.parametrize("stream", [b"\x80\x02]r\x00\x00\x40\x00.", b"]p4194304\n."])
def test_the_number_of_an_object_costs_no_memory(tmp_path: Path, stream: bytes):
    (tmp_path / "x.pkl").write_bytes(stream)
    tracemalloc.start()
    assert files.load_pickle(tmp_path / "x.pkl") == []
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_stand_ins_take_the_place_of_named_classes(tmp_path: Path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"number": decimal.Decimal("1.5")}))
    with pytest.raises(UserError, match="Decimal"):
        files.load_pickle(tmp_path / "x.pkl")
    loaded = files.load_pickle(tmp_path / "x.pkl", {("decimal", "Decimal"): lambda text: ("stand-in", text)})
    assert loaded == {"number": ("stand-in", "1.5")}


@pytest.mark.parametrize("keep", [0, 4, 20, 100, 200, -1])
@pytest.mark.parametrize("value", [np.arange(100.0), PLAIN], ids=["array", "dict"])
def test_truncated_npy(tmp_path: Path, keep: int, value):
    path = tmp_path / "cut.npy"
    files.save_npy(path, value)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"cut\.npy is not a readable npy file") as caught:
        files.load_npy(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("load", [files.load_npy, files.load_npz, files.load_pickle, files.load_json, files.read_image])
def test_absent_empty_and_garbage(tmp_path: Path, load):
    with pytest.raises(UserError, match=r"gone\.x does not exist"):
        load(tmp_path / "gone.x")
    for content in (b"", b"\x93NUMPYgarbage", b"\xff\xd8\xff\xe0garbage", b"{]"):
        (tmp_path / "bad.x").write_bytes(content)
        with pytest.raises(UserError, match=r"bad\.x is not a readable"):
            load(tmp_path / "bad.x")
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path)  # a folder


def test_npz(tmp_path: Path):
    files.save_npz(tmp_path / "x.npz", {"a": np.arange(3), "b": np.eye(2, dtype=np.float32)})
    loaded = files.load_npz(tmp_path / "x.npz")
    assert list(loaded) == ["a", "b"]
    np.testing.assert_array_equal(loaded["b"], np.eye(2))
    data = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="npz"):
        files.load_npz(tmp_path / "x.npz")
    objects = np.empty(1, object)
    np.savez(tmp_path / "pickled.npz", x=objects)
    with pytest.raises(UserError, match=r"pickled\.npz"):
        files.load_npz(tmp_path / "pickled.npz")


def test_images_are_rgb(tmp_path: Path):
    image = np.zeros((5, 7, 3), np.uint8)
    image[..., 0] = 200  # red
    files.write_image(tmp_path / "a" / "red.png", image)
    np.testing.assert_array_equal(files.read_image(tmp_path / "a" / "red.png"), image)
    files.write_image(tmp_path / "grey.png", image[..., 0])
    np.testing.assert_array_equal(files.read_image(tmp_path / "grey.png"), image[..., 0])
    files.write_image(tmp_path / "red.jpg", image)
    assert abs(files.read_image(tmp_path / "red.jpg").astype(int) - image).max() <= 4
    with pytest.raises(ValueError, match="uint8"):
        files.write_image(tmp_path / "float.png", image / 255)


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path):
    path = tmp_path / "x.json"
    files.save_json(path, {"old": 1})
    with pytest.raises(TypeError):
        files.save_json(path, {"new": object()})
    with pytest.raises(RuntimeError), files.atomic_path(path) as sibling:
        sibling.write_text("half")
        raise RuntimeError
    assert files.load_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["x.json"]


@pytest.mark.parametrize("call", ["open", "os.fsync", "os.replace"])
def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "folder" / "x.npy"
    files.save_npy(path, np.zeros(3))
    if call == "open":
        monkeypatch.setattr(np, "save", full)
    else:
        monkeypatch.setattr(os, call.split(".")[1], full)
    with pytest.raises(UserError, match=r"x\.npy cannot be written: No space left on device \(\d+ MiB free there\)"):
        files.save_npy(path, np.ones(3))
    np.testing.assert_array_equal(files.load_npy(path), np.zeros(3))
    assert os.listdir(path.parent) == ["x.npy"]


def test_siblings_keep_the_suffix_and_everybody_may_read(tmp_path: Path):
    with files.atomic_path(tmp_path / "deep" / "x.tar.gz") as sibling:
        assert sibling.suffix == ".gz"
        assert sibling.parent == tmp_path / "deep"
        sibling.write_bytes(b"1")
    assert (tmp_path / "deep" / "x.tar.gz").stat().st_mode & 0o777 == 0o644
