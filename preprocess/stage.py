"""The base class of preprocessing stages, and the runner that skips finished ones.

A finished stage leaves a stamp, `stages/<name>.json`: its settings, and the size and SHA-256 of every input and output
file. While the stamp holds, the stage is skipped. A changed setting, a changed input or a damaged output therefore runs
it again. A long stage keeps what it has finished (`unfinished`), so that after an interruption it goes on from there.
"""

import abc
import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console
from rich.progress import Progress

from hashhuman.errors import UserError
from hashhuman.io import leftovers
from hashhuman.io.assets import Asset
from hashhuman.io.files import load_json, save_json, sha256
from hashhuman.io.inside import check_inside
from hashhuman.io.progress import several
from preprocess.subject_copy import copy_path, keep_copy, restore
from preprocess.unfinished import Unfinished, discard

CONSOLE = Console()
SET_ASIDE = "set_aside"
"""The subject's folder for files in the way of a stage that the stage had not written."""


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
        identity = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        return FileStamp(status.st_size, status.st_mtime_ns, _sha256(path.absolute(), identity))

    def holds(self, path: Path) -> bool:
        """Whether the file still has the stamped content."""
        status = path.stat()
        if (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns):
            return True
        return status.st_size == self.size and FileStamp.of(path).sha256 == self.sha256


@functools.lru_cache(maxsize=2**16)
def _sha256(path: Path, identity: tuple[int, ...]) -> str:
    """The SHA-256 of a file. Every stage reads the pictures: while `identity` is the same, they are hashed once."""
    return sha256(path)


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
    stamp = read_stamp(stage, subject)
    return (
        stamp is not None
        and stamp["settings"] == _settings(stage)
        and bool(stamp["outputs"])
        and _files_hold(stamp["inputs"], files_under(stage.inputs(subject), subject))
        and _files_hold(stamp["outputs"], files_under(stage.outputs(subject), subject))
    )


def read_stamp(stage: Stage, subject: Path) -> dict[str, Any] | None:
    """A stage's stamp: settings, inputs and outputs; None if there is none, or it is damaged and therefore not held."""
    return _read_stamp(stamp_path(stage, subject))


def _read_stamp(path: Path) -> dict[str, Any] | None:
    try:
        stamp = load_json(path)
        for files in (stamp["inputs"], stamp["outputs"]):
            for size, mtime_ns, sha256 in files.values():
                if not (isinstance(size, int) and isinstance(mtime_ns, int) and isinstance(sha256, str)):
                    return None
        return stamp if isinstance(stamp["settings"], dict) else None
    except (UserError, LookupError, TypeError, ValueError, AttributeError):
        return None


def _settings(stage: Stage) -> dict[str, Any]:
    return json.loads(json.dumps({"version": stage.version, **stage.settings()}))


def unfinished(stage: Stage, subject: Path) -> Unfinished:
    """What a former run of the stage, with the same settings and inputs, had finished when it was stopped.

    A stage asks for it in its `run`. It is deleted when the stage has finished.
    """
    inputs = {key: FileStamp.of(path).sha256 for key, path in files_under(stage.inputs(subject), subject).items()}
    key = json.dumps([type(stage).__qualname__, _settings(stage), inputs], sort_keys=True)
    return Unfinished(subject, stage.name, hashlib.sha256(key.encode()).hexdigest())


@contextlib.contextmanager
def _clearing(stage: Stage, subject: Path) -> Iterator[list[Path]]:
    """Afterwards, clears a stage's outputs of files that were there before and that the stage has not written.

    Those that its former stamp lists are its own, and are deleted. Others, such as the user's, are moved to
    `subject`/set_aside, since later stages would take them for outputs; the list that is yielded then holds them.
    """

    def identities() -> dict[Path, tuple[int, int]]:
        files = files_under(stage.outputs(subject), subject).values()
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}

    before = identities()
    former = (read_stamp(stage, subject) or {"outputs": {}})["outputs"]
    foreign: list[Path] = []
    yield foreign
    for path, identity in identities().items():
        if before.get(path) != identity:
            continue
        key = path.relative_to(subject)
        if key.as_posix() in former:
            path.unlink()
        else:
            set_aside(path, subject / SET_ASIDE / key)
            foreign.append(path)


