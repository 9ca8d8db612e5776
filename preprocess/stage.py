"""The base class of preprocessing stages, and the runner that skips finished ones.

A finished stage leaves a stamp, `stages/<name>.json`: its settings, and the size and SHA-256 of every input and output
file. While the stamp holds, the stage is skipped. A changed setting, a changed input or a damaged output therefore runs
it again, and an interrupted run loses at most one stage.
"""

import abc
import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hashhuman.errors import UserError
from hashhuman.io.assets import Asset
from hashhuman.io.files import load_json, save_json

CONSOLE = Console()


class Stage(abc.ABC):
    """One step from the video to the subject folder.

    A stage writes only its outputs and its entries of `subject.json`, and every file either completely or not at all.
    """

    name: ClassVar[str]
    """One of `stage_order.STAGES`; variants of a stage share it."""
    version: ClassVar[int] = 1
    """Increase it when the same settings and inputs give another output, so that finished subjects are redone."""
    force: bool = False
    """Run the stage even if its stamp holds."""

    @abc.abstractmethod
    def inputs(self, subject: Path) -> list[Path]:
        """Files and folders whose content determines the outputs."""

    @abc.abstractmethod
    def outputs(self, subject: Path) -> list[Path]:
        """Files and folders that only this stage writes; the first is the one that users are shown."""

    @abc.abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything else that determines the outputs, as JSON."""

    def missing(self) -> str | None:
        """One sentence on what only the user can supply and is missing; checked before any stage runs."""
        return None

    def assets(self) -> list[Asset]:
        """Weights that the stage fetches when it runs, unless they are cached."""
        return []

    @abc.abstractmethod
    def run(self, subject: Path, progress: Progress) -> str:
        """Writes the outputs, and returns a few words on what was done.

        Args:
            subject: the subject's folder.
            progress: shows progress bars.

        Raises UserError on bad input.
        """


@dataclasses.dataclass(frozen=True)
class FileStamp:
    """Identifies the content of a file. If its size and time are unchanged, it need not be read to compare it."""

    size: int
    mtime_ns: int
    sha256: str

    @staticmethod
    def of(path: Path) -> "FileStamp":
        """The stamp of a file as it is now."""
        status = path.stat()
        with path.open("rb") as file:
            return FileStamp(status.st_size, status.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest())

    def holds(self, path: Path) -> bool:
        """Whether the file still has the stamped content."""
        status = path.stat()
        if (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns):
            return True
        return status.st_size == self.size and FileStamp.of(path).sha256 == self.sha256


def digest(files: Sequence[Path]) -> str:
    """The SHA-256 of a file's content, or of several files' SHA-256."""
    if len(files) == 1:
        return FileStamp.of(files[0]).sha256
    return hashlib.sha256("".join(FileStamp.of(file).sha256 for file in files).encode()).hexdigest()


def files_under(paths: Sequence[Path], subject: Path) -> dict[str, Path]:
    """The files among `paths` and in the folders among them, keyed by their path relative to the subject folder.

    A file outside the subject folder is keyed by its path relative to the parent of its entry in `paths`. Files whose
    names start with a dot are skipped: an interrupted run may have left them half-written.
    """
    found: dict[str, Path] = {}
    for path in paths:
        files = [p for p in sorted(path.rglob("*")) if p.is_file()] if path.is_dir() else [path] * path.is_file()
        for file in files:
            if not file.name.startswith("."):
                anchor = subject if file.is_relative_to(subject) else path.parent
                found[file.relative_to(anchor).as_posix()] = file
    return found


def _stamp_files(files: dict[str, Path]) -> dict[str, list]:
    return {key: list(dataclasses.astuple(FileStamp.of(path))) for key, path in files.items()}


def _files_hold(stamped: dict[str, list], files: dict[str, Path]) -> bool:
    return stamped.keys() == files.keys() and all(FileStamp(*stamped[key]).holds(path) for key, path in files.items())


def stamp_path(stage: Stage, subject: Path) -> Path:
    """The file of a stage's stamp."""
    return subject / "stages" / f"{stage.name}.json"


def is_finished(stage: Stage, subject: Path) -> bool:
    """Whether the stage's settings, inputs and outputs are those of its last complete run: its stamp holds."""
    path = stamp_path(stage, subject)
    if not path.exists():
        return False
    try:
        stamp = load_json(path)
    except UserError:  # a damaged stamp does not hold
        return False
    return (
        stamp.get("settings") == _settings(stage)
        and bool(stamp["outputs"])
        and _files_hold(stamp["inputs"], files_under(stage.inputs(subject), subject))
        and _files_hold(stamp["outputs"], files_under(stage.outputs(subject), subject))
    )


def _settings(stage: Stage) -> dict[str, Any]:
    return json.loads(json.dumps({"version": stage.version, **stage.settings()}))


@contextlib.contextmanager
def _removing_leftovers(stage: Stage, subject: Path) -> Iterator[None]:
    """Afterwards, removes from a stage's outputs what an earlier run wrote and this one did not."""

    def identities() -> dict[Path, tuple[int, int]]:
        files = files_under(stage.outputs(subject), subject).values()
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}

    before = identities()
    yield
    for path, identity in identities().items():
        if before.get(path) == identity:
            path.unlink()


def run_stage(stage: Stage, subject: Path, progress: Progress) -> str:
    """Runs one stage, removes outputs that it no longer writes, and stamps it; returns its summary."""
    inputs = _stamp_files(files_under(stage.inputs(subject), subject))
    with _removing_leftovers(stage, subject):
        summary = stage.run(subject, progress)
    outputs = _stamp_files(files_under(stage.outputs(subject), subject))
    save_json(stamp_path(stage, subject), {"settings": _settings(stage), "inputs": inputs, "outputs": outputs})
    return summary


def due_stages(stages: Sequence[Stage], subject: Path, force: bool) -> list[Stage]:
    """The stages that are going to run: those that are not finished as they stand, and those that are forced to."""
    return [stage for stage in stages if force or stage.force or not is_finished(stage, subject)]


def run_stages(stages: Sequence[Stage], subject: Path, force: bool = False, console: Console = CONSOLE) -> None:
    """Runs the unfinished stages in order. Prints a line for each: what it did, how long it took, its first output.

    Args:
        stages: in order.
        subject: the subject's folder.
        force: run every stage, finished or not; a stage's own `force` does so for that stage.
        console: to print to.

    Raises UserError before anything runs if an unfinished stage lacks what only the user can supply.
    """

    for stage in due_stages(stages, subject, force):
        sentence = stage.missing()
        if sentence is not None:
            raise UserError(sentence)
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    for stage in stages:
        start = time.monotonic()
        if not due_stages([stage], subject, force):
            summary = "unchanged, skipped"
        else:
            with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
                summary = run_stage(stage, subject, progress)
        seconds = time.monotonic() - start
        line = f"{stage.name:<13} {summary:<56} {seconds:6.1f} s  {stage.outputs(subject)[0]}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
