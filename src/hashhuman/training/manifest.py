"""The manifest of a run folder: which config its files belong to, what is finished, and the SHA-256 of each file.

`manifest.json` is the last file that any change of a run folder writes, so it is what makes the change. A file that it
does not list does not belong to the run: weights or metrics of an earlier config are never taken for those of this one.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hashhuman.errors import UserError
from hashhuman.io import files

MANIFEST = "manifest.json"
SOURCES = Path(__file__).parents[1]  # the package hashhuman


@dataclasses.dataclass
class Manifest:
    """The content of `manifest.json`."""

    config: str  # SHA-256 of the run's config (`run_folder.digest`)
    code: str  # SHA-256 of the project's source files
    revision: str | None  # the commit that git names; None outside a git checkout
    step: int = 0  # of the newest checkpoint
    trained: bool = False  # whether training has ended
    evaluated: bool = False  # whether the evaluation after training is complete
    subject: str | None = None  # SHA-256 of what is read of the subject; None: training has not read it yet
    files: dict[str, str] = dataclasses.field(default_factory=dict)  # path in the run folder: SHA-256

    @classmethod
    def new(cls, config: str) -> "Manifest":
        """The manifest of a run that begins now. `config` is the SHA-256 of its config."""
        return cls(config, code_digest(), git_revision())

    @classmethod
    def load(cls, folder: Path) -> "Manifest | None":
        """The manifest of a run folder; None if there is none. Raises UserError if it is damaged."""
        path = folder / MANIFEST
        if not path.is_file():
            return None
        content = files.load_json(path)
        names = {field.name for field in dataclasses.fields(cls)}
        content = {"subject": None, **content} if isinstance(content, dict) else content  # earlier revisions lack it
        if not isinstance(content, dict) or content.keys() != names or not _is_sound(content):
            raise UserError(f"{path} is not the manifest of a run: train the run again, with resume=false.")
        return cls(**content)

    @classmethod
    def existing(cls, folder: Path) -> "Manifest":
        """As `load`, but raises UserError if there is none."""
        if (manifest := cls.load(folder)) is None:
            raise UserError(f"{folder} holds no run, since {folder / MANIFEST} is missing: train it again.")
        return manifest

    def save(self, folder: Path) -> None:
        """Replaces `manifest.json`. Raises UserError if it cannot be written."""
        files.save_json(folder / MANIFEST, dataclasses.asdict(self))

    def add(self, folder: Path, paths: Iterable[Path]) -> None:
        """Lists files of the run folder as they are now."""
        for path in paths:
            self.files[path.relative_to(folder).as_posix()] = files.sha256(path)

    def add_below(self, folder: Path, part: str) -> None:
        """Lists all files in a folder of the run folder, but for hidden ones: those are being written."""
        below = sorted(path for path in (folder / part).rglob("*") if path.is_file())
        self.add(folder, [path for path in below if not path.name.startswith(".")])

    def holds(self, folder: Path, name: str) -> bool:
        """Whether a file is listed and still has its content."""
        path = folder / name
        return name in self.files and path.is_file() and files.sha256(path) == self.files[name]

    def below(self, prefix: str) -> list[str]:
        """The listed files in a folder of the run folder."""
        return [name for name in self.files if name.startswith(f"{prefix}/")]

    def forget(self, prefix: str) -> None:
        """Lists no file in a folder of the run folder any more."""
        for name in self.below(prefix):
            del self.files[name]


def _is_sound(content: dict[str, Any]) -> bool:
    """Whether a manifest's values have their types, and its files lie in the run folder."""
    listed, step = content["files"], content["step"]
    texts = isinstance(content["config"], str) and isinstance(content["code"], str)
    texts = texts and isinstance(content["subject"], str | None)
    switches = isinstance(content["trained"], bool) and isinstance(content["evaluated"], bool)
    if not (texts and switches and isinstance(step, int) and isinstance(listed, dict)):
        return False
    inside = all(not Path(name).is_absolute() and ".." not in Path(name).parts for name in listed)
    return inside and all(
        isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest) for digest in listed.values()
    )


def digest_of(content: Any) -> str:
    """The SHA-256 of a value, as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@functools.cache
def code_digest() -> str:
    """The SHA-256 of the source files of `hashhuman`."""
    root = SOURCES
    sources = sorted(root.rglob("*.py"))
    return digest_of([[path.relative_to(root).as_posix(), files.sha256(path)] for path in sources])


@functools.cache
def git_revision() -> str | None:
    """The commit of the checkout that this code runs from; None if git knows of none."""
    command = ["git", "-C", str(SOURCES), "rev-parse", "HEAD"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()
    return None
