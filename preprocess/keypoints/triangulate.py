"""Metric points triangulated from several cameras, to replace the network's estimate from one."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from hashhuman.geometry.camera import Camera
from preprocess.keypoints.camera_axes import axes_towards
from preprocess.keypoints.points import Keypoints
from preprocess.multiview.triangulation import projection, triangulate
from preprocess.skeleton import HIPS

LEAST_VISIBILITY = 0.3  # of a point that is used
TOLERANCE = 0.06  # largest reprojection error of a point, as a fraction of the person's height in the picture


def triangulated_world_points(seen: Sequence[Keypoints], cameras: Sequence[Camera]) -> Float[np.ndarray, "F 33 3"]:
    """The `world_points` of the first camera, with every point replaced that at least two cameras agree on.

    In frames where the hips, the origin of these points, cannot be triangulated, all points stay as they are.

    Args:
        seen: each camera's keypoints, for the same F frames.
        cameras: the calibrated cameras, in the same order.

    Returns:
        Metres from the midpoint of the hips, float32, in the axes of a camera that looks straight at the person, as
        `Keypoints.world_points`.
    """
    first, camera = seen[0], cameras[0]
    pixels = np.stack([keypoints.image_points for keypoints in seen]).astype(np.float64)
    weights = np.stack([keypoints.visibility * keypoints.detected[:, None] for keypoints in seen]).astype(np.float64)
    weights[weights < LEAST_VISIBILITY] = 0
    height = np.median(np.ptp(pixels[..., 1], axis=-1)[np.stack([keypoints.detected for keypoints in seen])])
    P = np.stack([projection(camera) for camera in cameras])
    count = len(seen)
    points, _ = triangulate(P, pixels.reshape(count, -1, 2), weights.reshape(count, -1), float(TOLERANCE * height))
    points = points.reshape(*first.image_points.shape[:2], 3) @ camera.R.double().numpy().T + camera.T.double().numpy()
    hips = points[:, HIPS].mean(1, keepdims=True)
    # In the network's axes: those of a camera that looks straight at the person.
    metric = (points - hips) @ axes_towards(first.image_points.astype(np.float64), camera.K.double().numpy())
    return np.where(np.isfinite(metric), metric, first.world_points).astype(np.float32)
