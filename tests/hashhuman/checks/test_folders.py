"""Folders that cannot be written."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from hashhuman.checks.folders import check_writable
from hashhuman.errors import UserError


def test_good_folders_are_unchanged(tmp_path: Path):
    check_writable(tmp_path, "a=")
    check_writable(tmp_path / "not/there yet", "a=")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/x \(in .*file\) cannot be written: .*choose another folder with run="):
        check_writable(tmp_path / "file/x", "run=")


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_the_systems_reason_is_part_of_the_message(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(dir: Path):
        raise OSError(number, os.strerror(number), str(dir))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError) as raised:
        check_writable(tmp_path, "workspace=")
    assert str(raised.value) == (
        f"{tmp_path} cannot be written: {os.strerror(number)}: choose another folder with workspace=."
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Permission denied"):
        check_writable(tmp_path, "workspace=")
