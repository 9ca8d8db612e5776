"""The browser's camera, and the cameras of the run that it stands for.

viser's cameras have OpenCV's axes, as ours do; its quaternions are w x y z.
"""

import dataclasses
import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from hashhuman.geometry.camera import Camera


@dataclasses.dataclass(frozen=True)
class Viewpoint:
    """A pinhole camera of the browser, in the space of exported files: metres, y up."""

    position: Float[np.ndarray, "3"]
    rotation: Float[np.ndarray, "3 3"]  # to that space from the camera's axes: x right, y down, z forward
    fov: float  # vertical field of view (radians)
    height: int  # pixels
    width: int

    @classmethod
    def of(cls, camera: Camera, exported_from_world: Float[np.ndarray, "4 4"]) -> "Viewpoint":
        """That of a camera of the run, with its height, width and vertical field of view."""
        turn, move = exported_from_world[:3, :3], exported_from_world[:3, 3]
        fov = 2 * math.atan(camera.height / (2 * float(camera.K[1, 1])))
        position = turn @ camera.center.cpu().double().numpy() + move
        return cls(position, turn @ camera.R.T.cpu().double().numpy(), fov, camera.height, camera.width)

    @property
    def wxyz(self) -> tuple[float, float, float, float]:
        """The rotation as viser's quaternion."""
        x, y, z, w = Rotation.from_matrix(self.rotation).as_quat()
        return float(w), float(x), float(y), float(z)

    def sized(self, height: int, width: int) -> "Viewpoint":
        """The same viewpoint with a picture of another size; its vertical field of view stays."""
        return dataclasses.replace(self, height=height, width=width)

    def camera(self, exported_from_world: Float[np.ndarray, "4 4"]) -> Camera:
        """The camera in the run's world (float32) whose pictures have the viewpoint's size."""
        turn, move = exported_from_world[:3, :3], exported_from_world[:3, 3]
        focal = self.height / (2 * math.tan(self.fov / 2))
        K = [[focal, 0, (self.width - 1) / 2], [0, focal, (self.height - 1) / 2], [0, 0, 1]]
        R = self.rotation.T @ turn
        T = self.rotation.T @ (move - self.position)
        K, R, T = (torch.tensor(np.asarray(values), dtype=torch.float32) for values in (K, R, T))
        return Camera(K, R, T, self.height, self.width)


def cropped(camera: Camera, top: int, bottom: int, left: int, right: int) -> Camera:
    """The camera of rows `top` to `bottom` and columns `left` to `right` of the picture (the latter excluded)."""
    K = camera.K.clone()
    K[0, 2] -= left
    K[1, 2] -= top
    return dataclasses.replace(camera, K=K, height=bottom - top, width=right - left)


def box_of(points: Float[torch.Tensor, "N 3"], camera: Camera, margin: float) -> tuple[int, int, int, int] | None:
    """The rows and columns that a body can cover: top, bottom, left, right, as in `cropped`.

    Args:
        points: points of the body (m, world).
        camera: the camera.
        margin: how far clothes and hair may lie outside of the points (m).

    Returns:
        None if none of it is in the picture. The whole picture if a point is not in front of the camera.
    """
    found = camera.project(points)
    depth = found[:, 2]
    if float(depth.min()) < 0.1:
        return (0, camera.height, 0, camera.width) if float(depth.max()) > 0 else None
    reach = margin * float(camera.K[:2, :2].diagonal().max()) / depth
    low, high = found[:, :2] - reach[:, None], found[:, :2] + reach[:, None]
    left, top = (max(0, math.floor(value)) for value in low.amin(0).tolist())
    right, bottom = (math.ceil(value) + 1 for value in high.amax(0).tolist())
    right, bottom = min(camera.width, right), min(camera.height, bottom)
    return (top, bottom, left, right) if bottom > top and right > left else None
