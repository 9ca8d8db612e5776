"""Checks that a folder can be written, before the work whose results it shall hold."""

import os
import tempfile
from pathlib import Path

from hashhuman.errors import UserError

PROBE = 2**20  # bytes to write; enough to detect a full disk


def check_writable(folder: Path, option: str) -> None:
    """Checks that a folder can be written or made. Leaves nothing behind.

    Args:
        folder: the folder. If it does not exist, its nearest existing parent is checked.
        option: the option that chooses the folder, for the message.

    Raises:
        UserError: if it cannot be written.
    """
    folder = Path(folder).absolute()
    nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    try:
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(bytes(PROBE))
            file.flush()
    except OSError as error:
        where = folder if nearest == folder else f"{folder} (in {nearest})"
        raise UserError(
            f"{where} cannot be written: {error.strerror or error}: choose another folder with {option}."
        ) from None