def set_aside(path: Path, target: Path) -> None:
    """Moves a file; if there is one at `target` already, to a further name beside it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    names = itertools.chain([target], (target.with_stem(f"{target.stem}-{n}") for n in itertools.count(1)))
    path.rename(next(name for name in names if not os.path.lexists(name)))


def check_outputs(stages: Sequence[Stage], subject: Path) -> None:
    """Raises UserError if the outputs of a stage, or a folder in them, are links that lead out of the subject folder.

    Whatever a stage writes or deletes, it does through these paths.
    """
    common = [subject / name for name in ("subject.json", "stages", "views", "pictures", SET_ASIDE)]
    outputs = [path for stage in stages for path in stage.outputs(subject)]
    inner = [Path(parent, name) for path in outputs for parent, folders, _ in os.walk(path) for name in folders]
    check_inside(subject, [*common, *outputs, *(path for path in inner if path.is_symlink())])


def run_stage(stage: Stage, subject: Path, progress: Progress) -> str:
    """Runs one stage, clears its outputs of what it has not written, and stamps it; returns its summary.

    Raises UserError, before anything is written or deleted, if its outputs lie outside the subject folder.
    """
    check_outputs([stage], subject)
    inputs = _stamp_files(files_under(stage.inputs(subject), subject))
    with _clearing(stage, subject) as foreign:
        summary = stage.run(subject, progress)
    outputs = _stamp_files(files_under(stage.outputs(subject), subject))
    keep_copy(subject)  # before the stamp, which says that all is done
    save_json(stamp_path(stage, subject), {"settings": _settings(stage), "inputs": inputs, "outputs": outputs})
    discard(subject, stage.name)
    moved = f"; {len(foreign)} files that it had not written are in {SET_ASIDE}/" if foreign else ""
    return f"{summary}{moved}"


def delete_outdated(stage: Stage, subject: Path, names: Collection[str]) -> list[str]:
    """Deletes what stages that are left out once made of other files than `stage` has written now.

    Later stages would take it for these files': points, for example, that are of other pictures.

    Args:
        stage: which has just run.
        subject: the subject's folder.
        names: of the stages that are not left out.

    Returns the names of the stages whose outputs are deleted.
    """
    deleted = []
    for path in sorted((subject / "stages").glob("*.json")):
        left_out = None if path.stem in names else _read_stamp(path)
        if left_out is None:
            continue
        read = [
            o for o in stage.outputs(subject) if any((subject / key).is_relative_to(o) for key in left_out["inputs"])
        ]
        stamped = {k: v for k, v in left_out["inputs"].items() if any((subject / k).is_relative_to(o) for o in read)}
        if _files_hold(stamped, files_under(read, subject)):
            continue
        outputs = {subject / key: FileStamp(*stamp) for key, stamp in left_out["outputs"].items()}
        check_inside(subject, outputs)
        for output, stamp in outputs.items():
            if output.is_file() and stamp.holds(output):  # what somebody else has written stays
                output.unlink()
        path.unlink()
        deleted.append(path.stem)
    return deleted


def due_stages(stages: Sequence[Stage], subject: Path, force: bool) -> list[Stage]:
    """The stages that are going to run: those that are not finished as they stand, and those that are forced to."""
    return [stage for stage in stages if force or stage.force or not is_finished(stage, subject)]


def run_stages(stages: Sequence[Stage], subject: Path, force: bool = False, console: Console = CONSOLE) -> None:
    """Runs the unfinished stages in order. Prints a line for each: what it did, how long it took, its first output.

    Args:
        stages: in order.
        subject: the subject's folder.
        force: run every stage from its beginning, finished or not; a stage's own `force` does so for that stage.
        console: to print to.

    First it restores a damaged subject.json, and deletes what killed runs have left half-written.

    Raises UserError before anything is written if the outputs of a stage lie outside the subject folder, and before
    anything runs if an unfinished stage lacks what only the user can supply.
    """
    check_outputs(stages, subject)
    leftovers.sweep(subject)
    if restore(subject):
        console.print(f"subject.json  was damaged, restored from {copy_path(subject)}", markup=False, soft_wrap=True)
    for stage in due_stages(stages, subject, force):
        sentence = stage.missing()
        if sentence is not None:
            raise UserError(sentence)
    for stage in stages:
        start = time.monotonic()
        if not due_stages([stage], subject, force):
            summary = "unchanged, skipped"
        else:
            if force or stage.force:
                discard(subject, stage.name)
            with several(console) as progress:
                progress.add_task(stage.name, total=None)  # shown until the stage counts something
                summary = run_stage(stage, subject, progress)
            outdated = delete_outdated(stage, subject, {each.name for each in stages})
            summary += "".join(f"; {name}, made of other files and left out now, deleted" for name in outdated)
        seconds = time.monotonic() - start
        line = f"{stage.name:<13} {summary:<56} {seconds:6.1f} s  {stage.outputs(subject)[0]}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
