"""Programs that the user has installed elsewhere, run as subprocesses without a shell.

Arguments go to the program as they are, so that spaces, quotes and letters of any script in paths mean nothing special.
What it prints is passed on line by line while it runs and kept in a log; a failure becomes one sentence that quotes the
log's end. The program and all that it starts form a group of processes, which ends with us.
"""

import collections
import contextlib
import os
import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from rich.progress import Progress

from hashhuman.errors import UserError

LineCallback = Callable[[str], object]
_TAIL = 5  # lines of the log that a message quotes
_LONGEST = 200  # characters of each
_PATIENCE = 5.0  # seconds between asking a program to stop and killing it
_COUNT = re.compile(r"(\d+)/(\d+) \[")  # as tqdm prints it
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours and cursor moves


def run_tool(
    command: Sequence[str | Path],
    folder: Path,
    log: Path,
    on_line: LineCallback,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Runs a program to its end.

    Args:
        command: the program, a path or a name on the PATH, and its arguments.
        folder: where it runs; paths in `command` should be absolute.
        log: takes all that it prints (stdout and stderr); earlier runs' lines stay above.
        on_line: called with each line that is not blank, without its end, as soon as it is printed; lines that a
            carriage return overwrites on a terminal, as of tqdm, count as lines.
        environment: variables added to ours.

    Raises UserError if the folder does not exist, the program cannot be started, or it ends with a status other than 0.
    Whatever else ends the call early (Ctrl-C, SIGTERM, an exception in `on_line`) ends the program first.
    """
    arguments = [os.fspath(argument) for argument in command]
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder} to run {arguments[0]} in; correct its path.")
    # Python tools would otherwise hold back their lines, and fail to print letters that the locale lacks.
    variables = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"} | dict(environment or {})
    log.parent.mkdir(parents=True, exist_ok=True)
    tail: collections.deque[str] = collections.deque(maxlen=_TAIL)
    with log.open("a", encoding="utf-8") as file, _raising_when_ended():
        print(f"$ {shlex.join(arguments)}", file=file, flush=True)
        process = _start(arguments, folder, variables)
        with _ending(process):
            assert process.stdout is not None
            for printed in process.stdout:
                line = _TERMINAL.sub("", printed).strip()
                if line:
                    print(line, file=file, flush=True)
                    tail.append(line[:_LONGEST])
                    on_line(line)
            status = process.wait()
        print(f"# status {status}", file=file)
    if status:
        printed = " | ".join(tail) or "it printed nothing"
        raise UserError(f"{arguments[0]} {_fate(status)}; its last lines: {printed}; all of them are in {log}.")


def follow(progress: Progress, description: str) -> LineCallback:
    """A callback for `run_tool` that shows counts as tqdm prints them as a bar, and other lines beside it."""
    task = progress.add_task(description, total=None)

    def show(line: str) -> None:
        counts = _COUNT.findall(line)
        if counts:
            done, total = map(int, counts[-1])
            progress.update(task, completed=done, total=total)
        else:
            progress.update(task, description=f"{description}: {line[:60]}")

    return show


def _start(arguments: list[str], folder: Path, variables: Mapping[str, str]) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            arguments,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise UserError(f"{arguments[0]} cannot be run: {error.strerror}; correct its path.") from None


@contextlib.contextmanager
def _ending(process: subprocess.Popen[str]) -> Iterator[None]:
    """Ends the program's group of processes if the body is left by an exception."""
    with process:
        try:
            yield
        except BaseException:
            try:
                _signal_group(process, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE)
            finally:
                _signal_group(process, signal.SIGKILL)
            raise


def _signal_group(process: subprocess.Popen[str], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


@contextlib.contextmanager
def _raising_when_ended() -> Iterator[None]:
    """Turns the signals that end us into SystemExit, so that what we have started can be ended first."""

    def leave(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # where Python lets nobody set handlers
        yield
        return
    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fate(status: int) -> str:
    if status > 0:
        return f"failed with status {status}"
    name = signal.Signals(-status).name
    return f"was ended by {name}" + (", perhaps for lack of memory" if name == "SIGKILL" else "")
