"""All stages of one video, in order."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate

from hashhuman.checks.folders import check_writable
from hashhuman.checks.requirements import check_requirements
from hashhuman.errors import UserError
from hashhuman.io.assets import cache_root
from preprocess.findings import Finding, Verdict
from preprocess.frames.decode import subject_name
from preprocess.quality import MeasuredQuality, Quality, quality_path
from preprocess.stage import Stage, due_stages, run_stages

STAGES = ("frames", "keypoints", "body_fit", "masks", "blend_weights", "quality", "report")


def subject_folder(video: str, workspace: Path, subject: str | None = None) -> Path:
    """Where the subject of a video lies: `workspace`/subjects/ and its name, the video's unless one is given."""
    return workspace / "subjects" / (subject or subject_name(video))


def make_stages(config: Mapping[str, Any]) -> list[Stage]:
    """The stages that the configuration's node `preprocess` names, in order."""
    return [instantiate(config[name]) for name in STAGES if config.get(name) is not None]


class Preprocessing:
    """Makes a subject folder, or what it lacks.

    Args:
        stages: the configuration's node `preprocess`: for each of STAGES a node that makes it (a stage that is absent
            or null is left out), `force`, `gate`, and the limits of `doctor.fit`.
    """

    def __init__(self, stages: Mapping[str, Any]):
        self.config = stages

    def prepare(self, subject: Path) -> None:
        """Runs what is not finished, and lets no fit pass that is not worth training on.

        Raises UserError on bad input, and for a bad fit if `gate` is set; stages that finished before stay finished.
        """
        stages = make_stages(self.config)
        self._check(due_stages(stages, subject, self.config["force"]), subject)
        run_stages(stages, subject, force=self.config["force"])
        if self.config["gate"] and any(isinstance(stage, MeasuredQuality) for stage in stages):
            refuse_bad_fit(instantiate(self.config["doctor"]["fit"])(Quality.load(quality_path(subject))), subject)

    def _check(self, due: Sequence[Stage], subject: Path) -> None:
        """Raises UserError for what the stages that are going to run need and would miss only after minutes."""
        for stage in due:
            if (sentence := stage.missing()) is not None:
                raise UserError(sentence)
            check_requirements(self.config[stage.name])
        if due:
            check_writable(subject, "workspace=")
        if any(not (cache_root() / asset.filename).exists() for stage in due for asset in stage.assets()):
            check_writable(cache_root(), "the environment variable HASHHUMAN_MODELS")


def refuse_bad_fit(findings: Sequence[Finding], subject: Path) -> None:
    """Raises UserError if one of the findings on a fit is bad."""
    bad = [f"{finding.name}: {finding.value}" for finding in findings if finding.verdict is Verdict.BAD]
    if bad:
        raise UserError(
            f"The fitted body is not good enough to train on ({'; '.join(bad)}): look at "
            f"{subject / 'pictures/body_fit'} and {subject / 'report.html'}, then mend it, "
            "or add preprocess.gate=false to train all the same."
        )
