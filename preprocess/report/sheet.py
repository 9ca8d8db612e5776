"""The contact sheet: the results of all stages on a few pictures of the clip."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from rich.progress import Progress

from hashhuman.data.subject import Picture, Subject
from hashhuman.geometry.camera import Camera
from hashhuman.io import threads
from hashhuman.io.files import load_npz, write_image
from preprocess.frames.images import CAMERA
from preprocess.keypoints.draw import draw_points
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.masks.draw import draw_edge, draw_parts
from preprocess.raster import rasterise
from preprocess.stage import Stage

_ROWS = "points", "body", "mask", "parts"
_BODY = np.array([120, 190, 255])  # RGB
_MARGIN = 0.08  # of the person's size, on each side
_GAP = 4  # pixels between cells
_TEXT = 22  # pixels: height of a line of text


class ContactSheet(Stage):
    """Draws `contact_sheet.png`, with a row for each kind of result and a column for each picture.

    Args:
        columns: how many pictures, evenly spaced over the clip.
        row_height: of a row (pixels).
        force: run even if nothing has changed.
    """

    name: ClassVar[str] = "report"

    def __init__(self, columns: int = 6, row_height: int = 320, force: bool = False) -> None:
        self.columns, self.row_height = columns, row_height
        self.force = force

    def inputs(self, subject: Path) -> list[Path]:
        names = "images", "annots.npy", "smpl_vertices", "mask", "schp", "body_fit.npz"
        return [points_path(subject), subject / "smpl_lbs" / "faces.npy", *(subject / name for name in names)]

    def outputs(self, subject: Path) -> list[Path]:
        return [subject / "contact_sheet.png"]

    def settings(self) -> dict[str, Any]:
        return {"columns": self.columns, "row_height": self.row_height}

    def run(self, subject: Path, progress: Progress) -> str:
        reader = Subject(subject)
        fit = load_npz(subject / "body_fit.npz") if (subject / "body_fit.npz").exists() else {}
        chosen = np.unique(np.linspace(0, len(reader.pictures) - 1, self.columns).round().astype(int))
        pictures = [reader.pictures[i] for i in chosen]
        points = {camera: points_path(subject, camera) for camera in {picture.camera for picture in pictures}}
        keypoints = {camera: Keypoints.load(path) for camera, path in points.items() if path.exists()}

        def draw(picture: Picture) -> _Column:
            seen = keypoints.get(picture.camera)
            return _Column.draw(reader, picture, seen, fit if picture.camera == CAMERA else {})

        drawn = threads.ordered(draw, pictures)
        columns = list(progress.track(drawn, total=len(pictures), description="contact sheet"))
        write_image(subject / "contact_sheet.png", _assemble(columns, self.row_height))
        return f"{len(columns)} pictures, from the points to the parts"


@dataclasses.dataclass(frozen=True)
class _Column:
    """The results of all stages on one picture."""

    drawings: list[UInt8[np.ndarray, "H W 3"]]  # one for each row
    caption: list[str]
    center: Float[np.ndarray, "2"]  # x, y of the middle of the person (pixels)
    size: Float[np.ndarray, "2"]  # width and height of the person (pixels)

    @staticmethod
    def draw(reader: Subject, picture: Picture, keypoints: Keypoints | None, fit: dict[str, np.ndarray]) -> "_Column":
        image, mask, camera = reader.image(picture), reader.mask(picture) > 0.5, reader.camera(picture.camera)
        body, overlay = draw_body(image, camera, reader.vertices(picture.frame), reader.template().faces.numpy())
        caption = [f"frame {picture.frame}", f"body and mask: IoU {_iou(body, mask):.2f}"]
        points = image
        if keypoints is not None:
            for row in np.flatnonzero((keypoints.frames == picture.frame) & keypoints.detected):
                points = draw_points(image, keypoints.image_points[row], keypoints.visibility[row])
        for row in np.flatnonzero(fit.get("frames", np.zeros(0)) == picture.frame):
            off = fit["reprojection_error"][row]
            flags = [flag for flag in ("interpolated", "flipped") if flag in fit and fit[flag][row]]
            caption.append(" ".join([f"points off by {off:.1f} px"] * bool(np.isfinite(off)) + flags))
        rows, columns = np.nonzero(mask | body)
        low, high = (np.array([f(columns), f(rows)]) if len(rows) else np.zeros(2) for f in (np.min, np.max))
        drawings = [points, overlay, draw_edge(image, mask), draw_parts(image, reader.parts(picture))]
        return _Column(drawings, caption, (low + high) / 2, (high - low).astype(float))


def draw_body(
    image: UInt8[np.ndarray, "H W 3"],
    camera: Camera,
    vertices: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
) -> tuple[Bool[np.ndarray, "H W"], UInt8[np.ndarray, "H W 3"]]:
    """The silhouette of a body (vertices in m, world), and the picture (8-bit RGB) with the shaded body over it."""
    face = rasterise(camera.project(torch.from_numpy(vertices)).numpy(), faces, camera.height, camera.width)
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    facing = np.abs(normals @ camera.R.numpy()[2])  # 1 where the surface faces the camera
    shade = (0.25 + 0.75 * facing)[face, None] * _BODY
    body = face >= 0
    return body, np.where(body[..., None], 0.3 * image + 0.7 * shade, image).astype(np.uint8)


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def _assemble(columns: list[_Column], row_height: int) -> UInt8[np.ndarray, "H W 3"]:
    """Cuts every column to the same size around its person, and arranges the sheet."""
    width, height = np.max([column.size for column in columns], axis=0) * (1 + 2 * _MARGIN) + 1
    width = max(width, 0.6 * height)  # so that captions fit
    scale = row_height / height
    cell = round(width * scale), row_height
    strips = []
    for column in columns:
        corner = column.center - np.array([width, height]) / 2
        matrix = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
        cells = [cv2.warpAffine(_smooth(drawn, scale), matrix, cell) for drawn in column.drawings]
        text = np.zeros((3 * _TEXT + _GAP, cell[0], 3), np.uint8)
        for line, words in enumerate(column.caption):
            _write(text, words, (0, _TEXT * (line + 1) - 6))
        strips.append(np.concatenate([text, *(_pad(c) for c in cells)]))
    names = np.zeros((strips[0].shape[0], 80, 3), np.uint8)
    for row, name in enumerate(_ROWS):
        _write(names, name, (6, 3 * _TEXT + _GAP + row * (row_height + _GAP) + row_height // 2))
    return np.concatenate([names, *(np.pad(strip, ((0, 0), (0, _GAP), (0, 0))) for strip in strips)], 1)


def _smooth(image: np.ndarray, scale: float) -> np.ndarray:
    """Removes detail that would alias when the picture is shrunk by `scale`."""
    return cv2.GaussianBlur(image, (0, 0), 0.4 / scale) if scale < 1 else image


def _pad(cell: np.ndarray) -> np.ndarray:
    return np.pad(cell, ((0, _GAP), (0, 0), (0, 0)))


def _write(image: np.ndarray, words: str, place: tuple[int, int]) -> None:
    cv2.putText(image, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (230, 230, 230), 1, cv2.LINE_AA)
