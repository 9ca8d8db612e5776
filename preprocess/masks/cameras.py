"""Stage 4 for several cameras: masks and part labels in every camera."""

from pathlib import Path
from typing import Any, ClassVar

from rich.progress import Progress

from hashhuman.io.assets import Asset
from preprocess.masks.outputs import mask_outputs
from preprocess.multiview.views import camera_count, open_view
from preprocess.stage import Stage


class CameraMasks(Stage):
    """Runs a masks stage on every camera of the subject.

    Args:
        stage: the stage for one camera.
        force: run even if nothing has changed.
    """

    name: ClassVar[str] = "masks"

    def __init__(self, stage: Stage, force: bool = False) -> None:
        self.stage, self.force = stage, force

    def inputs(self, subject: Path) -> list[Path]:
        given = [path for path in self.stage.inputs(subject) if not path.is_relative_to(subject)]
        body = [subject / "smpl_lbs" / f"{name}.npy" for name in ("faces", "weights")]
        return [
            subject / "images",
            subject / "annots.npy",
            subject / "keypoints",
            *body,
            subject / "smpl_vertices",
            *given,
        ]

    def outputs(self, subject: Path) -> list[Path]:
        return mask_outputs(subject, self.name)

    def settings(self) -> dict[str, Any]:
        return {"stage": type(self.stage).__name__, **self.stage.settings()}

    def missing(self) -> str | None:
        return self.stage.missing()

    def assets(self) -> list[Asset]:
        return self.stage.assets()

    def run(self, subject: Path, progress: Progress) -> str:
        cameras = range(camera_count(subject))
        summaries = [self.stage.run(open_view(subject, camera), progress) for camera in cameras]
        return f"{len(summaries)} cameras: {summaries[0]}"
