"""Refuses a subject folder whose bodies do not lie on its masks, before anything is trained on it."""

from collections.abc import Sequence

import numpy as np

from hashhuman.data.silhouette import silhouette
from hashhuman.data.spacing import evenly_spaced
from hashhuman.data.subject import Picture, Subject
from hashhuman.errors import UserError

SAMPLES = 5  # pictures that are looked at
LEAST_IOU = 0.3  # of body and mask in the median picture; a right body without clothes reaches 0.7 and more


def refuse_contradiction(subject: Subject, pictures: Sequence[Picture]) -> None:
    """Projects a few bodies on the masks.

    Args:
        subject: the subject folder.
        pictures: to choose from; those without a mask are left out.

    Raises UserError if the median overlap is below `LEAST_IOU`, naming the usual causes.
    """
    masked = [picture for picture in pictures if picture.mask is not None or picture.parts is not None]
    overlaps = [_overlap(subject, picture) for picture in evenly_spaced(masked, SAMPLES)]
    overlaps = [overlap for overlap in overlaps if np.isfinite(overlap)]
    if overlaps and np.median(overlaps) < LEAST_IOU:
        raise UserError(
            f"{subject.root}: the bodies do not lie on the masks (median IoU {np.median(overlaps):.2f}): T in "
            "annots.npy is in metres instead of millimetres, K is that of pictures of another size, or people differ."
        )


def _overlap(subject: Subject, picture: Picture) -> float:
    """IoU of the projected body and the mask; NaN for an empty mask."""
    mask = subject.mask(picture) > 0.5
    if not mask.any():
        return float("nan")
    faces = subject.template().faces.numpy()
    body = silhouette(subject.camera(picture.camera), subject.vertices(picture.frame), faces)
    return float((mask & body).sum() / (mask | body).sum())
