"""Pictures of the fitted body: over the video's pictures, and from the side, where errors in depth are visible."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from hashhuman.body.template import BodyTemplate
from hashhuman.geometry.camera import Camera
from hashhuman.io import threads
from hashhuman.io.files import read_rgb, write_image
from preprocess.raster import rasterise

SIDE_COLOURS = {
    "left": (255, 150, 20),
    "right": (40, 130, 255),
    "": (200, 200, 190),
}  # RGB, as in keypoints/draw.py


def draw_sequence(
    paths: Mapping[int, Path], vertices: Sequence[np.ndarray], template: BodyTemplate, camera: Camera,
    folder: Path, count: int,
) -> None:  # fmt: skip
    """Writes about `count` evenly spaced pictures to a folder.

    Args:
        paths: the pictures by frame number.
        vertices: (V, 3) of each of those frames, in order (m, world).
        template: the body.
        camera: the camera of the pictures.
        folder: where to write FFFFFF.jpg.
        count: how many to write.
    """
    faces = template.faces.numpy()
    colours = face_colours(faces, template.lbs_weights.numpy(), template.joint_names)
    frames = list(paths)

    def draw(row: int) -> None:
        image = read_rgb(paths[frames[row]])
        write_image(folder / f"{frames[row]:06d}.jpg", overlay(image, vertices[row], faces, colours, camera))

    for _ in threads.ordered(draw, np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))):
        pass


def face_colours(
    faces: Int[np.ndarray, "F 3"], lbs_weights: Float[np.ndarray, "V J"], joint_names: tuple[str, ...]
) -> Float[np.ndarray, "F 3"]:
    """RGB (0 to 255) of the faces: the person's left limbs are orange, the right ones blue, the rest is grey."""
    limbs = ("shoulder", "elbow", "wrist", "hand", "hip", "knee", "ankle", "foot")
    sides = [n.partition("_")[0] if n.rpartition("_")[2] in limbs and "_" in n else "" for n in joint_names]
    owner = lbs_weights[faces].sum(1).argmax(1)
    return np.array([SIDE_COLOURS[s] for s in sides], np.float64)[owner]


def shade(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], colours: Float[np.ndarray, "F 3"], camera: Camera
) -> tuple[UInt8[np.ndarray, "H W 3"], np.ndarray]:
    """Renders the body with a light at the camera: the picture (RGB, black where there is no body), and a boolean mask.

    Vertices are in metres (world), colours from 0 to 255.
    """
    pixels = camera.project(torch.as_tensor(vertices, dtype=torch.float32)).numpy()
    seen = rasterise(pixels, faces, camera.height, camera.width)
    a, b, c = vertices[faces].transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
    towards = camera.center.numpy() - (a + b + c) / 3
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    light = 0.35 + 0.65 * np.abs((normals * towards).sum(1))
    return np.where(seen[..., None] >= 0, (colours * light[:, None])[seen], 0).astype(np.uint8), seen >= 0


def overlay(
    image: UInt8[np.ndarray, "H W 3"], vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"],
    colours: Float[np.ndarray, "F 3"], camera: Camera,
) -> UInt8[np.ndarray, "H W2 3"]:  # fmt: skip
    """Three pictures side by side: the original, the body drawn over it, and the body from a quarter turn to the side.

    Vertices are in metres (world), colours from 0 to 255.
    """
    body, mask = shade(vertices, faces, colours, camera)
    mixed = np.where(mask[..., None], cv2.addWeighted(image, 0.35, body, 0.65, 0), image)
    side, _ = shade(vertices, faces, colours, side_camera(camera, vertices.mean(0)))
    return np.concatenate([image, mixed, side], 1)


def side_camera(camera: Camera, middle: Float[np.ndarray, "3"]) -> Camera:
    """The camera after a quarter turn around the vertical line through a point (m, world), at the same distance."""
    quarter = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # about the picture's vertical axis
    at = camera.R @ torch.as_tensor(middle, dtype=torch.float32) + camera.T  # in camera space
    centred = torch.stack([torch.zeros(()), at[1], at[2]])  # horizontally, the point moves to the middle of the picture
    # camera space -> side view: x -> quarter (x - at) + centred
    return Camera(camera.K, quarter @ camera.R, quarter @ (camera.T - at) + centred, camera.height, camera.width)
