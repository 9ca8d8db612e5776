"""Which temporary files are left over, and which are being written."""

import os
import subprocess
from pathlib import Path

from hashhuman.io import files, leftovers


def test_only_files_of_processes_that_are_gone_are_deleted(tmp_path: Path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    mine = leftovers.temporary_prefix(Path("a.b.npy"))
    names = {
        "mine": f"{mine}x.npy",
        "gone": f"{mine}x.npy".replace(f"-{os.getpid()}-", f"-{gone.pid}-"),
        "elsewhere": ".a.part-ffffff-1-x.npy",
        "old": ".b.part-ffffff-1-x",
        "user's": ".part-x",
    }
    (tmp_path / "deep").mkdir()
    for name in names.values():
        (tmp_path / "deep" / name).write_text("half")
    os.utime(tmp_path / "deep" / names["old"], (1, 1))
    assert leftovers.sweep(tmp_path) == 2
    left = {path.name for path in (tmp_path / "deep").iterdir()}
    assert left == {names["mine"], names["elsewhere"], names["user's"]}


def test_names_are_those_of_files_that_are_being_written(tmp_path: Path):
    with files.atomic_path(tmp_path / "x.tar.gz") as sibling:
        assert leftovers._NAME.fullmatch(sibling.name) and not leftovers.is_leftover(sibling)
        sibling.touch()
