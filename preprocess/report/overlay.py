"""A video of the clip with the fitted body drawn over it."""

import dataclasses
import math
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from rich.progress import Progress

from hashhuman.data.subject import Picture, Subject
from hashhuman.geometry.camera import Camera
from hashhuman.io import threads
from hashhuman.io.video import write_video
from preprocess.body_fit.pictures import face_colours, shade
from preprocess.frames.images import CAMERA

_MARGIN = 0.1  # of the longer side of the box around the body in all frames
_WIDEST = 2  # greatest ratio of the video's width to its greatest height
_SLOWEST = 5.0  # pictures per second


@dataclasses.dataclass(frozen=True)
class Crop:
    """Cuts the same part out of every picture and shrinks it."""

    left: int
    top: int
    camera: Camera
    """The camera of the cut and shrunk picture."""
    width: int
    """Of the part before it is shrunk (pixels), like `height`."""
    height: int

    @staticmethod
    def around(pixels: Float[np.ndarray, "N 2"], camera: Camera, tallest: int) -> "Crop":
        """The box around pixels of the picture, limited to the picture.

        It is shrunk to at most `tallest` pixels in height, and to even sides, which H.264 requires.
        """
        size = np.array([camera.width, camera.height])
        low, high = pixels.min(0), pixels.max(0)
        margin = _MARGIN * (high - low).max()
        left, top = np.clip(low - margin, 0, size - 2).astype(int).tolist()
        right, bottom = np.clip(np.ceil(high + margin), (left + 2, top + 2), size).astype(int).tolist()
        width, height = right - left, bottom - top
        scale = min(1.0, tallest / height, _WIDEST * tallest / width)
        K = camera.K.clone()
        K[:2, 2] -= torch.tensor([left, top])
        ratio = torch.tensor([max(2 * round(side * scale / 2), 2) / side for side in (width, height)])
        K[:2] *= ratio[:, None]
        K[:2, 2] += 0.5 * ratio - 0.5
        shown = dataclasses.replace(
            camera, K=K, width=round(width * ratio[0].item()), height=round(height * ratio[1].item())
        )
        return Crop(left, top, shown, width, height)

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """The part of a picture (8-bit RGB)."""
        part = image[self.top : self.top + self.height, self.left : self.left + self.width]
        return cv2.resize(part, (self.camera.width, self.camera.height), interpolation=cv2.INTER_AREA)


def pictures_a_second(reader: Subject) -> float | None:
    """The rate of the subject's pictures; None if it was not made from a video that has times."""
    seconds = reader.meta.get("video", {}).get("seconds", [])
    usual = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 0.0
    return 1 / usual if usual > 0 else None


def write_overlay(reader: Subject, path: Path, tallest: int, most: int, progress: Progress) -> None:
    """Writes the video (H.264), with the person's left limbs in orange and the right ones in blue.

    Args:
        reader: of the subject.
        path: the .mp4 file.
        tallest: greatest height (pixels).
        most: greatest number of pictures; of a longer clip, every n-th picture is shown.
        progress: shows a progress bar.
    """
    pictures = [picture for picture in reader.pictures if picture.camera == CAMERA]
    step = math.ceil(len(pictures) / most)
    pictures = pictures[::step]
    template, camera = reader.template(), reader.camera(CAMERA)
    faces = template.faces.numpy()
    colours = face_colours(faces, template.lbs_weights.numpy(), template.joint_names)
    vertices = [reader.vertices(picture.frame) for picture in pictures]
    places = [camera.project(torch.from_numpy(v[::10])).numpy()[:, :2] for v in vertices]
    crop = Crop.around(np.concatenate(places), camera, tallest)

    def draw(pair: tuple[Picture, np.ndarray]) -> np.ndarray:
        picture, body = pair
        image = crop(reader.image(picture))
        drawn, mask = shade(body, faces, colours, crop.camera)
        return np.where(mask[..., None], cv2.addWeighted(image, 0.45, drawn, 0.55, 0), image)

    rate = max((pictures_a_second(reader) or 25) / step, _SLOWEST)
    frames = threads.ordered(draw, zip(pictures, vertices))
    write_video(path, progress.track(frames, total=len(pictures), description="overlay"), round(rate))
