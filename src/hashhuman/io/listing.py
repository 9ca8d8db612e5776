"""Lists files in natural order: frame_2 before frame_10."""

import re
from collections.abc import Collection
from pathlib import Path


def natural(name: str) -> tuple:
    """A sort key that compares runs of digits as numbers; names that differ in leading zeros alone keep an order."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)), name


def listed(folder: Path, suffixes: Collection[str] | None = None) -> list[Path]:
    """A folder's entries in natural order; none if it does not exist. Hidden ones are left out.

    Args:
        folder: the folder.
        suffixes: of the files to list, in small letters, such as `.png`; None lists everything.
    """
    entries = folder.iterdir() if folder.is_dir() else ()
    kept = (p for p in entries if not p.name.startswith(".") and (suffixes is None or p.suffix.lower() in suffixes))
    return sorted(kept, key=lambda path: natural(path.name))
