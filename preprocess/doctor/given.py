"""Whether a published data set has what its stages take: pictures by split, masks and poses."""

from collections.abc import Callable, Sequence

from hashhuman.errors import UserError
from preprocess.body_fit.dataset import DatasetFit
from preprocess.findings import Finding, Verdict
from preprocess.frames.dataset import DatasetFrames
from preprocess.masks.dataset import DatasetMasks
from preprocess.stage import Stage

TOPIC = "data set"


def given(stages: Sequence[Stage]) -> list[Finding]:
    """A finding for each stage that takes something from a data set; none if no stage does."""
    findings = []
    for stage in stages:
        if isinstance(stage, DatasetFrames):
            splits = stage.dataset.splits()
            counts = ", ".join(f"{len(numbers)} {name}" for name, numbers in splits.items() if numbers)
            findings.append(Finding(TOPIC, "pictures", f"{counts}, of {stage.dataset.pictures()}"))
        elif isinstance(stage, DatasetMasks):
            findings.append(_checked("masks", lambda stage=stage: _masks(stage)))
        elif isinstance(stage, DatasetFit):
            findings.append(_checked("poses", lambda stage=stage: f"{len(stage.dataset.poses().numbers)} of SMPL"))
    return findings


def _masks(stage: DatasetMasks) -> str:
    mask = stage.dataset.mask(0)
    if mask is None:
        return f"none of the first picture in {stage.dataset.folder}"
    height, width = mask.content.shape
    return f"{width} x {height}, in {mask.path}"


def _checked(name: str, read: Callable[[], str]) -> Finding:
    """What is there, or the sentence on what is wrong with it."""
    try:
        return Finding(TOPIC, name, read())
    except UserError as error:
        return Finding(TOPIC, name, "cannot be read", Verdict.BAD, str(error))
