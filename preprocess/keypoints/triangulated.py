"""Metric points out of several cameras, in place of what the network guesses from one."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from hashhuman.geometry.camera import Camera
from preprocess.body_fit.evidence.observe import HIPS, axes_towards
from preprocess.keypoints.points import Keypoints
from preprocess.multiview.triangulation import projection, triangulate

LEAST_VISIBILITY = 0.3  # of a point that takes part
TOLERANCE = 0.06  # of the person's height in the picture: how far a point may be from its projection


def triangulated(seen: Sequence[Keypoints], cameras: Sequence[Camera]) -> Float[np.ndarray, "F 33 3"]:
    """`world_points` of the first camera's keypoints, with those in place that enough cameras agree on.

    Frames in which the hips, from which the points count, are not among them stay as they are.
    """
    first, camera = seen[0], cameras[0]
    pixels = np.stack([keypoints.image_points for keypoints in seen]).astype(np.float64)
    weights = np.stack([keypoints.visibility * keypoints.detected[:, None] for keypoints in seen]).astype(np.float64)
    weights[weights < LEAST_VISIBILITY] = 0
    tall = np.median(np.ptp(pixels[..., 1], axis=-1)[np.stack([keypoints.detected for keypoints in seen])])
    P = np.stack([projection(camera) for camera in cameras])
    count = len(seen)
    points, _ = triangulate(P, pixels.reshape(count, -1, 2), weights.reshape(count, -1), float(TOLERANCE * tall))
    points = points.reshape(*first.image_points.shape[:2], 3) @ camera.R.double().numpy().T + camera.T.double().numpy()
    hips = points[:, HIPS].mean(1, keepdims=True)
    # as the network has them: in the axes of a camera that looks straight at the person
    metric = (points - hips) @ axes_towards(first.image_points.astype(np.float64), camera.K.double().numpy())
    return np.where(np.isfinite(metric), metric, first.world_points).astype(np.float32)
