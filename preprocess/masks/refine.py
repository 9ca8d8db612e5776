"""From a coarse probability of the person to coverage with the picture's own edges.

Three cues add up as log odds: the network, sure inside and outside but coarse at the edge; the silhouette of the fitted
body, which rules out what is far from it; and, for a fixed camera, how much a pixel differs from the background. A
guided filter then draws the sum along the picture's edges. Lengths are in `unit`s, the picture's pixels in one
pixel of the network's mask.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from preprocess.masks.background import Background
from preprocess.masks.guided import guided_filter

_SURE = 0.98  # the network is not believed beyond this
_DEPTH = 4.0  # units from its edge within which the network may be wrong
_BEYOND = 4.0  # log odds added a unit beyond that depth
_EVIDENCE = 6.0  # largest log odds that the background gives
_NOISE = 4.0  # 8-bit levels of colour difference that make one unit of log odds
_DIFFERENT = 16.0, 32.0  # colour difference (levels) at which a pixel is as likely person as background: bounds,
_CONTRAST = 0.4  # and the fraction of the person's own difference from the background near there
_RADIUS = 1.8  # units
_EPSILON = 1e-3  # squared colour, of 1
_SHARPENING = 2.0  # undoes the filter's blur across edges


def coverage(
    image: UInt8[np.ndarray, "H W 3"],
    probability: Float[np.ndarray, "H W"],
    unit: float,
    background: Background | None = None,
    reach: Float[np.ndarray, "H W"] | None = None,
) -> Float[np.ndarray, "H W"]:
    """How much of each pixel the person covers, in [0, 1], float32.

    Args:
        image: RGB.
        probability: the network's, in [0, 1].
        background: of a fixed camera.
        reach: log odds taken away from each pixel, e.g. for its distance from the fitted body.
    """
    odds = network_odds(probability, unit)
    if background is not None:
        odds += background_odds(image, probability, background, unit)
    if reach is not None:
        odds -= reach
    fused = 1 / (1 + np.exp(-odds.clip(-30, 30)))
    filtered = guided_filter(image.astype(np.float32) / 255, fused, max(1, round(_RADIUS * unit)), _EPSILON)
    return ((filtered - 0.5) * _SHARPENING + 0.5).clip(0, 1)


def network_odds(probability: Float[np.ndarray, "H W"], unit: float) -> Float[np.ndarray, "H W"]:
    """Log odds of the network: bounded near its edge, where it is coarse, and growing with the distance from it."""
    bounded = probability.clip(1 - _SURE, _SURE)
    odds = np.log(bounded / (1 - bounded)).astype(np.float32)
    for inside, sign in ((probability > 0.9, 1), (probability < 0.1, -1)):
        depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5) / unit
        odds += sign * _BEYOND * (depth - _DEPTH).clip(0, None)
    return odds


def background_odds(
    image: UInt8[np.ndarray, "H W 3"], probability: Float[np.ndarray, "H W"], background: Background, unit: float
) -> Float[np.ndarray, "H W"]:
    """Log odds of the colour's difference from the background; zero where that is unknown."""
    offset = image - background.colour
    difference = np.sqrt(np.einsum("hwc,hwc->hw", offset, offset))
    side = 2 * round(7 * unit) + 1
    person = ((probability > 0.9) & background.known).astype(np.float32)
    mean_difference = cv2.blur(difference * person, (side, side)) / (cv2.blur(person, (side, side)) + 1e-3)
    threshold = (_CONTRAST * mean_difference).clip(*_DIFFERENT)
    odds = ((difference - threshold) / _NOISE).clip(-_EVIDENCE, _EVIDENCE)
    return np.where(background.known, odds, 0).astype(np.float32)
