"""Checkpoints that are whole or absent, and whose loading runs no code."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from hashhuman.errors import UserError
from hashhuman.io.files import atomic_path


class AtomicCheckpointIO(CheckpointIO):
    """Lightning's checkpoint reading and writing, for `Trainer(plugins=...)`.

    Lightning's own renames without flushing, so that a power cut can leave an empty file where a good one was.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes beside, flushes, renames. Raises UserError when the disk is full."""
        with atomic_path(Path(path)) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Reads tensors and plain containers, whatever `weights_only` says. Raises UserError for a damaged file."""
        return load(Path(path), map_location)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Deletes a checkpoint."""
        Path(path).unlink(missing_ok=True)


def load(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """A checkpoint's content. Raises UserError when it is absent, damaged or holds more than tensors."""
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"There is no checkpoint {path}.") from None
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, OSError, EOFError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a readable checkpoint ({reason}): train the run again.") from error
