"""Pickles of plain data load; all others are refused without running anything."""

import decimal
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from hashhuman.errors import UserError
from hashhuman.io import files
from tests.hashhuman.io.plain import PLAIN, assert_plain


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
        # bytes that count as pointers to objects: in a view of a buffer, by a dtype's flags, fields or base
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
