"""The body's silhouette in a picture, drawn triangle by triangle: what masks are compared with."""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from hashhuman.geometry.camera import Camera

_REACH = 0.04  # of the body's longer side in the picture: how far clothes and hair extend beyond it


def silhouette(
    camera: Camera, vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]
) -> Bool[np.ndarray, "{camera.height} {camera.width}"]:
    """The pixels that a body covers, to within a pixel; triangles that reach behind the camera are left out.

    Args:
        camera: the picture's.
        vertices: of the body (m, world).
        faces: its triangles.
    """
    projected = camera.project(torch.as_tensor(vertices, dtype=torch.float32)).numpy()
    triangles = projected[faces]
    reach = 8 * max(camera.height, camera.width)  # farther away, rounding to whole numbers could overflow
    drawn = (triangles[..., 2] > 0).all(1) & (np.abs(triangles[..., :2]) < reach).all((1, 2))
    covered = np.zeros((camera.height, camera.width), np.uint8)
    for corners in triangles[drawn, :, :2].round().astype(np.int32):
        cv2.fillConvexPoly(covered, corners, 1)
    return covered > 0


def around(body: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The pixels on the body and so near to it that they may show its clothes."""
    if not body.any():
        return body
    rows, columns = np.flatnonzero(body.any(1)), np.flatnonzero(body.any(0))
    radius = 1 + round(_REACH * max(rows[-1] - rows[0], columns[-1] - columns[0]))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(body.astype(np.uint8), kernel) > 0
