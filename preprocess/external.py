"""Runs programs that the user has installed elsewhere, as subprocesses without a shell.

Without a shell, spaces, quotes and non-ASCII letters in paths have no special meaning. The program's output is passed
on line by line while it runs, and is kept in a log; a failure becomes one sentence that quotes the end of the log. The
program and all its children form a process group, which is terminated when this process is. Before anything long runs,
`import_failure` finds out whether a program of another Python environment can be imported at all.
"""

import collections
import contextlib
import functools
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
_QUOTED_LINES = 5  # at the end of the log, in an error message
_QUOTED_CHARACTERS = 200  # of each of these lines
_GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL
_PATIENCE_SECONDS = 120.0  # for the imports of a program; PyTorch from a network drive takes long
_TQDM_COUNT = re.compile(r"(\d+)/(\d+) \[")
_TRACEBACK = "Traceback (most recent call last)"
_EXCEPTIONS = re.compile(r"^(?:[\w.]+\.)?\w*(?:Error|Exception)(?:: .+)?$", re.M)
_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours and cursor moves


def run_tool(
    command: Sequence[str | Path],
    folder: Path,
    log: Path,
    on_line: LineCallback,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Runs a program and waits until it has finished.

    Args:
        command: the program (a path or a name on the PATH) and its arguments.
        folder: its working directory; paths in `command` should therefore be absolute.
        log: the file to which its output (stdout and stderr) is appended.
        on_line: called with each non-blank line, without its line end, as soon as it is printed. A line that ends in a
            carriage return, as tqdm's do, counts as a line.
        environment: variables to set in addition to this process's.

    Raises UserError if the folder does not exist, the program cannot be started, or it fails (exit status not 0).
    Anything else that ends the call early (Ctrl-C, SIGTERM, an exception in `on_line`) terminates the program first.
    """
    arguments = [os.fspath(argument) for argument in command]
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder} to run {arguments[0]} in: correct its path.")
    # Without these, Python programs buffer their output, and fail to print letters that the locale lacks.
    variables = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"} | dict(environment or {})
    log.parent.mkdir(parents=True, exist_ok=True)
    tail: collections.deque[str] = collections.deque(maxlen=_QUOTED_LINES)
    with log.open("a", encoding="utf-8") as file, _signals_as_exit():
        print(f"$ {shlex.join(arguments)}", file=file, flush=True)
        process = _start(arguments, folder, variables)
        with _terminated_on_error(process):
            assert process.stdout is not None
            for printed in process.stdout:
                line = _ESCAPE_SEQUENCE.sub("", printed).strip()
                if line:
                    print(line, file=file, flush=True)
                    tail.append(line[:_QUOTED_CHARACTERS])
                    on_line(line)
            status = process.wait()
        print(f"# status {status}", file=file)
    if status:
        printed = " | ".join(tail)[-_QUOTED_CHARACTERS:] or "it printed nothing"
        raise UserError(f"{Path(arguments[0]).name} {_describe(status)}; its last lines: {printed}; see {log}.")


def import_failure(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
) -> str | None:
    """Why a Python program of the user's does not get through its imports: the error, in one line; None if it does.

    Only an exception that ends the program counts. Other failures, and slowness, are left to its real run.

    Args:
        command: starts the program so that it imports what it needs and ends, for example with `--help`.
        folder: its working directory.
        environment: variables to set in addition to this process's.
    """
    variables = tuple(sorted((environment or {}).items()))
    return _import_failure(tuple(os.fspath(part) for part in command), folder, variables)


@functools.lru_cache  # a stage asks again before it runs, and imports take seconds
def _import_failure(command: tuple[str, ...], folder: Path, variables: tuple[tuple[str, str], ...]) -> str | None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"PYTHONIOENCODING": "utf-8"} | dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            timeout=_PATIENCE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    raised = _EXCEPTIONS.findall(done.stderr) if _TRACEBACK in done.stderr else []
    return raised[-1].rstrip(".")[:_QUOTED_CHARACTERS] if done.returncode and raised else None


def progress_callback(progress: Progress, description: str) -> LineCallback:
    """An `on_line` for `run_tool` that turns tqdm's counts into a progress bar and shows other lines next to it."""
    task = progress.add_task(description, total=None)

    def show(line: str) -> None:
        counts = _TQDM_COUNT.findall(line)
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
        raise UserError(f"{arguments[0]} cannot be run: {error.strerror}: correct its path.") from None


@contextlib.contextmanager
def _terminated_on_error(process: subprocess.Popen[str]) -> Iterator[None]:
    """Terminates the program's process group if the body raises an exception."""
    with process:
        try:
            yield
        except BaseException:
            try:
                _signal_group(process, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_GRACE_SECONDS)
            finally:
                _signal_group(process, signal.SIGKILL)
            raise


def _signal_group(process: subprocess.Popen[str], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


@contextlib.contextmanager
def _signals_as_exit() -> Iterator[None]:
    """Turns SIGTERM and SIGHUP into SystemExit, so that programs that were started can be terminated first.

    A signal that has a handler already keeps it: `hashhuman.io.interruption` raises for SIGTERM, too.
    """

    def raise_exit(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # Python allows handlers there only
        yield
        return
    free = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    before = {number: signal.signal(number, raise_exit) for number in free}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _describe(status: int) -> str:
    if status > 0:
        return f"failed with status {status}"
    name = signal.Signals(-status).name
    return f"was ended by {name}" + (", perhaps for lack of memory" if name == "SIGKILL" else "")
