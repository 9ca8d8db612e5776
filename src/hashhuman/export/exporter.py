"""Exports an avatar into the files that are asked for; also a product of the evaluation."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hashhuman.errors import UserError
from hashhuman.evaluation.product import Evaluation, Made, Product
from hashhuman.export.motion import Motion, Skeleton, captured
from hashhuman.export.packages import require_mesh_packages
from hashhuman.export.rigged import RiggedMesh, Rigging

FOLDER = "export"  # below the run's folder, or that of its evaluation
OF_MESHES = ("glb", "html", "ply", "obj")  # formats that need the packages of the extra `export`


class Exports:
    """What a run offers to the formats. Each thing is made when a format first asks for it, and then kept.

    Args:
        avatar: in evaluation mode.
        datamodule: the run's.
        rigging: makes the mesh.
        fps: frames per second if the subject folder does not say when its pictures were taken.
        motion: of this body, instead of the filmed one.
    """

    def __init__(
        self, avatar: Any, datamodule: Any, rigging: Rigging, fps: float, motion: Motion | None = None
    ) -> None:
        self._avatar, self._datamodule, self._rigging, self._fps = avatar, datamodule, rigging, fps
        self._given = motion

    @functools.cached_property
    def skeleton(self) -> Skeleton:
        """The body's joints at rest."""
        return Skeleton.of(self._datamodule.subject.template())

    @functools.cached_property
    def motion(self) -> Motion:
        """The motion of the files: the filmed one, unless another was given."""
        return self._given or captured(self._avatar, self._datamodule, self._fps)

    @functools.cached_property
    def mesh(self) -> RiggedMesh:
        """The rigged mesh."""
        with torch.no_grad():
            return self._rigging(self._avatar, self._datamodule)


Format = Callable[[Exports, Path], Path]  # writes a file into a folder and returns its path


class Exporter(Product):
    """Writes files that a user takes away.

    Args:
        format: names of the formats to write, or one name; empty: nothing is written.
        formats: name: `Format`, all that there are.
        rigging: makes the mesh.
        fps: see `Exports`.

    Raises:
        UserError: for a format that does not exist.
    """

    def __init__(
        self, format: str | Sequence[str], formats: Mapping[str, Format], rigging: Rigging, fps: float
    ) -> None:
        self.chosen = [format] if isinstance(format, str) else list(format)
        if unknown := [name for name in self.chosen if name not in formats]:
            raise UserError(f"format={unknown[0]} does not exist: choose among {', '.join(formats)}.")
        self.formats, self.rigging, self.fps = formats, rigging, fps

    @staticmethod
    def require(format: str | Sequence[str]) -> None:
        """Raises UserError if a package that the formats need is missing."""
        if set(OF_MESHES) & {*([format] if isinstance(format, str) else format)}:
            require_mesh_packages()

    def __call__(self, avatar: Any, datamodule: Any, folder: Path, motion: Motion | None = None) -> dict[str, Path]:
        """Writes the chosen formats of an avatar into a folder. Returns each one's path.

        Files contain the filmed motion, or `motion`.

        Raises:
            UserError: if the avatar is empty, a package is missing or a file cannot be written.
        """
        exports = Exports(avatar, datamodule, self.rigging, self.fps, motion)
        return {name: self.formats[name](exports, folder) for name in self.chosen}

    def make(self, evaluation: Evaluation) -> Made:
        """Writes the chosen formats into the folder `export` of the evaluation."""
        files = self(evaluation.avatar, evaluation.datamodule, evaluation.folder / FOLDER)
        return Made(files, meshes={"avatar": files["glb"]} if "glb" in files else {})
