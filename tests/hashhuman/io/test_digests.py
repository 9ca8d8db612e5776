"""Digests that are remembered: each is that of the file as it is, however it has changed."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from hashhuman.io import digests, files
from hashhuman.io.digests import Digests

NAMES = ("a", "b", "c")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(digests, "SETTLED", -1.0)  # files of this moment count as settled
    for name in NAMES:
        (tmp_path / name).write_text(name * 5)
    return tmp_path


def digests_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read; the digests must be right."""
    read: list[str] = []

    def sha256(path: Path) -> str:
        read.append(path.name)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    with monkeypatch.context() as patched:
        patched.setattr(files, "sha256", sha256)
        found = Digests(folder / "cache" / "digests.json").of({name: folder / name for name in NAMES})
    assert found == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in NAMES}
    return sorted(read)


def test_files_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    assert digests_of(folder, monkeypatch) == ["a", "b", "c"]
    assert digests_of(folder, monkeypatch) == []


def test_a_change_is_noticed_also_where_size_and_time_stay(folder: Path, monkeypatch: pytest.MonkeyPatch):
    digests_of(folder, monkeypatch)
    before = (folder / "a").stat()
    (folder / "a").write_text("A" * 5)
    os.utime(folder / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    shutil.copy2(folder / "b", folder / "new")
    os.replace(folder / "new", folder / "b")
    assert digests_of(folder, monkeypatch) == ["a", "b"]
    assert digests_of(folder, monkeypatch) == []


def test_files_that_have_just_changed_are_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(digests, "SETTLED", 3600.0)
    for _ in range(2):
        assert digests_of(folder, monkeypatch) == ["a", "b", "c"]


@pytest.mark.parametrize("content", ["", "[1]", '{"a": 1}', '{"a": [[1, 2, 3, 4], "x"]}', '{"a": [["1", 2, 3, 4], 5]}'])
def test_a_damaged_file_of_digests_is_made_again(folder: Path, monkeypatch: pytest.MonkeyPatch, content: str):
    (folder / "cache").mkdir()
    (folder / "cache" / "digests.json").write_text(content)
    assert digests_of(folder, monkeypatch) == ["a", "b", "c"]
    assert json.loads((folder / "cache" / "digests.json").read_text()).keys() == set(NAMES)


def test_where_nothing_can_be_written_nothing_is_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "cache").write_text("no folder")
    for _ in range(2):
        assert digests_of(folder, monkeypatch) == ["a", "b", "c"]
