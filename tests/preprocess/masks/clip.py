"""A filmed toy: it moves before a textured wall, and a network has masked it coarsely."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from hashhuman.data.subject import SubjectWriter
from preprocess.keypoints.points import Keypoints, points_path, segmentation_folder
from preprocess.raster import rasterise
from tests import toy

SIZE, UNIT = 144, 3.0
SPEED = 0.25  # of the toy, whose own pictures are far apart
BYSTANDER = np.s_[20:70, 4:20]


@dataclasses.dataclass(frozen=True)
class FilmedToy:
    """What `film` wrote, and the truth."""

    root: Path
    masks: list[np.ndarray]  # H x W bool, exact
    networks: list[np.ndarray]  # H x W uint8


def wall(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Smooth blotches of every colour, 8 bits."""
    blotches = cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), 5)
    return (128 + 45 * blotches / blotches.std()).clip(0, 255).astype(np.uint8)


def film(root: Path, frames: int = 8, drift: int = 0, absent: tuple[int, ...] = ()) -> FilmedToy:
    """Writes pictures, keypoints and the exact body of a toy before a wall that drifts by `drift` pixels a picture.

    The network is a blurred truth of `UNIT` pixels a cell; in picture 3 it loses a band of the person; a bystander at
    the left makes it doubt. In `absent` pictures it sees nobody.
    """
    rng = np.random.default_rng(0)
    body, view, writer = toy.template(), toy.camera(0, SIZE), SubjectWriter(root)
    scene = wall(rng, SIZE, SIZE + frames * abs(drift))
    scene[BYSTANDER] = [90, 60, 40]
    keypoints = Keypoints.empty(list(range(frames)))
    masks, networks, rows = [], [], []
    for frame in range(frames):
        vertices = toy.world_vertices(body, SPEED * frame)
        face = rasterise(view.project(vertices).numpy(), body.faces.numpy(), SIZE, SIZE)
        mask = face >= 0
        shade = (0.7 + 0.05 * (face % 6))[..., None]
        image = np.where(
            mask[..., None], toy.COLOURS[np.maximum(face, 0) // 12] * shade, scene[:, drift * frame :][:, :SIZE]
        )
        image = (image + rng.normal(0, 2, image.shape)).clip(0, 255).astype(np.uint8)

        cells = cv2.resize(mask.astype(np.float32), None, fx=1 / UNIT, fy=1 / UNIT, interpolation=cv2.INTER_AREA)
        network = cv2.resize(cv2.GaussianBlur(cells, (0, 0), 0.8), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
        network[BYSTANDER] = 0.7
        if frame == 3:
            network[75:81] = 0
        if frame in absent:
            network[:] = 0
        networks.append((255 * network.clip(0, 1)).round().astype(np.uint8))
        masks.append(mask)

        cv2.imwrite(str(_folder(segmentation_folder(root)) / f"{frame:06d}.png"), networks[-1])
        rows.append([writer.write_image(0, frame, image)])
        writer.write_pose(frame, toy.pose(SPEED * frame))
        writer.write_vertices(frame, vertices.numpy())
        keypoints.detected[frame] = frame not in absent
        keypoints.crop[frame] = np.diag([UNIT, UNIT, 1])
        points = view.project(vertices[:33]).numpy()[:, :2]
        keypoints.image_points[frame], keypoints.visibility[frame] = points, 1
    keypoints.save(points_path(root))
    writer.write_annots([view], [np.zeros(5)], rows)
    writer.write_template(body)
    return FilmedToy(root, masks, networks)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Of two masks."""
    return (a & b).sum() / (a | b).sum()


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
