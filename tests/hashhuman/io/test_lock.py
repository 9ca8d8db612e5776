"""One process at a time works on a folder."""

import multiprocessing
import time
from pathlib import Path

from hashhuman.io.lock import alone


def hold(folder: Path, note: Path) -> None:
    with alone(folder):
        with note.open("a") as file:
            file.write("in ")
        time.sleep(0.1)
        with note.open("a") as file:
            file.write("out ")


def test_others_wait(tmp_path):
    context, note = multiprocessing.get_context("fork"), tmp_path / "note"
    processes = [context.Process(target=hold, args=(tmp_path / "new/folder", note)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    assert note.read_text() == "in out " * 3
    assert not (tmp_path / "new/folder").exists()


def test_other_folders_do_not(tmp_path):
    with alone(tmp_path / "a"), alone(tmp_path / "b"):
        assert (tmp_path / ".a.lock").exists()


def test_a_process_that_ends_leaves_it_free(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=hold, args=(tmp_path / "a", tmp_path / "note"))
    process.start()
    while not (tmp_path / "note").exists():
        time.sleep(0.01)
    process.kill()
    process.join()
    with alone(tmp_path / "a"):
        assert (tmp_path / "note").read_text() == "in "
