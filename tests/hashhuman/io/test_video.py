"""Videos and animations: what is in the file, read back by imageio and by PyAV."""

import sys
from collections.abc import Iterator
from pathlib import Path

import av
import imageio.v3 as iio
import numpy as np
import pytest

from hashhuman.errors import UserError
from hashhuman.io.video import moving_picture, write_video

COLOURS = np.array([[250, 20, 20], [20, 250, 20], [20, 20, 250], [250, 250, 20], [20, 250, 250], [5, 5, 5]], np.uint8)
FRAMES = [np.tile(colour, (40, 64, 1)) for colour in COLOURS]
for i, frame in enumerate(FRAMES):
    frame[16:24, 8 * i : 8 * i + 8] = 255  # it moves, so that the order shows


def moving() -> Iterator[np.ndarray]:
    yield from FRAMES


@pytest.mark.parametrize(("suffix", "plugin", "tolerance"), [(".mp4", "pyav", 16), (".gif", "pillow", 0)])
def test_frames_come_back(tmp_path: Path, suffix: str, plugin: str, tolerance: int):
    path = tmp_path / "new" / f"video{suffix}"
    write_video(path, moving(), fps=10)
    found = iio.imread(path, plugin=plugin, index=...)
    assert found.shape == (6, 40, 64, 3) and found.dtype == np.uint8
    error = abs(found.astype(int) - np.stack(FRAMES))
    assert error.mean() <= tolerance / 4
    assert error[:, 4:12, 4:-4].max() <= tolerance and error[range(6), 20, 8 * np.arange(6) + 4].max() <= tolerance
    assert [item.name for item in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_moving_picture_is_a_small_gif_that_lasts_as_long(tmp_path: Path, suffix: str):
    write_video(tmp_path / f"video{suffix}", moving(), fps=10)
    content, height, width = moving_picture(tmp_path / f"video{suffix}", height=20, most=3)
    found = iio.imread(content, extension=".gif", index=...)
    assert (height, width) == (20, 32) and found.shape == (3, 20, 32, 3)
    assert iio.immeta(content, extension=".gif")["duration"] == 200  # milliseconds: every other of six frames
    assert abs(found[:, 3, 16].astype(int) - COLOURS[::2]).max() <= 24


def test_an_mp4_is_h264_of_constant_quality_with_its_header_first(tmp_path: Path):
    write_video(tmp_path / "video.mp4", moving(), fps=24)
    with av.open(str(tmp_path / "video.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.average_rate, stream.frames, stream.width, stream.height) == (24, 6, 64, 40)
        times = [frame.time for frame in container.decode(stream)]
    np.testing.assert_allclose(times, np.arange(6) / 24, atol=1e-4)
    content = (tmp_path / "video.mp4").read_bytes()
    assert b" crf=18.0 " in content  # x264 writes its settings into the stream
    assert b" mbtree=0 " in content  # with it, files differ where there is AVX-512
    assert 0 < content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize(("fps", "milliseconds"), [(10, 100), (24, 40), (30, 30), (60, 20), (90, 20)])
def test_a_gif_repeats_at_a_rate_that_browsers_keep(tmp_path: Path, fps: int, milliseconds: int):
    write_video(tmp_path / "video.gif", moving(), fps=fps)
    meta = iio.immeta(tmp_path / "video.gif", plugin="pillow", index=0)
    assert meta["duration"] == milliseconds and meta["loop"] == 0


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_the_same_frames_make_the_same_file(tmp_path: Path, suffix: str):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(8)]
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    write_video(first, frames, fps=12)
    write_video(second, iter(frames), fps=12)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_failure_leaves_the_old_file(tmp_path: Path, suffix: str):
    def broken() -> Iterator[np.ndarray]:
        yield FRAMES[0]
        raise RuntimeError("no more")

    path = tmp_path / f"video{suffix}"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="no more"):
        write_video(path, broken(), fps=10)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("module", ["av", "imageio.plugins.pyav"])
def test_a_missing_package_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"video\.mp4 needs the package {module.partition('.')[0]}, which is not"):
        write_video(tmp_path / "video.mp4", moving(), fps=10)
    assert not list(tmp_path.iterdir())


def test_another_suffix_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"one of \.mp4, \.gif"):
        write_video(tmp_path / "video.avi", moving(), fps=10)
