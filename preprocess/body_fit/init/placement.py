"""Where a body of known pose stands: under another camera, by points in the pictures, before a camera not yet known."""

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.errors import UserError
from hashhuman.geometry.skinning import axis_angle_to_matrix
from preprocess.body_fit.init.from_points import rotation_between

NOISE = 0.05  # metres: how far points lie from landmarks
OFFSET = 0.3  # metres: how far the origin of a pose may lie from the pelvis
SIZE = 0.1  # how much larger or smaller one body may be than another
SEEN = 0.25  # the least weight of a point that is seen
LEAST_POINTS = 12


def under_camera(
    root: Float[Tensor, "F 3 3"], pelvis: Float[Tensor, "F 3"], K: Float[Tensor, "3 3"], other: Float[Tensor, "3 3"]
) -> tuple[Float[Tensor, "F 3 3"], Float[Tensor, "F 3"]]:
    """Root rotation and pelvis (camera axes, m) that look under the camera `other` as the given ones do under K.

    The pelvis keeps its pixel, the body its size in pixels and the side that it shows: it turns with the ray to it.
    """

    def focal(matrix: Tensor) -> Tensor:
        return (matrix[0, 0] * matrix[1, 1]).sqrt()

    pixel = pelvis @ K.T / pelvis[:, 2:]
    ray = pixel @ torch.linalg.inv(other).T
    moved = ray * pelvis[:, 2:] * focal(other) / focal(K)
    unit = torch.nn.functional.normalize
    turn = axis_angle_to_matrix(rotation_between(unit(pelvis, dim=-1), unit(moved, dim=-1)))
    return turn @ root, moved


def settled(
    transl: Float[Tensor, "F 3"], landmarks: Float[Tensor, "F L 3"], image: Float[Tensor, "F L 2"],
    weight: Float[Tensor, "F L"], K: Float[Tensor, "3 3"],
) -> Float[Tensor, "F 3"]:  # fmt: skip
    """The pelvis in every frame as s transl + b, which another body's size (s) and origin (b) ask for.

    `landmarks` lie about the pelvis (camera axes, m) and should project onto `image`; linear least squares over the
    whole sequence, with s near one and b near nothing.
    """
    rays = torch.cat([image, torch.ones_like(image[..., :1])], -1) @ torch.linalg.inv(K).T
    # (landmark + s t + b)_xy = ray_xy (landmark + s t + b)_z
    zero, one = torch.zeros_like(weight), torch.ones_like(weight)
    place = torch.stack([torch.stack([one, zero, -rays[..., 0]], -1), torch.stack([zero, one, -rays[..., 1]], -1)], -2)
    rows = torch.cat([(place @ transl[:, None, :, None]), place], -1)  # of s and b
    right = rays[..., :2] * landmarks[..., 2:] - landmarks[..., :2]
    scale = (weight / NOISE)[..., None]
    prior = torch.diag(torch.tensor([1 / SIZE, *[1 / OFFSET] * 3], dtype=rows.dtype))
    expected = torch.tensor([1 / SIZE, 0, 0, 0], dtype=rows.dtype)
    rows, right = (rows * scale[..., None]).flatten(0, 2), (right * scale).flatten()
    found = torch.linalg.lstsq(torch.cat([rows, prior]), torch.cat([right, expected])[:, None]).solution[:, 0]
    return found[0] * transl + found[1:]


def camera_from_world(
    landmarks: Float[Tensor, "F L 3"], image: Float[Tensor, "F L 2"], weight: Float[Tensor, "F L"],
    K: Float[Tensor, "3 3"],
) -> tuple[Float[Tensor, "3 3"], Float[Tensor, "3"]]:  # fmt: skip
    """R and T (m) of the camera that saw landmarks of the world (m) at `image`, the same in all frames.

    Raises UserError if no such camera did: too few points, or a camera that moves.
    """
    used: np.ndarray = (weight > SEEN).numpy()
    points: np.ndarray = landmarks.double().numpy()[used]
    pixels: np.ndarray = image.double().numpy()
    if len(points) < LEAST_POINTS:
        raise UserError("the keypoints show too little of the person to find the camera of a motion in the world.")
    height = float(np.median([np.ptp(y[seen]) for y, seen in zip(pixels[..., 1], used) if seen.any()]))
    pixels = pixels[used]
    _, axis_angle, T, inliers = cv2.solvePnPRansac(
        points, pixels, K.double().numpy(), None, reprojectionError=0.15 * height, iterationsCount=200,
        flags=cv2.SOLVEPNP_SQPNP,
    )  # fmt: skip
    if inliers is None or len(inliers) < 0.5 * len(points):
        raise UserError(
            "no standing camera sees the motion where the keypoints are: take camera coordinates, or correct its time."
        )
    chosen = np.asarray(inliers, int)[:, 0]
    points, pixels = points[chosen], pixels[chosen]
    axis_angle, T = cv2.solvePnPRefineLM(points, pixels, K.double().numpy(), None, axis_angle, T)
    return torch.from_numpy(cv2.Rodrigues(axis_angle)[0]).float(), torch.from_numpy(T[:, 0]).float()
