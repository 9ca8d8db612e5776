"""One camera of a subject as a subject of its own."""

import numpy as np
import torch
from rich.progress import Progress

from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.io.files import save_npz
from preprocess.frames.images import image_paths
from preprocess.keypoints.points import points_path, segmentation_folder
from preprocess.masks.cameras import CameraMasks
from preprocess.multiview.views import camera_count, open_view
from preprocess.stage import Stage, run_stage


def test_a_view_is_its_camera(toy_copy):
    whole, view = Subject(toy_copy), Subject(open_view(toy_copy, 1))
    assert camera_count(toy_copy) == 2 and view.camera_names == ["00"]
    for name in ("K", "R", "T"):
        torch.testing.assert_close(getattr(view.camera(0), name), getattr(whole.camera(1), name))
    theirs = [picture for picture in whole.pictures if picture.camera == 1]
    assert [picture.frame for picture in view.pictures] == [picture.frame for picture in theirs]
    for one, other in zip(view.pictures, theirs):
        np.testing.assert_array_equal(view.image(one), whole.image(other))
        np.testing.assert_array_equal(view.mask(one), whole.mask(other))
        np.testing.assert_array_equal(view.vertices(one.frame), whole.vertices(one.frame))
    assert list(image_paths(view.root)) == [0, 1]


def test_what_is_written_into_a_view_is_the_subjects(toy_copy):
    view = open_view(toy_copy, 1)
    before = Subject(toy_copy).mask(Subject(toy_copy).pictures[0])
    square = np.zeros(before.shape, np.float32)
    square[5:30, 10:40] = 1
    SubjectWriter(view).write_mask(0, 0, square)
    open_view(toy_copy, 1)  # again: nothing changes
    reader = Subject(toy_copy)
    masks = {picture.camera: reader.mask(picture) for picture in reader.pictures if picture.frame == 0}
    np.testing.assert_array_equal(masks[1], square)
    np.testing.assert_array_equal(masks[0], before)
    (segmentation_folder(view) / "x").write_text("")
    assert (toy_copy / "keypoints/segmentation/01/x").exists()


class FakeMasks(Stage):
    """Covers each picture by the number of its camera, which it can tell by nothing but its camera's place."""

    name = "masks"

    def inputs(self, subject):
        return [subject / "images", subject.parent / "given"]

    def outputs(self, subject):
        return [subject / "mask"]

    def settings(self):
        return {"kind": "fake"}

    def run(self, subject, progress):
        reader, writer = Subject(subject), SubjectWriter(subject)
        for picture in reader.pictures:
            share = float(abs(reader.camera(0).T[0]) % 1)
            writer.write_mask(0, picture.frame, np.full((64, 64), share, np.float32))
            writer.write_parts(0, picture.frame, np.zeros((64, 64), np.uint8))
        return f"{len(reader.pictures)} masks"


def test_masks_of_every_camera(toy_copy):
    save_npz(points_path(toy_copy), {})
    stage = CameraMasks(FakeMasks())
    assert toy_copy.parent / "given" in stage.inputs(toy_copy)
    with Progress(disable=True) as progress:
        assert run_stage(stage, toy_copy, progress) == "2 cameras: 2 masks"
    reader = Subject(toy_copy)
    assert len(reader.pictures) == 4
    for picture in reader.pictures:
        expected = float(abs(reader.camera(picture.camera).T[0]) % 1)
        np.testing.assert_allclose(reader.mask(picture), expected, atol=0.003)
