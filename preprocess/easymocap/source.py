"""Where EasyMocap's results come from: a folder of the user's, or a run of the user's EasyMocap (`run.py`)."""

from pathlib import Path
from typing import Any, Protocol

from rich.progress import Progress

from hashhuman.errors import UserError
from preprocess.easymocap.output import BODIES, VERTICES, Output


class Source(Protocol):
    """What the stages of keypoints and bodies ask for."""

    def missing(self) -> str | None:
        """What only the user can supply and is not there, as a sentence."""
        ...

    def inputs(self, subject: Path) -> list[Path]:
        """Files and folders that decide the results."""
        ...

    def settings(self) -> dict[str, Any]:
        """Everything else that does, as JSON."""
        ...

    def keypoints(self, subject: Path, progress: Progress) -> Output:
        """A folder with detections."""
        ...

    def bodies(self, subject: Path, progress: Progress) -> Output:
        """A folder with bodies."""
        ...


class EasyMocapFolder:
    """Results that are there already.

    Args:
        path: EasyMocap's data folder: `annots/`, `output*/`, `intri.yml`, as far as they exist.
        camera: the name of the camera that the subject's first one is; None: the only one.
        results: the folder with `smpl/`, if it is not the only one in `path` or its `output*/`.
        start, step: frame F of the subject is number `start + step F` there.
    """

    def __init__(
        self, path: str, camera: str | None = None, results: str | None = None, start: int = 0, step: int = 1
    ) -> None:
        root = Path(path).expanduser()
        self.output = Output(root, camera, Path(results).expanduser() if results else None, start, step)

    def missing(self) -> str | None:
        root = self.output.root
        return None if root.is_dir() else f"There is no folder {root}; preprocess.easymocap.path names EasyMocap's."

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
