"""Changes files of a subject folder."""

from pathlib import Path

from hashhuman.io import files


def edit(path: Path, **changes) -> None:
    """Replaces entries of a dictionary in an npy file."""
    files.save_npy(path, files.load_npy(path) | changes)
