"""What a static camera sees without the person."""

import numpy as np

from hashhuman.data.subject import Subject, SubjectWriter
from preprocess.masks.plate import measure_plate
from tests import toy

SIZE, FRAMES = 64, 9


def walker(root, noise: float) -> np.ndarray:
    """Writes a grey square that walks right and never leaves the last rows; returns the wall behind it."""
    rng, writer = np.random.default_rng(0), SubjectWriter(root)
    wall = rng.integers(40, 200, (SIZE, SIZE, 3)).astype(np.float32)
    paths = []
    for frame in range(FRAMES):
        mask = np.zeros((SIZE, SIZE), np.float32)
        mask[10:20, 2 + 6 * frame : 8 + 6 * frame] = 1
        mask[-2:] = 1
        image = np.where(mask[..., None] > 0, 250, wall + rng.normal(0, noise, wall.shape))
        paths.append([writer.write_image(0, frame, np.rint(image).clip(0, 255).astype(np.uint8))])
        writer.write_mask(0, frame, mask)
    writer.write_annots([toy.camera(0, SIZE)], [np.zeros(5)], paths)
    return wall


def test_is_the_wall_with_its_noise_and_unknown_where_the_person_always_stands(tmp_path):
    wall = walker(tmp_path, noise=4.0)
    subject = Subject(tmp_path)
    plate = measure_plate(subject, subject.pictures)
    assert not plate.known[-7:].any()  # the last rows, and 5 pixels around them
    assert plate.known[:-8].all()
    error = plate.colour[:-8] - wall[:-8]
    assert np.abs(error).mean() < 3 and np.abs(error).max() < 15  # nothing of the person, who is brighter by 50
    assert 3 < plate.noise[:-8].mean() < 5


def test_a_picture_without_noise_has_none(tmp_path):
    wall = walker(tmp_path, noise=0.0)
    subject = Subject(tmp_path)
    plate = measure_plate(subject, subject.pictures)
    np.testing.assert_array_equal(plate.colour[plate.known], wall[plate.known])
    assert not plate.noise.any()
