"""Which pictures a video file shows, in which orientation, and when."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from preprocess.frames import decode
from preprocess.frames.decode import count_pictures, sample
from preprocess.frames.decode import decode as pictures
from preprocess.frames.notes import Notes
from preprocess.frames.orientation import upright
from tests.preprocess.clips import grey_levels, write_video

CORNERS = np.array([[0, 200, 0], [200, 0, 0], [0, 0, 0], [0, 0, 200]])  # green, red (top), black, blue (bottom)


def level(image: np.ndarray) -> int:
    """Which of `grey_levels` a picture is."""
    return round((float(image[-4, -4].mean()) - 30) / 10)


def cornered(height: int = 48, width: int = 64) -> np.ndarray:
    """A grey picture whose corners have the four colours."""
    image = np.full((height, width, 3), 120, np.uint8)
    image[:16, :16], image[:16, -16:], image[-16:, :16], image[-16:, -16:] = CORNERS
    return image


def corners(image: np.ndarray) -> np.ndarray:
    return np.array([image[6, 6], image[6, -7], image[-7, 6], image[-7, -7]]).astype(int)


def set_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Writes the display matrix of an mp4 file: x' = a x + c y, y' = b x + d y."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    numbers = (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    data[start : start + 36] = b"".join(n.to_bytes(4, "big", signed=True) for n in numbers)
    path.write_bytes(data)


@pytest.mark.parametrize("along", [True, False])
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=2)))
def test_every_turn_and_mirror_of_a_display_matrix(along, signs, tmp_path):
    """What is shown has each pixel where the matrix sends it, moved into the picture."""
    coded = cornered()
    path = write_video(tmp_path / "clip.mp4", [coded] * 3)
    s, t = signs
    a, b, c, d = (s, 0, 0, t) if along else (0, s, t, 0)
    set_matrix(path, a, b, c, d)
    shown = next(pictures(path)).image
    height, width = coded.shape[:2]
    assert shown.shape[:2] == ((height, width) if along else (width, height))
    expected = np.zeros_like(shown)
    for y, x in itertools.product(range(height), range(width)):
        to_x, to_y = a * x + c * y, b * x + d * y
        row = to_y if b + d > 0 else to_y + shown.shape[0] - 1
        column = to_x if a + c > 0 else to_x + shown.shape[1] - 1
        expected[row, column] = coded[y, x]
    assert np.abs(corners(shown) - corners(expected)).max() < 12


def test_pixels_that_are_not_square():
    assert upright(np.zeros((48, 64, 3), np.uint8), np.array([[0, 1], [1, 0]]), 1.5).shape == (96, 48, 3)


def test_a_cover_picture_is_not_the_film(tmp_path):
    path = tmp_path / "cover.mkv"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 320, 320, "yuvj420p"
        film = container.add_stream("libx264", rate=25, options={"crf": "10"})
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.full((320, 320, 3), 9, np.uint8), format="rgb24")))
        container.mux(cover.encode())
        for picture in grey_levels(8):
            container.mux(film.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(film.encode())
    assert [level(picture.image) for picture in pictures(path)] == list(range(8))
    assert count_pictures(path) == 8


def trimmed(path: Path, hidden: int) -> None:
    """Has an mp4's edit list begin after `hidden` pictures, 40 ms apart."""
    data = bytearray(path.read_bytes())
    start = data.index(b"elst") + 4
    assert data[start] == 0
    media_time = start + 12
    unit = 12800 if b"mdhd" not in data else int.from_bytes(data[data.index(b"mdhd") + 16 :][:4], "big")
    before = int.from_bytes(data[media_time : media_time + 4], "big", signed=True)
    data[media_time : media_time + 4] = (before + hidden * unit // 25).to_bytes(4, "big", signed=True)
    path.write_bytes(data)


def test_pictures_that_an_edit_list_hides_do_not_count(tmp_path):
    path = write_video(tmp_path / "clip.mp4", grey_levels(12))
    trimmed(path, 5)
    notes = Notes()
    found = list(pictures(path, notes=notes))
    assert [level(picture.image) for picture in found] == [5, 6, 7, 8, 9, 10, 11]
    assert [picture.index for picture in found] == list(range(7)) and count_pictures(path) == 7
    assert found[0].seconds == 0 and not notes.lines()


def test_numbers_and_times_at_a_varying_rate(tmp_path, monkeypatch):
    """Half of the pictures come in the first fifth of the time; the first comes late."""
    ticks = [700 + 20 * i for i in range(10)] + [1000 + 100 * i for i in range(10)]
    path = write_video(tmp_path / "clip.mkv", grey_levels(20), ticks)
    straight = list(pictures(path))
    assert [round(1000 * picture.seconds) for picture in straight] == [tick - 700 for tick in ticks]
    monkeypatch.setattr(decode, "_SHORT", 0)
    for picture in sample(path, [0, 3, 9, 10, 14, 19]):
        assert level(picture.image) == picture.index and picture.seconds == straight[picture.index].seconds


def test_interlaced_material_is_said(tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"crf": "10", "flags": "+ilme+ildct"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for picture in grey_levels(5, 64, 64):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    notes = Notes()
    assert len(list(pictures(path, notes=notes))) == 5
    assert [line.split(":")[0] for line in notes.lines()] == ["interlaced"]


def test_high_dynamic_range_is_said(tmp_path):
    path = tmp_path / "clip.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        stream.codec_context.colorspace, stream.codec_context.color_trc = 9, 18
        stream.codec_context.color_primaries = 9
        white = av.VideoFrame(64, 48, "yuv420p10le")
        for plane, value in zip(white.planes, (721, 512, 512)):  # HLG's reference white: 75 %
            plane.update(np.full(plane.height * plane.line_size // 2, value, np.uint16).tobytes())
        for index in range(3):
            white.pts = index
            container.mux(stream.encode(white))
        container.mux(stream.encode())
    notes = Notes()
    assert next(pictures(path, notes=notes)).image[20, 20].tolist() == [255, 255, 255]
    assert "high dynamic range (HLG)" in notes.lines()[0]
