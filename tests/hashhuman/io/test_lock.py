"""One process at a time works on a folder."""

import fcntl
import multiprocessing
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from hashhuman.errors import UserError
from hashhuman.io import lock
from hashhuman.io.lock import alone, holder_of
from tests.processes import PATIENCE


def hold(folder: Path, note: Path) -> None:
    with alone(folder):
        with note.open("a") as file:
            file.write("in ")
        time.sleep(0.1)  # in which another that did not wait would write
        with note.open("a") as file:
            file.write("out ")


def test_others_wait(tmp_path):
    context, note = multiprocessing.get_context("fork"), tmp_path / "note"
    processes = [context.Process(target=hold, args=(tmp_path / "new/folder", note)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    assert note.read_text() == "in out " * 3
    assert not (tmp_path / "new/folder").exists()


def test_many_processes_in_turn(tmp_path):
    """The lock file goes and comes again all the time, and still only one process at a time is inside."""
    context, note = multiprocessing.get_context("fork"), tmp_path / "note"

    def often() -> None:
        for _ in range(50):
            with alone(tmp_path / "new/folder"):
                with note.open("a") as file:
                    file.write("in ")
                with note.open("a") as file:
                    file.write("out ")

    processes = [context.Process(target=often) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0] * 4
    assert note.read_text() == "in out " * 200
    assert not list(tmp_path.rglob(".*.lock"))


def test_what_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), alone(tmp_path / "new/deep/folder"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_folders_stay_that_were_there_or_are_used(tmp_path):
    (tmp_path / "empty").mkdir()
    with alone(tmp_path / "empty/folder"):
        pass
    with alone(tmp_path / "new/folder"):
        (tmp_path / "new/folder").mkdir()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "folder", "new"]


def test_other_folders_do_not(tmp_path):
    with alone(tmp_path / "a"), alone(tmp_path / "b"):
        assert (tmp_path / ".a.lock").exists()


def started_holder(folder: Path) -> multiprocessing.process.BaseProcess:
    """A process that holds the lock of a folder until it is killed."""
    context = multiprocessing.get_context("fork")
    held = context.Event()

    def hold_on() -> None:
        with alone(folder):
            held.set()
            time.sleep(10 * PATIENCE)

    process = context.Process(target=hold_on)
    process.start()
    assert held.wait(PATIENCE)
    return process


def test_a_process_that_ends_leaves_it_free(tmp_path):
    process = started_holder(tmp_path / "a")
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with alone(tmp_path / "a"):
        pass


def test_who_holds_it_is_known_without_waiting(tmp_path):
    assert holder_of(tmp_path / "a") is None
    with alone(tmp_path / "a"):
        assert holder_of(tmp_path / "a") is None  # this process itself
    process = started_holder(tmp_path / "a")
    try:
        holder = holder_of(tmp_path / "a")
        assert holder is not None and holder.startswith(f"process {process.pid} (")
    finally:
        process.kill()
        process.join()
    assert (tmp_path / ".a.lock").exists() and holder_of(tmp_path / "a") is None  # it was left behind
    (tmp_path / ".b.lock").symlink_to(".a.lock")
    os.mkfifo(tmp_path / ".c.lock")
    (tmp_path / ".d.lock").mkdir()
    assert all(holder_of(tmp_path / name) is None for name in "bcd")


def test_somebody_who_only_asks_is_not_waited_for(tmp_path):
    """A question holds the lock for a moment, in which nothing may be refused."""
    (tmp_path / ".a.lock").touch()
    with (tmp_path / ".a.lock").open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        threading.Timer(lock.PROBE / 4, fcntl.flock, (asking, fcntl.LOCK_UN)).start()
        with alone(tmp_path / "a", wait=False):
            pass


def test_who_waits_says_for_what_and_how_it_goes_on(tmp_path, capfd):
    process = started_holder(tmp_path / "a")
    waiting = multiprocessing.get_context("fork").Process(target=hold, args=(tmp_path / "a", tmp_path / "note"))
    waiting.start()
    said, end = "", time.monotonic() + PATIENCE
    while time.monotonic() < end and waiting.is_alive() and "\n" not in said:
        said += capfd.readouterr().out
        time.sleep(0.01)
    process.kill()
    process.join()
    waiting.join(PATIENCE)
    folder = re.escape(str(tmp_path / "a"))
    how = "this command goes on by itself when that has ended; Ctrl-C gives up"
    assert re.fullmatch(rf"waiting for process {process.pid} \(.*\), which works on {folder}: {how}\n", said)
    assert (tmp_path / "note").read_text() == "in out "


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError), alone(tmp_path / "file/folder"):
        pass
    with pytest.raises(NotADirectoryError), alone(tmp_path / "file/deep/folder"):
        pass


def test_a_link_in_the_place_of_the_lock_is_refused(tmp_path):
    """In a folder from somebody else, it could lead to any file of the user."""
    (tmp_path / "thesis.tex").write_text("chapter 1")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.lock").symlink_to("../thesis.tex")
    sentence = r"run/\.lock is a link, and a lock must be a file: delete it"
    with pytest.raises(UserError, match=sentence), alone(tmp_path / "run", inside=True):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "chapter 1"
