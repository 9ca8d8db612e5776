"""Writes parts of a finished run's folder, such as its exports, so that its manifest tells what belongs to it."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from hashhuman.io import interruption, leftovers, lock
from hashhuman.training.manifest import Manifest


@contextlib.contextmanager
def written_anew(folder: Path, part: str) -> Iterator[None]:
    """Context that writes a folder of a run folder: with the run's lock, and in the end listed in its manifest.

    Raises UserError if the run's folder cannot be written.
    """
    with lock.alone(folder, inside=True), listed_anew(folder, part):
        yield


@contextlib.contextmanager
def listed_anew(folder: Path, part: str) -> Iterator[None]:
    """`written_anew` for a caller that holds the run's lock."""
    leftovers.sweep(folder)
    manifest = Manifest.existing(folder)
    manifest.forget(part)
    manifest.save(folder)  # what was there before counts no longer
    yield
    interruption.check()
    manifest.add_below(folder, part)
    manifest.save(folder)


def list_new(folder: Path, part: str) -> None:
    """Lists what a folder of a run folder holds, if that has changed. Raises UserError if it cannot be written."""
    if _with_part(folder, part) != Manifest.existing(folder):
        with lock.alone(folder, inside=True):
            _with_part(folder, part).save(folder)


def _with_part(folder: Path, part: str) -> Manifest:
    """The manifest with the files of one folder as they are now."""
    manifest = Manifest.existing(folder)
    manifest = dataclasses.replace(manifest, files=dict(manifest.files))
    manifest.forget(part)
    manifest.add_below(folder, part)
    return manifest
