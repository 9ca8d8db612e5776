"""Keeps a copy of subject.json, from which a damaged one is restored.

subject.json has entries of several stages, whose stamps would still hold if it were simply written anew.
"""

from pathlib import Path
from typing import Any

from hashhuman.errors import UserError
from hashhuman.io.files import load_json, save_json


def copy_path(subject: Path) -> Path:
    """The file of the copy."""
    return subject / "stages" / "subject.copy"


def keep_copy(subject: Path) -> None:
    """Copies subject.json, after a stage has finished."""
    if (subject / "subject.json").exists():
        save_json(copy_path(subject), load_json(subject / "subject.json"))


def restore(subject: Path) -> bool:
    """Writes subject.json from its copy if it is damaged, or missing although there is a copy; returns whether it was.

    Raises UserError if it is damaged and there is no whole copy.
    """
    path, copy = subject / "subject.json", copy_path(subject)
    if _read(path) is not None or not (path.exists() or copy.exists()):
        return False
    if (content := _read(copy)) is None:
        raise UserError(f"{path} is damaged: delete it, and run preprocessing again with preprocess.force=true.")
    save_json(path, content)
    return True


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = load_json(path)
    except UserError:
        return None
    return content if isinstance(content, dict) else None
