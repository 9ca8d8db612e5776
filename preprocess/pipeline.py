"""All stages of one video, in order."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate

from preprocess.stage import Stage, run_stages
from preprocess.video import subject_name

STAGES = ("frames", "keypoints", "body_fit", "masks", "blend_weights", "report")


def subject_folder(video: str, root: Path, subject: str | None = None) -> Path:
    """Where the subject of a video lies: `root`/subjects/ and its name, which is the video's unless one is given."""
    return root / "subjects" / (subject or subject_name(video))


def preprocess(config: Mapping[str, Any], subject: Path) -> None:
    """Makes the subject folder, or what it lacks.

    Args:
        config: the node `preprocess` of the configuration: `force`, and for each of STAGES a node that makes it; a
            stage that is absent or null is left out.
        subject: the subject folder.

    Raises UserError on bad input; stages that finished before stay finished.
    """
    stages: list[Stage] = [instantiate(config[name]) for name in STAGES if config.get(name) is not None]
    run_stages(stages, subject, force=config["force"])
