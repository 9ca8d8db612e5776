"""Runs all checks on one video and its subject, in order."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig

from hashhuman.body.model import BodyModel
from hashhuman.errors import UserError
from preprocess.doctor import clip, fit
from preprocess.doctor.detect import inspect_pictures
from preprocess.doctor.forecast import Forecast
from preprocess.doctor.given import given
from preprocess.doctor.installed import installed
from preprocess.doctor.poses import poses
from preprocess.doctor.weights import weights
from preprocess.findings import Finding, Verdict
from preprocess.frames.monocular import VideoFrames
from preprocess.frames.multiview import SynchronisedFrames
from preprocess.frames.sample import Sample
from preprocess.frames.video_index import recorded_notes
from preprocess.quality import MeasuredQuality, Quality, quality_path
from preprocess.stage import Stage, is_finished
from preprocess.stage_order import make_stages


def examine(config: DictConfig, body: Callable[[], BodyModel], subject: Path, workspace: Path) -> list[Finding]:
    """The findings on a video, and on its subject if that is finished.

    Args:
        config: the config node `preprocess`.
        body: makes the body model that all stages use.
        subject: the subject's folder, which need not exist.
        workspace: the folder that holds it, whose free disk space is checked.

    Raises UserError if there is no such video, or an option is invalid.
    """
    stages = make_stages(config)
    checks = {name: instantiate(node) for name, node in config.doctor.items()}
    frames = stages[0]
    assert isinstance(frames, VideoFrames | SynchronisedFrames)
    recordings = frames.samples(checks["clip"].pictures)
    recorded = recorded_notes(subject)  # of all pictures; before the frames stage, those of the samples have to do
    pixels = sum(each.count * each.images[0].shape[0] * each.images[0].shape[1] for each in recordings.values())
    return [
        *installed(), *checks["machine"](workspace, pixels), *weights(stages, body),
        *given(stages), *_clip(checks["clip"], checks["forecast"], recordings, config.get("keypoints"), not recorded),
        *clip.recording(recorded), *_poses(frames, recordings, stages), *_fit(checks["fit"], subject, stages),
    ]  # fmt: skip


def _clip(
    checks: clip.ClipChecks,
    forecast: Forecast,
    recordings: Mapping[str, Sample],
    keypoints: Mapping[str, Any] | None,
    notes: bool,
) -> list[Finding]:
    """The findings on each recording, with the samples' `notes` or without; each of several has its own topic.

    Without keypoints, nobody is searched for: poses and masks are given. The search tells how fast this machine is.
    """
    findings, seconds = [], []
    if keypoints is None:
        return [finding for sample in recordings.values() if notes for finding in clip.recording(sample.notes)]
    for index, (name, sample) in enumerate(recordings.items()):
        person = (keypoints.get("people") or {}).get(index) if index else keypoints.get("person")
        try:
            started = time.perf_counter()
            inspections = inspect_pictures(sample.images, person)
            seconds.append((time.perf_counter() - started) / len(inspections))
            found = checks(inspections, sample.count, sample.rate, sample.recorded)
        except UserError as error:  # no network; the other findings may say why
            found = [Finding(clip.TOPIC, "person", "not searched for", Verdict.BAD, str(error))]
        found += clip.recording(sample.notes) if notes else []
        topic = f"{clip.TOPIC} {name}" if len(recordings) > 1 else clip.TOPIC
        findings += [dataclasses.replace(finding, topic=topic) for finding in found]
    if seconds:
        findings.append(forecast(sum(sample.count for sample in recordings.values()), fmean(seconds)))
    return findings


def _poses(
    frames: VideoFrames | SynchronisedFrames, recordings: Mapping[str, Sample], stages: Sequence[Stage]
) -> list[Finding]:
    """The findings on poses that another tool found in the (first) recording."""
    first = next(iter(recordings.values()))
    height, width = first.images[0].shape[:2]
    return poses(stages, frames.start + frames.step * np.arange(first.count), width, height)


def _fit(checks: fit.FitChecks, subject: Path, stages: Sequence[Stage]) -> list[Finding]:
    """The findings on the finished fit, or a finding that there is none."""
    measured = [stage for stage in stages if isinstance(stage, MeasuredQuality)]
    if not quality_path(subject).exists() or not measured:
        return [Finding(fit.TOPIC, "fit", "not made yet")]
    if not is_finished(measured[0], subject):
        advice = "run python -m preprocess again"
        return [Finding(fit.TOPIC, "fit", "changed since it was measured", Verdict.WARN, advice)]
    return checks(Quality.load(quality_path(subject)))
