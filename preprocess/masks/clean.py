"""Cleans masks: removes flicker over time, islands away from the person, and pinholes inside."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

_CHANGED = 25  # 8-bit levels: the flow counts as wrong where a pixel's grey differs by more from where it points to
_FAINT = 0.1  # coverage below which pixels do not connect pieces
_ON_BODY = 0.2  # fraction of a detached piece that must lie on the body for the piece to be kept


def temporal_median(
    probabilities: Sequence[UInt8[np.ndarray, "h w"]], greys: Sequence[UInt8[np.ndarray, "h w"]], index: int
) -> UInt8[np.ndarray, "h w"]:
    """A picture's probability without flicker: the median of it and its two neighbours in time.

    The neighbours are warped to the picture with optical flow, so that a fast limb keeps its mask. Where the flow does
    not explain the picture (the pixel was hidden in the neighbour), the picture's own value replaces the neighbour's.
    The first and the last picture, and those beside a picture that shows nobody, stay as they are.

    Args:
        probabilities: of the person, 255 for 1, for each picture of the sequence.
        greys: the pictures in grey.
        index: the picture.
    """
    own = probabilities[index]
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    rows, columns = np.indices(own.shape, np.float32)
    others = []
    for neighbour in (index - 1, index + 1):
        if not 0 <= neighbour < len(greys) or not probabilities[neighbour].any():
            return own
        flow = estimator.calc(greys[index], greys[neighbour], np.zeros((*own.shape, 2), np.float32))
        maps = columns + flow[..., 0], rows + flow[..., 1]
        grey = cv2.remap(greys[neighbour], *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        probability = cv2.remap(probabilities[neighbour], *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        others.append(np.where(cv2.absdiff(grey, greys[index]) <= _CHANGED, probability, own))
    before, after = others
    return np.maximum(np.minimum(before, after), np.minimum(own, np.maximum(before, after)))


def drop_islands(coverage: Float[np.ndarray, "H W"], body: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Removes every connected piece that neither is the largest nor lies on the fitted body."""
    count, labels = cv2.connectedComponents((coverage > _FAINT).astype(np.uint8))
    pieces = np.asarray(labels, np.int32)
    solid = coverage > 0.5
    area = np.bincount(pieces[solid], minlength=count).astype(float)
    on_body = np.bincount(pieces[solid & body], minlength=count)
    keep = on_body > _ON_BODY * area
    keep[0] = False
    if count > 1:
        keep[1 + area[1:].argmax()] = True
    return np.where(keep[pieces], coverage, 0).astype(np.float32)


def fill_pinholes(coverage: Float[np.ndarray, "H W"], area: float) -> Float[np.ndarray, "H W"]:
    """Fills holes smaller than `area` pixels."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats((coverage <= 0.5).astype(np.uint8), connectivity=4)
    small = statistics[:, cv2.CC_STAT_AREA] < area
    small[0] = False  # label 0 is the covered part
    return np.where(small[np.asarray(labels, np.int32)], 1, coverage).astype(np.float32)
