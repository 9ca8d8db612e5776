"""Writes checkpoints whole or not at all, and loads them without running their code."""

import hashlib
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from hashhuman.errors import UserError
from hashhuman.io import limits
from hashhuman.io.files import atomic_path, sha256

# What reading a damaged or hostile checkpoint can raise.
_DAMAGE = (
    pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, OSError, EOFError, LookupError,
    ValueError, TypeError, AttributeError, AssertionError, ArithmeticError, MemoryError, ImportError,
)  # fmt: skip


class AtomicCheckpointIO(CheckpointIO):
    """Lightning's way to read and write checkpoints, for `Trainer(plugins=...)` and callbacks of Lightning.

    Lightning's own class renames the file without flushing it to the disk, so that a power cut can replace a good
    checkpoint by an empty file. Training's own checkpoints are `training/callbacks/checkpoints.py`.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes a temporary sibling, flushes and renames it. Raises UserError if it cannot be written."""
        save(Path(path), checkpoint)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Reads tensors and plain containers alone, whatever `weights_only` says. Raises UserError as `load` does."""
        return load(Path(path), map_location)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Deletes a checkpoint if it exists."""
        Path(path).unlink(missing_ok=True)


def save(path: Path, content: dict[str, Any]) -> str:
    """Writes a temporary sibling, flushes and renames it.

    Returns:
        The SHA-256 of the file, in hexadecimal.

    Raises:
        UserError: if it cannot be written.
    """
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:  # torch writes a file's name into the archive, but not that of an open one
            torch.save(content, file)
        return sha256(temporary)


def load(path: Path, map_location: Any = "cpu", expected: str | None = None) -> dict[str, Any]:
    """Reads a checkpoint: tensors (on `map_location`), numbers, strings and plain containers.

    Args:
        path: the file.
        map_location: the device of the tensors.
        expected: the file's SHA-256; None: it is not checked.

    Raises:
        UserError: if the file is absent or damaged, has another SHA-256, or holds anything else.
    """
    try:
        with open(path, "rb") as file:
            if expected is not None and hashlib.file_digest(file, "sha256").hexdigest() != expected:
                raise UserError(
                    f"{path} has changed since it was written (its SHA-256 is another): train the run again."
                )
            limits.check_torch(file)
            return torch.load(file, map_location=map_location, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"There is no checkpoint {path}.") from None
    except _DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a readable checkpoint ({reason}): train the run again.") from error


def load_weights(path: Path, expected: str | None = None) -> dict[str, torch.Tensor]:
    """The parameters and buffers in a checkpoint, by name, on the CPU; `expected` as for `load`.

    Raises UserError as `load` does, and as `weights_of`.
    """
    return weights_of(load(path, expected=expected), path)


def weights_of(content: Any, path: Path) -> dict[str, torch.Tensor]:
    """The parameters and buffers in what was read from a checkpoint at `path`, by name.

    Raises UserError if there are none, or not all of their numbers are finite.
    """
    weights = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise UserError(f"{path} holds no weights: train the run again.")
    for name, value in weights.items():
        if not isinstance(name, str) or (value.is_floating_point() and bool(value.isnan().any())):
            raise UserError(f"{path} holds weights that are not numbers ({name}): train the run again.")
    return weights
