"""The cache of decoded pictures."""

import logging
import os

import cv2
import numpy as np
import pytest

from hashhuman.data import pixel_cache
from hashhuman.data.datamodule import SubjectDataModule
from hashhuman.data.pixel_cache import PixelCache
from hashhuman.data.pixels import Crops
from tests.hashhuman.data.test_datamodule import made


def crops(value: int, count: int = 1000) -> Crops:
    """Crops whose pixels all have one value."""
    grey = np.full(count, value, np.uint8)
    return Crops(
        color=np.repeat(grey[:, None], 3, 1), mask=grey, around=grey > 0, part=grey,
        corner=np.array([[1, 2]]), size=np.array([[count, 1]]),
    )  # fmt: skip


def equal(a: Crops, b: Crops) -> bool:
    return all(np.array_equal(x, getattr(b, name)) for name, x in vars(a).items())


def decoded(data: SubjectDataModule, monkeypatch: pytest.MonkeyPatch) -> tuple[Crops, int]:
    """The crops, and the number of pictures decoded for them."""
    seen, true = [], data.training_picture
    monkeypatch.setattr(data, "training_picture", lambda picture: seen.append(picture) or true(picture))
    return data.crops()[0], len(seen)


def test_the_second_run_decodes_nothing_and_sees_the_same(toy_copy, monkeypatch):
    first, count = decoded(made(toy_copy, cache_mb=1), monkeypatch)
    second, none = decoded(made(toy_copy, cache_mb=1), monkeypatch)
    assert (count, none) == (2, 0) and equal(first, second)
    assert [path.suffix for path in (toy_copy / "cache").iterdir()] == [".npz"]


def test_it_can_be_turned_off(toy_copy, monkeypatch):
    for _ in range(2):
        assert decoded(made(toy_copy, cache_mb=0), monkeypatch)[1] == 2
    assert not (toy_copy / "cache").exists()


@pytest.mark.parametrize("pattern", ["images/00/*", "mask/00/*", "schp/00/*", "smpl_vertices/*", "smpl_params/*"])
def test_a_changed_file_is_read_again(toy_copy, monkeypatch, pattern: str):
    made(toy_copy, cache_mb=1).crops()[0]
    path = sorted(toy_copy.glob(pattern))[0]
    path.write_bytes(path.read_bytes())
    assert decoded(made(toy_copy, cache_mb=1), monkeypatch)[1] == 2


def test_not_even_size_and_time_deceive_it(toy_copy, monkeypatch):
    path = sorted(toy_copy.glob("images/00/*"))[0]
    image, uncompressed = cv2.imread(str(path)), [cv2.IMWRITE_PNG_COMPRESSION, 0]
    cv2.imwrite(str(path), image, uncompressed)
    state, before = path.stat(), made(toy_copy, cache_mb=1).crops()[0]
    cv2.imwrite(str(path), image // 2, uncompressed)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    after, count = decoded(made(toy_copy, cache_mb=1), monkeypatch)
    assert count == 2 and not equal(before, after)


@pytest.mark.parametrize("changes", [{"max_size": 24}, {"reach": 0.2}, {"train_frames": 1}, {"train_cameras": [1]}])
def test_other_settings_have_files_of_their_own(toy_copy, monkeypatch, changes: dict):
    made(toy_copy, cache_mb=1).crops()[0]
    other = made(toy_copy, cache_mb=1, **changes)
    found, count = decoded(other, monkeypatch)
    assert count == len(other.splits["train"])
    assert equal(found, made(toy_copy, **changes).crops()[0])
    assert decoded(made(toy_copy, cache_mb=1), monkeypatch)[1] == 0  # and the first is still there


@pytest.mark.parametrize("content", [b"", b"PK\3\4 half a file", b"x" * 5000])
def test_a_damaged_file_is_made_again(toy_copy, monkeypatch, content: bytes):
    first = made(toy_copy, cache_mb=1).crops()[0]
    (path,) = (toy_copy / "cache").iterdir()
    for damage in (content, path.read_bytes()[:-300]):
        path.write_bytes(damage)
        again, count = decoded(made(toy_copy, cache_mb=1), monkeypatch)
        assert count == 2 and equal(first, again)
    assert decoded(made(toy_copy, cache_mb=1), monkeypatch)[1] == 0


def test_a_file_of_another_stamp_is_not_believed(tmp_path):
    cache = PixelCache(tmp_path, 1)
    cache.put("mine", crops(3))
    cache._path("mine").rename(cache._path("yours"))
    assert cache.get("yours") is None and cache.get("mine") is None


def test_the_least_used_goes_first(tmp_path):
    size = 7000 / pixel_cache.MIB
    cache = PixelCache(tmp_path, 2.8 * size)
    for value, stamp in enumerate(("a", "b")):
        cache.put(stamp, crops(value))
        os.utime(cache._path(stamp), (value, value))
    assert equal(cache.get("a"), crops(0))  # used again
    cache.put("c", crops(2))
    assert cache.get("b") is None and equal(cache.get("a"), crops(0)) and equal(cache.get("c"), crops(2))
    cache.put("large", crops(1, 4000))
    assert cache.get("large") is None and cache.get("c") is not None


def test_a_folder_that_takes_no_files_is_said_and_passed_over(tmp_path, caplog):
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        PixelCache(tmp_path / "file/cache", 1).put("a", crops(1))
    assert "not kept for the next run" in caplog.text
