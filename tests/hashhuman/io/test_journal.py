"""Records that are whole are found again, and nothing else."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from hashhuman.errors import UserError
from hashhuman.io.journal import Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of three records; the second has a file, `1.txt`."""
    (tmp_path / "1.txt").write_text("one")
    with Journal(tmp_path / "work.journal") as journal:
        for i in range(3):
            journal.add(f"{i}", {"value": np.arange(i, dtype=np.float32)}, [tmp_path / "1.txt"] * (i == 1))
    return tmp_path / "work.journal"


def test_arrays_come_back_exactly(tmp_path: Path) -> None:
    arrays = {"a": np.array([1 / 3, np.nan, -0.0]), "b": np.float32([[0.1]]), "c": np.array(True)}
    with Journal(tmp_path / "x") as journal:
        journal.add("first", arrays)
        journal.add("none", {})
    with Journal(tmp_path / "x") as journal:
        found = journal.get("first")
        assert found is not None and found.keys() == arrays.keys()
        for name, value in arrays.items():
            assert found[name].dtype == value.dtype and found[name].tobytes() == np.asarray(value).tobytes()
        assert journal.get("none") == {} and journal.get("second") is None and "second" not in journal


def test_a_torn_record_is_cut_off_and_replaced(path: Path) -> None:
    whole = path.read_bytes()
    with Journal(path) as journal:
        journal.add("long", {"value": np.zeros(99)})
    for size in range(len(whole) + 1, path.stat().st_size, 37):
        path.write_bytes(path.read_bytes()[:size])
        with Journal(path) as journal:
            assert "2" in journal and "long" not in journal
            assert path.read_bytes() == whole
            journal.add("long", {"value": np.zeros(99)})


def test_no_flipped_bit_is_taken_for_a_record(path: Path) -> None:
    whole = path.read_bytes()
    for at in range(0, len(whole), 11):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with Journal(path) as journal:
            for i in range(3):
                found = journal.get(f"{i}", [path.with_name("1.txt")] * (i == 1))
                assert found is None or found["value"].tolist() == list(range(i))


def test_a_record_holds_while_its_files_do(path: Path) -> None:
    file, computed = path.with_name("1.txt"), []

    def compute() -> Mapping[str, np.ndarray]:
        file.write_text("one")
        computed.append(1)
        return {"value": np.zeros(1, np.float32)}

    for content, times in ((None, 0), ("two", 1), ("", 2)):
        if content is not None:
            file.write_text(content)
        with Journal(path) as journal:
            journal.once("1", compute, [file])
        assert len(computed) == times and file.read_text() == "one"
    file.unlink()
    with Journal(path) as journal:
        assert "1" in journal and journal.get("1", [file]) is None


def test_a_link_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    before = path.read_bytes()
    with pytest.raises(UserError, match="link"):
        Journal(tmp_path / "link")
    assert path.read_bytes() == before
