"""Whether a folder takes files, asked before the work that fills it."""

import os
import tempfile
from pathlib import Path

from hashhuman.errors import UserError

PROBE = 2**20  # bytes: enough that a full disk shows


def check_writable(folder: Path, option: str) -> None:
    """Raises UserError when no file can be written in a folder, or the folder cannot be made. Leaves nothing behind.

    Args:
        folder: it need not exist: then its nearest parent that does is tried.
        option: what chooses the folder, for the advice.
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
