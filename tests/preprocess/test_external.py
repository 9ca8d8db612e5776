import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from rich.progress import Progress

from hashhuman.errors import UserError
from preprocess import external
from preprocess.external import import_failure, progress_callback, run_tool
from tests.processes import PATIENCE, ends, is_alive


def ignore(line: str) -> None:
    """Takes a line and does nothing."""


@pytest.fixture
def tool(tmp_path: Path):
    """Writes a Python program into a folder with a difficult name, and gives the command that runs it."""
    folder = tmp_path / "мой tool's; $HOME & 工具"
    folder.mkdir()

    def make(code: str, *arguments: str) -> list[str | Path]:
        path = folder / "run me.py"
        path.write_text(textwrap.dedent(code), encoding="utf-8")
        return [sys.executable, path, *arguments]

    return make


def test_arguments_arrive_as_they_are(tool, tmp_path):
    hostile = ["a b", "ü/猫", "$(touch owned)", "; touch owned", "'\"", "*", ""]
    command = tool(
        "import os, sys; print(repr(sys.argv[1:])); print(os.getcwd()); print(os.environ['EXTRA'])", *hostile
    )
    folder, lines = tmp_path / "wörk dir", []
    folder.mkdir()
    run_tool(command, folder, tmp_path / "logs" / "tool.log", lines.append, {"EXTRA": "née"})
    assert lines == [repr(hostile), str(folder), "née"]
    assert not list(folder.iterdir())


def test_lines_come_while_it_runs(tool, tmp_path):
    """The program waits for what we do on its first line, so that lines held back would end in failure."""
    command = tool("""
        import pathlib, sys, time
        print("ready")
        for _ in range(12000):
            if pathlib.Path("go").exists():
                print("went", file=sys.stderr)
                sys.exit()
            time.sleep(0.01)
        sys.exit(1)
    """)
    lines = []

    def on_line(line):
        lines.append(line)
        (tmp_path / "go").touch()

    run_tool(command, tmp_path, tmp_path / "log", on_line)
    assert lines == ["ready", "went"]


def test_all_that_it_prints_is_logged_below_earlier_runs(tool, tmp_path):
    log, lines = tmp_path / "log", []
    code = r"""
        import sys
        sys.stdout.buffer.write(b"one\rtwo\r\n\n\x1b[31mred\x1b[0m \xff\n")
        print("err", file=sys.stderr)
    """
    run_tool(tool(code), tmp_path, log, lines.append)
    assert lines == ["one", "two", "red \ufffd", "err"]
    run_tool(tool("print('again')"), tmp_path, log, ignore)
    logged = log.read_text(encoding="utf-8").splitlines()
    assert logged[1:6] == [*lines, "# status 0"] and logged[7:] == ["again", "# status 0"]
    assert logged[0].startswith("$ ") and "run me.py" in logged[0]


def test_a_failure_is_one_sentence_with_the_logs_end(tool, tmp_path):
    command = tool("import sys; [print('line', i) for i in range(9)]; sys.exit(7)")
    with pytest.raises(UserError) as error:
        run_tool(command, tmp_path, tmp_path / "log", ignore)
    message = str(error.value)
    assert "failed with status 7" in message and "line 8" in message and "line 3" not in message
    assert str(tmp_path / "log") in message and "\n" not in message
    assert (tmp_path / "log").read_text().endswith("line 8\n# status 7\n")


def test_a_killed_program_says_so(tool, tmp_path):
    command = tool("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(UserError, match=r"ended by SIGKILL, perhaps for lack of memory.*printed nothing"):
        run_tool(command, tmp_path, tmp_path / "log", ignore)


def test_says_what_cannot_be_run(tmp_path):
    with pytest.raises(UserError, match="no-such-program cannot be run: No such file"):
        run_tool(["no-such-program"], tmp_path, tmp_path / "log", ignore)
    with pytest.raises(UserError, match=r"There is no folder .*elsewhere"):
        run_tool([sys.executable], tmp_path / "elsewhere", tmp_path / "log", ignore)
    (tmp_path / "data").write_text("no program")
    with pytest.raises(UserError, match="data cannot be run: Permission denied"):
        run_tool([tmp_path / "data"], tmp_path, tmp_path / "log", ignore)


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("import absent_package", "ModuleNotFoundError: No module named 'absent_package'"),
        ("class FooError(Exception): pass\nraise FooError('one.\\ntwo')", "FooError: one"),
        (
            "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise OSError('no libcudart') from e",
            "OSError: no libcudart",
        ),
        ("assert False", "AssertionError"),
        ("import sys; sys.exit('usage: no such option')", None),  # left to its real run
        ("import sys; print('Error: x', file=sys.stderr)", None),
        ("import warnings; warnings.warn('Error: x')", None),
        ("pass", None),
    ],
)
def test_a_program_that_does_not_get_through_its_imports(tool, tmp_path, code, failure):
    assert import_failure(tool(code), tmp_path) == failure


def test_a_program_that_cannot_be_started_or_is_slow_is_left_to_its_run(tool, tmp_path, monkeypatch):
    assert import_failure(["no-such-program"], tmp_path) is None
    monkeypatch.setattr(external, "_PATIENCE_SECONDS", 0.1)
    assert import_failure(tool("import time; time.sleep(600)"), tmp_path) is None


def test_an_interruption_ends_the_program_and_what_it_started(tool, tmp_path):
    command = tool("""
        import os, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(os.getpid(), child.pid)
        time.sleep(600)
    """)
    processes = []

    def on_line(line):
        processes.extend(map(int, line.split()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tool(command, tmp_path, tmp_path / "log", on_line)
    assert len(processes) == 2 and all(map(ends, processes))


def test_a_program_that_ignores_requests_is_killed(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(external, "_GRACE_SECONDS", 0.2)
    command = tool("""
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(os.getpid())
        time.sleep(600)
    """)
    processes = []

    def on_line(line):
        processes.append(int(line))
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        run_tool(command, tmp_path, tmp_path / "log", on_line)
    assert ends(processes[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_us_ends_the_program(tool, tmp_path, number, interruptible):
    command = tool("import os, time; print(os.getpid()); time.sleep(600)")
    caller = textwrap.dedent(f"""
        from pathlib import Path
        from preprocess.external import run_tool
        run_tool({[str(part) for part in command]!r}, Path({str(tmp_path)!r}), Path({str(tmp_path / "log")!r}),
                 lambda line: print(line, flush=True))
    """)
    caller_process = subprocess.Popen(
        [sys.executable, "-c", caller],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with caller_process:
        try:
            assert caller_process.stdout is not None
            process = int(caller_process.stdout.readline())
            assert is_alive(process)
            os.kill(caller_process.pid, number)
            assert caller_process.wait(PATIENCE) in (128 + number, -number)
        finally:
            caller_process.kill()
    assert ends(process)


def test_handlers_are_put_back(tool, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    run_tool(tool("pass"), tmp_path, tmp_path / "log", ignore)
    assert signal.getsignal(signal.SIGTERM) is before


def test_counts_become_a_bar_and_words_stand_beside_it():
    with Progress(disable=True) as progress:
        show = progress_callback(progress, "schp")
        (task,) = progress.tasks
        show(" 45%|████▌     | 9/20 [00:01<00:01,  7.91it/s]")
        assert (task.completed, task.total) == (9, 20)
        show("loading weights/3 of 4")
        assert task.description == "schp: loading weights/3 of 4" and task.completed == 9
