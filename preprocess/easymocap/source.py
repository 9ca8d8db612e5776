"""Sources of EasyMocap's results: a folder that already holds them, or a run of the user's EasyMocap (`run.py`)."""

from pathlib import Path
from typing import Any, Protocol

from rich.progress import Progress

from hashhuman.errors import UserError
from preprocess.easymocap.output import BODIES, VERTICES, Output


class Source(Protocol):
    """What the keypoints and body fit stages need of EasyMocap."""

    def missing(self) -> str | None:
        """A sentence about what is missing and only the user can supply, or None."""
        ...

    def inputs(self, subject: Path) -> list[Path]:
        """Files and folders whose content determines the results."""
        ...

    def settings(self) -> dict[str, Any]:
        """Everything else that determines the results, as JSON."""
        ...

    def keypoints(self, subject: Path, progress: Progress) -> Output:
        """A folder with detections; runs EasyMocap if necessary. Raises UserError on failure."""
        ...

    def bodies(self, subject: Path, progress: Progress) -> Output:
        """A folder with bodies; runs EasyMocap if necessary. Raises UserError on failure."""
        ...


class EasyMocapFolder:
    """A folder with results that EasyMocap has already written (a `Source`).

    Args:
        path: EasyMocap's data folder, with those of `annots/`, `output*/`, `intri.yml` and `extri.yml` that exist.
        camera: the name there of the subject's first camera; None: the only one.
        results: the folder that holds `smpl/`; needed if there are several in `path` and its `output*/`.
        start, step: frame F of the subject has the number `start + step F` there.
    """

    def __init__(
        self, path: str, camera: str | None = None, results: str | None = None, start: int = 0, step: int = 1
    ) -> None:
        root = Path(path).expanduser()
        self.output = Output(root, camera, Path(results).expanduser() if results else None, start, step)

    def missing(self) -> str | None:
        root = self.output.root
        return None if root.is_dir() else f"There is no folder {root}: correct preprocess.easymocap.path."

    def inputs(self, subject: Path) -> list[Path]:
        output = self.output
        cameras = [output.root / "intri.yml", output.root / "extri.yml"]
        results = [folder for names in (BODIES, VERTICES) if (folder := output.folder(names)) is not None]
        return [output.annots, *results, *(path for path in cameras if path.exists())]

    def settings(self) -> dict[str, Any]:
        output = self.output
        return {"camera": output.camera, "start": output.start, "step": output.step}

    def keypoints(self, subject: Path, progress: Progress) -> Output:
        return self._checked()

    def bodies(self, subject: Path, progress: Progress) -> Output:
        return self._checked()

    def _checked(self) -> Output:
        if (sentence := self.missing()) is not None:
            raise UserError(sentence)
        return self.output
