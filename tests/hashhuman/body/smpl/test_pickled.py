"""Pickles as SMPL's authors wrote them, and hostile pickles."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csc_matrix, csr_matrix

from hashhuman.body.smpl import pickled
from hashhuman.body.smpl.arrays import KEYS
from hashhuman.errors import UserError
from tests import smpl_files


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_expressions_and_sparse_matrices_become_arrays(tmp_path: Path, toy_model, protocol: int):
    path = smpl_files.write_pickle(tmp_path / "SMPL.pkl", toy_model, protocol)
    assert b"chumpy.ch" in path.read_bytes() and b"scipy.sparse.csc" in path.read_bytes()
    read = pickled.load(path, KEYS)
    assert read.keys() == toy_model.keys()
    for name, expected in toy_model.items():
        np.testing.assert_array_equal(read[name], expected)


@pytest.mark.parametrize("kind", [csc_matrix, csr_matrix])
def test_sparse_matrices_of_todays_scipy(tmp_path: Path, kind):
    matrix = np.random.default_rng(0).normal(size=(4, 7)) * (np.arange(28).reshape(4, 7) % 3 == 0)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"J_regressor": kind(matrix)}, 2))
    np.testing.assert_array_equal(pickled.load(tmp_path / "x.pkl", ("J_regressor",))["J_regressor"], matrix)


class System:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return (os.system, (self.command,))


def look_alike(folder: Path, module: str, name: str, reduce: tuple) -> bytes:
    """A pickle with an object that claims to be chumpy's and names the function that makes it."""
    with smpl_files.chumpy() as classes:
        made = getattr(classes, name)
        made.__reduce__ = lambda self: reduce
        return pickle.dumps({"v_template": made()}, 2)


def test_nothing_is_run(tmp_path: Path, toy_model):
    touched, path = tmp_path / "touched", tmp_path / "SMPL.pkl"
    command = f"touch {touched}"
    with smpl_files.chumpy() as ch:
        streams = [
            pickle.dumps(System(command), 2),
            pickle.dumps(toy_model | {"weights": System(command)}, 2),
            pickle.dumps({"v_template": ch.Ch(x=System(command))}, 2),
        ]
    streams.append(look_alike(tmp_path, "chumpy.ch", "Ch", (os.system, (command,))))
    streams.append(look_alike(tmp_path, "chumpy.reordering", "Select", (exec, (f"open({str(touched)!r}, 'w')",))))
    streams += [
        b"cchumpy.ch\nos.system\n(S'%s'\ntR." % command.encode(),
        b"cchumpy\nCh\n(S'%s'\ntR." % command.encode(),
        b"cchumpy.ch\nCh\n(S'%s'\ntR." % command.encode(),
        b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nS'x'\ntRS'x'\nb.",
        b"ccopy_reg\n_reconstructor\n(c_codecs\nencode\nc__builtin__\nobject\nNtR.",
        b"ccopy_reg\n_reconstructor\n(cnumpy\nndarray\ncnumpy\nndarray\n(I9\ntR.",
        b"\x80\x02c__builtin__\nobject\n)\x81.",
    ]
    for stream in streams:
        path.write_bytes(stream)
        with pytest.raises(UserError, match=r"SMPL\.pkl") as caught:
            pickled.load(path, KEYS)
        assert "\n" not in str(caught.value)
        assert not touched.exists()


def test_expressions_that_make_no_sense(tmp_path: Path):
    path = tmp_path / "SMPL.pkl"
    with smpl_files.chumpy() as ch:
        ring = ch.Ch()
        ring.x = ring
        sparse = csc_matrix(np.eye(3))
        values = [
            ch.Ch(),
            ch.Ch(x=ch.MatVecMult(mtx=1, vec=2)),
            ring,
            ch.Select(a=np.zeros(3), idxs=np.array([5])),
            ch.Select(a=np.zeros(3), idxs="x"),
            ch.Select(a=np.zeros(4), idxs=np.arange(4), preferred_shape=(3, 3)),
            ch.Reshape(a=np.zeros(4), newshape=(-1, 3)),
            ch.transpose(a=np.zeros((2, 2)), axes=(0, 5)),
            [[1, 2], [3]],
        ]
        streams = [pickle.dumps({"v_template": value}, 2) for value in values]
        for name, damaged in (
            ("indices", np.array([0, 1, 9], np.int32)),
            ("indices", np.array([0, 1], np.int32)),
            ("indptr", np.array([0, 5, 2, 3], np.int32)),
            ("indptr", np.array([0, 1], np.int32)),
            ("_shape", (3, 3.5)),
            ("_shape", "ab"),
            ("_shape", (2**60, 3)),
        ):
            state = sparse.__getstate__() | {name: damaged}
            made = csc_matrix.__new__(csc_matrix)
            made.__dict__.update(state)
            streams.append(pickle.dumps({"v_template": made}, 2))
    for stream in streams:
        path.write_bytes(stream)
        with pytest.raises(UserError, match=r"SMPL\.pkl: its v_template is no array") as caught:
            pickled.load(path, KEYS)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("protocol", [0, 2])
def test_damaged_streams(tmp_path: Path, toy_model, protocol: int):
    """A file cut or altered at random still reads, or is refused with one sentence."""
    path = smpl_files.write_pickle(tmp_path / "SMPL.pkl", toy_model, protocol)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for trial in range(120):
        data = bytearray(whole[: rng.integers(len(whole))] if trial % 2 else whole)
        for place in rng.integers(0, max(len(data), 1), 3 * (trial % 2 == 0)):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            pickled.load(path, KEYS)
        except UserError as error:
            refused += 1
            assert "SMPL.pkl" in str(error) and "\n" not in str(error)
    assert refused >= 60


@pytest.mark.parametrize("content", [b"", b"\x80\x02}.", pickle.dumps([1, 2]), pickle.dumps("x"), b"SMPL"])
def test_other_files(tmp_path: Path, content: bytes):
    (tmp_path / "SMPL.pkl").write_bytes(content)
    if content == b"\x80\x02}.":
        assert pickled.load(tmp_path / "SMPL.pkl", KEYS) == {}
    else:
        with pytest.raises(UserError, match=r"SMPL\.pkl"):
            pickled.load(tmp_path / "SMPL.pkl", KEYS)
