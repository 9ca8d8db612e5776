"""Keeps what a folder's files name, and what is written to a folder, inside that folder.

Every path that is joined from a name of a file, of an archive or of the command line goes through here.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from hashhuman.errors import UserError


def check_inside(root: Path, paths: Iterable[Path]) -> None:
    """Checks where files would be written or deleted. The paths need not exist.

    The root itself may be a link, since that is the user's own choice of a disk; below it, no link may lead out of it.

    Raises:
        UserError: for the first path that, with all links followed, lies outside `root`.
    """
    true_root = Path(root).resolve()
    for path in paths:
        target = Path(path).resolve()
        if not target.is_relative_to(true_root):
            raise UserError(
                f"{path} is a link to {target}, outside {root}, where nothing is written or deleted: replace the link "
                "by a folder."
            )


def relative_name(name: str, source: Path) -> PurePosixPath:
    """A path that a file states, relative to the folder that the file describes.

    Args:
        name: what the file says.
        source: the file, for the message.

    Raises:
        UserError: if the path is absolute, empty, or leads out of the folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or not path.name or ".." in path.parts or "\0" in name or "\\" in name:
        raise UserError(f"{source} names {name!r}, which does not lie inside its folder: correct the file.")
    return path


def check_folder_name(option: str, name: str) -> None:
    """Raises UserError unless `name`, the value of `option`, is the name of one folder, not a path."""
    if not name or name in (".", "..") or "/" in name or "\\" in name or not name.isprintable():
        raise UserError(
            f"{option}={name} must be the name of a folder: something other than '.' and '..', without '/'."
        )
