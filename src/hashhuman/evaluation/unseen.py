"""Says under a picture how much of what it shows no training frame saw: there the avatar is a guess."""

import numpy as np

from hashhuman.evaluation import drawing

MOSTLY = 0.5  # the share of the visible surface from which a side is called unseen


def captioned(image: np.ndarray, unseen: float, *lines: str) -> np.ndarray:
    """An 8-bit RGB picture over a strip of text; `unseen` is a share in [0, 1]."""
    if unseen >= MOSTLY:
        text, color = f"unseen side: {unseen:.0%} of the visible surface never observed", drawing.WARNING
    else:
        text, color = f"{unseen:.0%} of the visible surface never observed", drawing.INK
    return drawing.caption(image, *lines, text, color=color)
