"""All checks on one video and its subject, in order."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from hashhuman.body.model import BodyModel
from hashhuman.errors import UserError
from preprocess.doctor import clip, fit
from preprocess.doctor.findings import Finding, Verdict
from preprocess.doctor.installed import installed
from preprocess.doctor.look import look
from preprocess.doctor.weights import weights
from preprocess.frames import VideoFrames
from preprocess.pipeline import make_stages
from preprocess.quality import MeasuredQuality, Quality, quality_path
from preprocess.stage import Stage, is_finished
from preprocess.video import pictures_a_second


def examine(config: DictConfig, body: Callable[[], BodyModel], subject: Path, workspace: Path) -> list[Finding]:
    """The findings on what the configuration's node `preprocess` is going to do, or has done, in `subject`.

    `body` makes the body model that is chosen for all stages.

    Raises UserError if there is no such video, or an option makes no sense.
    """
    stages = make_stages(config)
    frames, checks = stages[0], {name: instantiate(node) for name, node in config.doctor.items()}
    seen, pixels = [Finding(clip.TOPIC, "pictures", "of several recordings, which are not looked at")], 0
    if isinstance(frames, VideoFrames):
        images, count = frames.sample(checks["clip"].pictures)
        pixels = count * images[0].shape[0] * images[0].shape[1]
        rate = pictures_a_second(frames.path)
        seen = _look(checks["clip"], images, count, rate and rate / frames.step, config.keypoints.get("person"))
    return [
        *installed(), *checks["machine"](workspace, pixels), *weights(stages, body), *seen,
        *_fit(checks["fit"], subject, stages),
    ]  # fmt: skip


def _look(checks: clip.ClipChecks, images: Sequence[Any], count: int, rate: float | None, person: Any) -> list[Finding]:
    try:
        return checks(look(images, person), count, rate)
    except UserError as error:  # the networks cannot be had: the other findings may say why
        return [Finding(clip.TOPIC, "person", "not looked for", Verdict.BAD, str(error))]


def _fit(checks: fit.FitChecks, subject: Path, stages: Sequence[Stage]) -> list[Finding]:
    """The findings on the finished fit, or that there is none."""
    measured = [stage for stage in stages if isinstance(stage, MeasuredQuality)]
    if not quality_path(subject).exists() or not measured:
        return [Finding(fit.TOPIC, "fit", "not made yet")]
    if not is_finished(measured[0], subject):
        advice = "python -m preprocess brings it up to date"
        return [Finding(fit.TOPIC, "fit", "changed since it was measured", Verdict.WARN, advice)]
    return checks(Quality.load(quality_path(subject)))
