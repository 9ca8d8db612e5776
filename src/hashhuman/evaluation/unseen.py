"""Says how much of what a picture shows no training frame saw: there the avatar is a guess."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hashhuman.evaluation import drawing
from hashhuman.evaluation.product import Evaluation

MOSTLY = 0.5  # the share of the visible surface from which a side is called unseen


def captioned(image: np.ndarray, unseen: float, *lines: str) -> np.ndarray:
    """An 8-bit RGB picture over a strip of text; `unseen` is a share in [0, 1]."""
    if unseen >= MOSTLY:
        text, color = f"unseen side: {unseen:.0%} of the visible surface never observed", drawing.WARNING
    else:
        text, color = f"{unseen:.0%} of the visible surface never observed", drawing.INK
    return drawing.caption(image, *lines, text, color=color)


def reported(evaluation: Evaluation, name: str, views: Sequence[float]) -> dict[str, Any]:
    """The entry of an evaluation's report on views of its avatar; `views` are their unseen shares, each in [0, 1]."""
    what = (
        "share of the body's surface (by area) that no training picture saw; of all of it, and of what each view shows"
    )
    return {"unseen": {"what": what, "surface": evaluation.unseen_surface, name: list(views)}}
