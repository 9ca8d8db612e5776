"""Captions and report entries for the surface that no training picture observed, where the avatar is extrapolated."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hashhuman.evaluation import drawing
from hashhuman.evaluation.product import Evaluation

MOSTLY = 0.5  # a view is called unseen from this unseen share of its visible surface on


def captioned(image: np.ndarray, unseen: float, *lines: str) -> np.ndarray:
    """Adds a caption with the unseen share to a picture.

    Args:
        image: 8-bit RGB (H, W, 3).
        unseen: share of the visible surface that no training picture observed, in [0, 1].
        lines: further lines of the caption.
    """
    if unseen >= MOSTLY:
        text, color = f"unseen side: {unseen:.0%} of what is shown was never filmed", drawing.WARNING
    else:
        text, color = f"{unseen:.0%} of what is shown was never filmed", drawing.INK
    return drawing.caption(image, *lines, text, color=color)


def reported(evaluation: Evaluation, name: str, views: Sequence[float]) -> dict[str, Any]:
    """The report's entry on the unseen surface.

    Args:
        evaluation: the evaluation.
        name: name of the product, used as the key.
        views: unseen share of the visible surface in each view, in [0, 1].
    """
    what = (
        "share of the body's surface (by area) that no training picture saw: `surface` of the whole body, the others "
        "of the surface visible in each view"
    )
    return {"unseen": {"what": what, "surface": evaluation.unseen_surface, name: list(views)}}
