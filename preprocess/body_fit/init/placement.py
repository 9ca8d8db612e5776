"""Positions a body of known pose in front of the subject's camera.

Another tool may have seen the person with another camera, or may have given positions of another body, or in a world
whose camera is unknown. Each of these has a function here.
"""

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.errors import UserError
from hashhuman.geometry.skinning import axis_angle_to_matrix
from preprocess.body_fit.geometry import rotation_between

NOISE = 0.05  # metres: deviation of the points from the landmarks
OFFSET = 0.3  # metres: prior deviation of a pose's origin from the pelvis
SIZE = 0.1  # prior deviation of the ratio between the sizes of two bodies
SEEN = 0.25  # least weight of a point that counts as seen
LEAST_POINTS = 12  # to find a camera with


def under_camera(
    root: Float[Tensor, "F 3 3"], pelvis: Float[Tensor, "F 3"], K: Float[Tensor, "3 3"], other: Float[Tensor, "3 3"]
) -> tuple[Float[Tensor, "F 3 3"], Float[Tensor, "F 3"]]:
    """Moves a body seen with the camera K to where the camera `other` sees it alike.

    The pelvis stays at its pixel, and the body keeps its size in pixels and the side that faces the camera: it rotates
    along with the ray to the pelvis.

    Args:
        root: camera_from_rest rotation of the root.
        pelvis: its position (m, camera axes).
        K, other: intrinsics (pixels).

    Returns:
        Root rotation and pelvis for the camera `other`.
    """

    def focal(matrix: Tensor) -> Tensor:
        return (matrix[0, 0] * matrix[1, 1]).sqrt()

    pixel = pelvis @ K.T / pelvis[:, 2:]
    ray = pixel @ torch.linalg.inv(other).T
    moved = ray * pelvis[:, 2:] * focal(other) / focal(K)
    unit = torch.nn.functional.normalize
    turn = axis_angle_to_matrix(rotation_between(unit(pelvis, dim=-1), unit(moved, dim=-1)))
    return turn @ root, moved


def fit_translation(
    transl: Float[Tensor, "F 3"], landmarks: Float[Tensor, "F L 3"], image: Float[Tensor, "F L 2"],
    weight: Float[Tensor, "F L"], K: Float[Tensor, "3 3"],
) -> Float[Tensor, "F 3"]:  # fmt: skip
    """The pelvis (m, camera axes) in every frame, as s transl + b.

    The translations belong to another body: s accounts for its size and b for its origin. Both are found by weighted
    linear least squares over the whole sequence, with priors at s = 1 and b = 0.

    Args:
        transl: translations of the other body (m, camera axes).
        landmarks: landmarks of this body relative to its pelvis (m, camera axes).
        image: where they should be seen (pixels).
        weight: how far to trust each of those points.
        K: the camera's intrinsics (pixels).
    """
    rays = torch.cat([image, torch.ones_like(image[..., :1])], -1) @ torch.linalg.inv(K).T
    # (landmark + s t + b)_xy = ray_xy (landmark + s t + b)_z
    zero, one = torch.zeros_like(weight), torch.ones_like(weight)
    place = torch.stack([torch.stack([one, zero, -rays[..., 0]], -1), torch.stack([zero, one, -rays[..., 1]], -1)], -2)
    rows = torch.cat([(place @ transl[:, None, :, None]), place], -1)  # coefficients of s and of b
    right = rays[..., :2] * landmarks[..., 2:] - landmarks[..., :2]
    scale = (weight / NOISE)[..., None]
    prior = torch.diag(torch.tensor([1 / SIZE, *[1 / OFFSET] * 3], dtype=rows.dtype))
    expected = torch.tensor([1 / SIZE, 0, 0, 0], dtype=rows.dtype)
    rows, right = (rows * scale[..., None]).flatten(0, 2), (right * scale).flatten()
    rows, right = torch.cat([rows, prior]), torch.cat([right, expected])
    found = torch.linalg.lstsq(rows, right[:, None], driver="gelsd").solution[:, 0]  # not gelsy: see `place_pelvis`
    return found[0] * transl + found[1:]


def camera_from_world(
    landmarks: Float[Tensor, "F L 3"], image: Float[Tensor, "F L 2"], weight: Float[Tensor, "F L"],
    K: Float[Tensor, "3 3"],
) -> tuple[Float[Tensor, "3 3"], Float[Tensor, "3"]]:  # fmt: skip
    """R and T (m) of the static camera that sees the landmarks where the points are: camera = R world + T.

    Args:
        landmarks: positions in the world (m).
        image: where they are seen (pixels).
        weight: how far to trust each of those points.
        K: the camera's intrinsics (pixels).

    Raises UserError if there is no such camera: too few points, or a camera that moves.
    """
    used: np.ndarray = (weight > SEEN).numpy()
    points: np.ndarray = landmarks.double().numpy()[used]
    pixels: np.ndarray = image.double().numpy()
    if len(points) < LEAST_POINTS:
        raise UserError(
            "the keypoints show too little of the person to find the camera for a motion in world coordinates: "
            "use camera coordinates if the tool gives them (preprocess.body_fit.source.coordinates=camera)."
        )
    height = float(np.median([np.ptp(y[seen]) for y, seen in zip(pixels[..., 1], used) if seen.any()]))
    pixels = pixels[used]
    _, axis_angle, T, inliers = cv2.solvePnPRansac(
        points, pixels, K.double().numpy(), None, reprojectionError=0.15 * height, iterationsCount=200,
        flags=cv2.SOLVEPNP_SQPNP,
    )  # fmt: skip
    if inliers is None or len(inliers) < 0.5 * len(points):
        raise UserError(
            "no static camera sees the motion where the keypoints are: use camera coordinates if the tool gives them "
            "(preprocess.body_fit.source.coordinates=camera), or correct its start (preprocess.body_fit.source.offset)."
        )
    chosen = np.asarray(inliers, int)[:, 0]
    points, pixels = points[chosen], pixels[chosen]
    axis_angle, T = cv2.solvePnPRefineLM(points, pixels, K.double().numpy(), None, axis_angle, T)
    return torch.from_numpy(cv2.Rodrigues(axis_angle)[0]).float(), torch.from_numpy(T[:, 0]).float()
