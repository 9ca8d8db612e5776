"""All stages of one video, in order."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate

from preprocess.stage import Stage, run_stages
from preprocess.video import subject_name

STAGES = ("frames", "keypoints", "body_fit", "masks", "blend_weights", "report")


def subject_folder(video: str, workspace: Path, subject: str | None = None) -> Path:
    """Where the subject of a video lies: `workspace`/subjects/ and its name, the video's unless one is given."""
    return workspace / "subjects" / (subject or subject_name(video))


class Preprocessing:
    """Makes a subject folder, or what it lacks.

    Args:
        stages: the configuration's node `preprocess`: `force`, and for each of STAGES a node that makes it; a stage
            that is absent or null is left out.
    """

    def __init__(self, stages: Mapping[str, Any]):
        self.config = stages

    def prepare(self, subject: Path) -> None:
        """Runs what is not finished. Raises UserError on bad input; stages that finished before stay finished."""
        names = [name for name in STAGES if self.config.get(name) is not None]
        stages: list[Stage] = [instantiate(self.config[name]) for name in names]
        run_stages(stages, subject, force=self.config["force"])
