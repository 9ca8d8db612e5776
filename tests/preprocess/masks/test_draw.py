"""Pictures of masks and parts: one for each picture that is drawn."""

import numpy as np

from hashhuman.data.subject import Subject
from hashhuman.io.files import read_image
from preprocess.masks.draw import draw_stage
from tests import toy


def test_every_camera_keeps_its_drawings(toy_folder, tmp_path):
    subject = Subject(toy_folder)
    draw_stage(subject, tmp_path, len(subject.pictures))
    drawn = {path.relative_to(tmp_path).with_suffix("").as_posix() for path in tmp_path.rglob("*.jpg")}
    assert drawn == {f"{p.camera:02d}/{p.frame:06d}" for p in subject.pictures} and len(drawn) == 12
    first, second = (read_image(tmp_path / f"{camera:02d}/000003.jpg") for camera in range(2))
    mask = subject.mask(next(p for p in subject.pictures if (p.camera, p.frame) == (1, 3))) > 0.5
    assert not np.array_equal(first, second) and second.shape[1] == 2 * mask.shape[1]
    assert second[:, : mask.shape[1]][mask].mean() > 4 * second[:, : mask.shape[1]][~mask].mean()


def test_one_camera_needs_no_folder(tmp_path):
    subject = Subject(toy.write_subject(tmp_path / "toy", n_frames=3, n_cameras=1))
    draw_stage(subject, tmp_path / "drawn", 2)
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["000000.jpg", "000002.jpg"]
