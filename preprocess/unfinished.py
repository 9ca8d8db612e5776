"""What a stage had finished when it was stopped, so that it goes on from there.

It lies in `stages/NAME.unfinished/` until the stage has finished. It holds only for the settings and inputs that it was
made with.
"""

import shutil
from pathlib import Path

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import atomic_path, load_json, load_npz, save_json
from hashhuman.io.inside import check_inside
from hashhuman.io.journal import Arrays, Journal


class Unfinished:
    """The unfinished work of one stage. What another key has left is deleted.

    Args:
        subject: the subject's folder.
        stage: the stage's name.
        key: identifies settings and inputs.

    Raises UserError if its folder is a link that leads out of the subject's folder.
    """

    def __init__(self, subject: Path, stage: str, key: str) -> None:
        self.folder = _folder(subject, stage)
        check_inside(subject, [self.folder])
        if _key_of(self.folder) != key:
            discard(subject, stage)
            save_json(self.folder / "key.json", key)

    def journal(self) -> Journal:
        """The records of finished pictures, to be used in a `with`."""
        return Journal(self.folder / "pictures.journal")

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """The state that `save` has saved last; None if there is none."""
        try:
            return load_npz(self.folder / f"{name}.npz")
        except UserError:  # none, or a damaged one
            return None

    def save(self, name: str, state: Arrays) -> None:
        """Saves a state as a whole. Raises UserError if it cannot be written."""
        with atomic_path(self.folder / f"{name}.npz") as sibling, open(sibling, "wb") as file:
            np.savez(file, allow_pickle=False, **state)


def discard(subject: Path, stage: str) -> None:
    """Deletes the unfinished work of a stage, also that in the views of several cameras."""
    for root in (subject, *sorted(subject.glob("views/*"))):
        folder = _folder(root, stage)
        if folder.exists():
            check_inside(subject, [folder])
            shutil.rmtree(folder)


def _folder(subject: Path, stage: str) -> Path:
    return subject / "stages" / f"{stage}.unfinished"


def _key_of(folder: Path) -> str | None:
    try:
        return load_json(folder / "key.json")
    except UserError:
        return None
