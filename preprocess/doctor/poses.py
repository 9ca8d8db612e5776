"""What a file of poses that another tool found holds, what it lacks, and which option takes it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from hashhuman.errors import UserError
from preprocess.body_fit.imported import SAME_PICTURE, ImportedFit
from preprocess.body_fit.source.known import SOURCES, sources_for
from preprocess.body_fit.source.motion import Motion
from preprocess.findings import Finding, Verdict, at_least
from preprocess.stage import Stage

TOPIC = "poses"
_COVERED = 0.9  # share of the pictures that one track has, in a good file


def poses(stages: Sequence[Stage], pictures: Int[np.ndarray, "N"], width: int, height: int) -> list[Finding]:
    """The findings on the file of `preprocess/body_fit=import`; none if poses are fitted here.

    Args:
        stages: the chosen ones.
        pictures: the video's numbers of the pictures that the subject will have.
        width, height: of those pictures (pixels).
    """
    return [
        finding for stage in stages if isinstance(stage, ImportedFit) for finding in _of(stage, pictures, width, height)
    ]


def _of(stage: ImportedFit, pictures: Int[np.ndarray, "N"], width: int, height: int) -> list[Finding]:
    try:
        motions = stage.source.read(stage.path, width, height)
    except UserError as error:
        own = type(stage.source)  # which may read the file with other options
        taken = [name for name in sources_for(stage.path, width, height) if SOURCES[name] is not own]
        advice = f"use preprocess/body_fit/source={taken[0]}" if taken else str(error)
        return [Finding(TOPIC, "file", f"not read: {stage.path}", Verdict.BAD, advice)]
    name = next((name for name, make in SOURCES.items() if make is type(stage.source)), type(stage.source).__name__)
    found = [Finding(TOPIC, "file", f"{name}: {stage.path}"), Finding(TOPIC, "holds", _content(motions))]
    return found if motions[0].seconds else [*found, _coverage(motions, pictures, stage.least_fraction)]


def _content(motions: Sequence[Motion]) -> str:
    first = motions[0]
    what = f"{len(first.landmarks)} points on the body" if first.rotations is None else f"angles of {first.body}"
    what += " and joints" if first.joints is not None else ""
    camera = "a world without camera" if first.K is None else f"a camera of focal length {first.K[0, 0]:.0f} px"
    people = "1 track" if len(motions) == 1 else f"{len(motions)} tracks"
    return f"{people}, {what}, {camera}"


def _coverage(motions: Sequence[Motion], pictures: Int[np.ndarray, "N"], least: float) -> Finding:
    """How many of the pictures some track has, and whether its numbers can be this video's."""
    at = np.concatenate([motion.at for motion in motions])
    share = (np.abs(pictures[:, None] - at).min(1) <= SAME_PICTURE).mean()
    value = f"{100 * share:.0f} % of the pictures; numbered {at.min():.0f} to {at.max():.0f}"
    advice = "run the tool on the whole video, or take the part that it covers: preprocess.frames.start, stop"
    return Finding(TOPIC, "pictures", value, at_least(float(share), [_COVERED, least]), advice)
