"""Refines a coarse probability of the person to a mask that follows the edges in the picture.

Two cues are added as log odds. The network is reliable well inside and outside the person, but coarse at the edge. With
a static camera, the difference from the background tells the person apart. A guided filter then aligns the sum with the
edges in the picture. Lengths are in units of one pixel of the network's mask; `unit` is its size in pixels of the
picture.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from preprocess.masks.background import Background
from preprocess.masks.guided import guided_filter

_LARGEST_PROBABILITY = 0.98  # to which the network's probabilities are clipped
_UNRELIABLE = 4.0  # units: the distance from the network's edge within which the network may be wrong
_ODDS_PER_UNIT = 4.0  # log odds added for each unit beyond that distance
_LARGEST_BACKGROUND_ODDS = 6.0  # log odds
_NOISE = 4.0  # 8-bit levels of colour difference for one unit of log odds
# The colour difference at which a pixel is as likely the person as the background is this fraction of the person's own
# mean difference nearby, within these bounds (8-bit levels).
_CONTRAST = 0.4
_THRESHOLDS = 16.0, 32.0
_RADIUS = 1.8  # units: of the guided filter
_EPSILON = 1e-3  # of the guided filter, for colours in [0, 1]
_SHARPENING = 2.0  # compensates the filter's blur across edges


def coverage(
    image: UInt8[np.ndarray, "H W 3"],
    probability: Float[np.ndarray, "H W"],
    unit: float,
    background: Background | None = None,
) -> Float[np.ndarray, "H W"]:
    """How much of each pixel the person covers, in [0, 1], float32.

    Args:
        image: RGB.
        probability: the network's, in [0, 1].
        unit: pixels of the picture in one pixel of the network's mask.
        background: of a static camera, if known.
    """
    log_odds = network_log_odds(probability, unit)
    if background is not None:
        log_odds += background_log_odds(image, probability, background, unit)
    fused = 1 / (1 + np.exp(-log_odds.clip(-30, 30)))
    filtered = guided_filter(image.astype(np.float32) / 255, fused, max(1, round(_RADIUS * unit)), _EPSILON)
    return ((filtered - 0.5) * _SHARPENING + 0.5).clip(0, 1)


def network_log_odds(probability: Float[np.ndarray, "H W"], unit: float) -> Float[np.ndarray, "H W"]:
    """Log odds of the network: bounded near its edge, where it is coarse, and growing with the distance from it."""
    bounded = probability.clip(1 - _LARGEST_PROBABILITY, _LARGEST_PROBABILITY)
    log_odds = np.log(bounded / (1 - bounded)).astype(np.float32)
    for inside, sign in ((probability > 0.9, 1), (probability < 0.1, -1)):
        distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5) / unit
        log_odds += sign * _ODDS_PER_UNIT * (distance - _UNRELIABLE).clip(0, None)
    return log_odds


def background_log_odds(
    image: UInt8[np.ndarray, "H W 3"], probability: Float[np.ndarray, "H W"], background: Background, unit: float
) -> Float[np.ndarray, "H W"]:
    """Log odds from the difference between a pixel and the background; zero where the background is unknown."""
    offset = image - background.colour
    difference = np.sqrt(np.einsum("hwc,hwc->hw", offset, offset))
    side = 2 * round(7 * unit) + 1
    person = ((probability > 0.9) & background.known).astype(np.float32)
    mean_difference = cv2.blur(difference * person, (side, side)) / (cv2.blur(person, (side, side)) + 1e-3)
    threshold = (_CONTRAST * mean_difference).clip(*_THRESHOLDS)
    log_odds = ((difference - threshold) / _NOISE).clip(-_LARGEST_BACKGROUND_ODDS, _LARGEST_BACKGROUND_ODDS)
    return np.where(background.known, log_odds, 0).astype(np.float32)
