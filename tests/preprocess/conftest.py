"""A random generator, and a subject with three cameras."""

from pathlib import Path

import numpy as np
import pytest

from hashhuman.data.subject import SubjectWriter
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import write_image
from tests import toy


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def views() -> list[Camera]:
    return [toy.camera(index, 400) for index in range(3)]


@pytest.fixture
def several(tmp_path: Path, views) -> Path:
    """A subject of three cameras with blank pictures whose first pixel tells the camera and the frame."""
    writer, rows = SubjectWriter(tmp_path / "subject"), []
    for frame in range(4):
        rows.append([writer.image_path(camera, frame) for camera in range(3)])
        for camera, path in enumerate(rows[-1]):
            image = np.zeros((400, 400, 3), np.uint8)
            image[0, 0] = camera, frame, 0
            write_image(path, image)
    writer.write_annots(views, [np.zeros(5)] * 3, rows)
    return tmp_path / "subject"
