"""Makes the subject folder of a video: runs its stages, and refuses a bad fit."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate

from hashhuman.checks.folders import check_writable
from hashhuman.checks.requirements import check_requirements
from hashhuman.checks.types import check_types
from hashhuman.errors import UserError
from hashhuman.io.assets import cache_root
from hashhuman.io.inside import check_folder_name
from preprocess.findings import Finding, Verdict
from preprocess.frames.decode import subject_name
from preprocess.quality import MeasuredQuality, Quality, quality_path
from preprocess.stage import Stage, due_stages, run_stages
from preprocess.stage_order import STAGES, make_stages


def subject_folder(video: str, workspace: Path, subject: str | None = None) -> Path:
    """The subject folder of a video: `workspace`/subjects/NAME.

    NAME is `subject`, or else the video's name.

    Raises UserError if either names no folder of its own below `subjects`.
    """
    if subject is not None:
        check_folder_name("subject", subject)
    if not Path(video).name:
        raise UserError(
            f"video={video} names no video: give a path, the name of a file in {workspace / 'videos'}, or demo."
        )
    return workspace / "subjects" / (subject or subject_name(video))


class Preprocessing:
    """Makes a subject folder, or what is missing from it.

    Args:
        stages: the config node `preprocess`: a node for each stage (`stage_order.make_stages`), `force`, `gate`, and
            `doctor.fit`, which judges the fit.
    """

    def __init__(self, stages: Mapping[str, Any]):
        self.config = stages

    def prepare(self, subject: Path) -> None:
        """Runs the stages that are not finished.

        Raises UserError for bad input, and for a bad fit if `gate` is set. Stages that have finished stay finished.
        """
        refuse_unused_easymocap(self.config)
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
            check_types(self.config[stage.name], f"preprocess.{stage.name}")
            check_requirements(self.config[stage.name])
        if due:
            check_writable(subject, "workspace=")
        if any(not (cache_root() / asset.filename).exists() for stage in due for asset in stage.assets()):
            check_writable(cache_root(), "the environment variable HASHHUMAN_MODELS")


def refuse_unused_easymocap(config: Mapping[str, Any]) -> None:
    """Raises UserError if the command line says something about EasyMocap, and no stage uses it.

    Args:
        config: the config node `preprocess`.
    """
    given = [text for text in _overrides() if re.match(r"\+*preprocess[./]easymocap\b", text)]
    if given and not any("easymocap" in (config.get(name) or {}) for name in STAGES):
        raise UserError(
            f"{given[0]} has no effect, since no stage uses EasyMocap: add preprocess/keypoints=easymocap, or "
            "preprocess/body_fit=easymocap body=smpl, or leave it out."
        )


def _overrides() -> list[str]:
    """The overrides on the command line; none outside Hydra."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def refuse_bad_fit(findings: Sequence[Finding], subject: Path) -> None:
    """Raises UserError if one of the findings on a fit is bad."""
    bad = [f"{finding.name}: {finding.value}" for finding in findings if finding.verdict is Verdict.BAD]
    if bad:
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise UserError(
            f"the fitted body is not good enough to train on ({bad[0]}{more}): see report.html and "
            f"pictures/body_fit in {subject}, correct the cause, or train all the same with preprocess.gate=false."
        )
