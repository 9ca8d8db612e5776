"""A stage of preprocessing, and the runner that skips what is already done.

A finished stage leaves `stages/<name>.json`: its settings, and size and SHA-256 of every input and output file. It is
skipped while all of them still hold, so a changed setting, a changed input or a damaged output runs it again, and an
interrupted run costs one stage at most.
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

    A stage writes nothing but its outputs (and its entries of `subject.json`), each file whole or not at all.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """To be raised when the same settings and inputs give another output, so that finished subjects are redone."""
    force: bool = False
    """Run even if the stamp holds."""

    @abc.abstractmethod
    def inputs(self, subject: Path) -> list[Path]:
        """Files and folders whose content decides the outputs."""

    @abc.abstractmethod
    def outputs(self, subject: Path) -> list[Path]:
        """Files and folders that belong to this stage alone, the one to show to the user first."""

    @abc.abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything else that decides the outputs, as JSON."""

    def missing(self) -> str | None:
        """What only the user can supply and is not there, as a sentence; asked of every stage before any runs."""
        return None

    def assets(self) -> list[Asset]:
        """Weights that it fetches, if they are not there, when it runs."""
        return []

    @abc.abstractmethod
    def run(self, subject: Path, progress: Progress) -> str:
        """Writes the outputs and returns a few words on what was done. Raises UserError on bad input."""


@dataclasses.dataclass(frozen=True)
class FileStamp:
    """What is remembered of a file. An unchanged size and time spare reading it; otherwise the content decides."""

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


def files_under(paths: Sequence[Path], subject: Path) -> dict[str, Path]:
    """All files that `paths` name or hold, by their path in the subject folder (outside of it, by their name).

    Names that start with a dot (half-written files of an interrupted run) are no content.
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
    """Where a stage's stamp lies."""
    return subject / "stages" / f"{stage.name}.json"


def is_finished(stage: Stage, subject: Path) -> bool:
    """Whether the stage's settings, inputs and outputs are those of its last complete run."""
    path = stamp_path(stage, subject)
    if not path.exists():
        return False
    try:
        stamp = load_json(path)
    except UserError:  # a damaged stamp proves nothing
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
def _dropping_leftovers(stage: Stage, subject: Path) -> Iterator[None]:
    """Removes from a stage's outputs, once it is done, what an earlier run wrote and this one did not."""

    def identities() -> dict[Path, tuple[int, int]]:
        files = files_under(stage.outputs(subject), subject).values()
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}

    before = identities()
    yield
    for path, identity in identities().items():
        if before.get(path) == identity:
            path.unlink()


def run_stage(stage: Stage, subject: Path, progress: Progress) -> str:
    """Runs one stage, drops what it no longer writes, stamps it."""
    inputs = _stamp_files(files_under(stage.inputs(subject), subject))
    with _dropping_leftovers(stage, subject):
        summary = stage.run(subject, progress)
    outputs = _stamp_files(files_under(stage.outputs(subject), subject))
    save_json(stamp_path(stage, subject), {"settings": _settings(stage), "inputs": inputs, "outputs": outputs})
    return summary


def due_stages(stages: Sequence[Stage], subject: Path, force: bool) -> list[Stage]:
    """The stages that are going to run: those that are not finished as they stand, and those that are forced to."""
    return [stage for stage in stages if force or stage.force or not is_finished(stage, subject)]


def run_stages(stages: Sequence[Stage], subject: Path, force: bool = False, console: Console = CONSOLE) -> None:
    """Runs in order what is not finished, and prints a line a stage: what it did, how long it took, where it lies.

    Args:
        force: run every stage, finished or not; a stage's own `force` does so for it alone.

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
