"""Some pictures of a video, without decoding all of it."""

from pathlib import Path

import av
import numpy as np
import pytest

from hashhuman.errors import UserError
from preprocess.frames import decode
from preprocess.frames.decode import pictures_a_second, sample
from preprocess.frames.monocular import VideoFrames
from preprocess.frames.notes import Notes
from tests.preprocess.clips import damage, grey_levels, turn, write_video

LEVEL = (-4, -4)  # a pixel away from the white corner


def levels(images: list[np.ndarray]) -> list[int]:
    """Which of `grey_levels` each is."""
    return [round((float(image[LEVEL].mean()) - 30) / 10) for image in images]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", grey_levels(20))


@pytest.mark.parametrize("chosen", [[0, 7, 13, 19], [19], [3, 4, 5], []])
def test_the_pictures_asked_for(clip: Path, chosen: list[int]):
    pictures = sample(clip, chosen)
    assert levels([picture.image for picture in pictures]) == chosen
    assert [picture.index for picture in pictures] == chosen


@pytest.mark.parametrize("name", ["clip.avi", "clip.mkv", "clip.mpg"])
def test_other_containers(tmp_path: Path, name: str):
    assert levels([picture.image for picture in sample(write_video(tmp_path / name, grey_levels(12)), [2, 9])]) == [
        2,
        9,
    ]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_in_a_long_video(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decode, "_SHORT", 0)
    clip = write_video(tmp_path / name, grey_levels(20))
    assert levels([picture.image for picture in sample(clip, [2, 9, 19])]) == [2, 9, 19]
    assert levels([picture.image for picture in sample(clip, [50])]) == []


def test_key_pictures_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decode, "_SHORT", 0)
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "10", "g": "4"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for picture in grey_levels(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    assert levels([picture.image for picture in sample(path, [1, 6, 11, 18])]) == [1, 6, 11, 18]
    assert pictures_a_second(path) == 10


def test_turned_pictures_stand_upright(clip: Path, tmp_path: Path):
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(clip.read_bytes())
    turn(turned)
    assert sample(turned, [5])[0].image.shape == (64, 48, 3)


def test_a_picture_that_does_not_decode(tmp_path: Path):
    rng = np.random.default_rng(0)
    blocks = [np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(6)]
    clip = write_video(tmp_path / "broken.mp4", blocks)
    damage(clip, 3)
    notes = Notes()
    found = sample(clip, [0, 2, 5], notes)
    assert [picture.index for picture in found] == [0, 2]  # the sixth is made from the damaged fourth
    assert "3 pictures cannot be decoded, or are made from such ones, and are left out (3, 4, 5)" in notes.lines()[0]
    for picture in range(6):
        damage(clip, picture)
    with pytest.raises(UserError, match=r"broken\.mp4: nothing can be decoded"):
        sample(clip, [0, 5])


def test_a_stage_gives_what_it_is_going_to_write(clip: Path):
    found = VideoFrames(str(clip), start=4, stop=18, step=3, max_size=32).samples(3)["clip"]
    assert found.count == 5 and levels(found.images) == [4, 10, 16] and found.rate == pytest.approx(25 / 3)
    assert found.images[0].shape == (24, 32, 3)
    found = VideoFrames(str(clip)).samples(100)["clip"]
    assert found.count == len(found.images) == 20
    with pytest.raises(UserError, match="no pictures from 50 on"):
        VideoFrames(str(clip), start=50).samples(3)
