"""Reading refuses damaged files; writing leaves the old file or the new one."""

import errno
import io
import os
import pickle
import resource
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hashhuman.errors import UserError
from hashhuman.io import files, limits
from hashhuman.io.checkpoint import AtomicCheckpointIO
from hashhuman.io.video import write_video
from tests.hashhuman.io.plain import PLAIN, assert_plain


def test_npy_files_are_those_of_numpy(tmp_path: Path):
    """What is written is byte for byte what np.save writes, so other readers of the layout open it."""
    for value in (PLAIN["array"], {"poses": np.zeros((1, 15)), "ims": [{"ims": ["a"]}]}):
        files.save_npy(tmp_path / "x.npy", value)
        expected = io.BytesIO()
        np.save(expected, np.asanyarray(value))
        assert (tmp_path / "x.npy").read_bytes() == expected.getvalue()


def test_npy_round_trip(tmp_path: Path):
    files.save_npy(tmp_path / "dict.npy", PLAIN)
    assert_plain(files.load_npy(tmp_path / "dict.npy"))
    assert b"_Array" not in pickle.dumps(files.load_npy(tmp_path / "dict.npy"))  # a worker gets plain arrays
    files.save_npy(tmp_path / "fortran.npy", PLAIN["fortran"])
    np.testing.assert_array_equal(files.load_npy(tmp_path / "fortran.npy"), PLAIN["fortran"])
    objects = np.empty((2, 1), object)
    objects[:, 0] = [np.arange(3), "x"]
    files.save_npy(tmp_path / "objects.npy", objects)
    loaded = files.load_npy(tmp_path / "objects.npy")
    assert loaded.shape == (2, 1)
    assert loaded[1, 0] == "x"


@pytest.mark.parametrize("keep", [0, 4, 20, 100, 200, -1])
@pytest.mark.parametrize("value", [np.arange(100.0), PLAIN], ids=["array", "dict"])
def test_truncated_npy(tmp_path: Path, keep: int, value):
    path = tmp_path / "cut.npy"
    files.save_npy(path, value)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"cut\.npy is not a readable npy file") as caught:
        files.load_npy(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("load", [files.load_npy, files.load_npz, files.load_pickle, files.load_json, files.read_image])
def test_absent_empty_and_garbage(tmp_path: Path, load):
    with pytest.raises(UserError, match=r"gone\.x does not exist"):
        load(tmp_path / "gone.x")
    for content in (b"", b"\x93NUMPYgarbage", b"\xff\xd8\xff\xe0garbage", b"{]"):
        (tmp_path / "bad.x").write_bytes(content)
        with pytest.raises(UserError, match=r"bad\.x is not a readable"):
            load(tmp_path / "bad.x")
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path)  # a folder


def test_npz(tmp_path: Path):
    files.save_npz(tmp_path / "x.npz", {"a": np.arange(3), "b": np.eye(2, dtype=np.float32)})
    loaded = files.load_npz(tmp_path / "x.npz")
    assert list(loaded) == ["a", "b"]
    np.testing.assert_array_equal(loaded["b"], np.eye(2))
    data = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="npz"):
        files.load_npz(tmp_path / "x.npz")
    objects = np.empty(1, object)
    np.savez(tmp_path / "pickled.npz", x=objects)
    with pytest.raises(UserError, match=r"pickled\.npz"):
        files.load_npz(tmp_path / "pickled.npz")


def test_images_are_rgb(tmp_path: Path):
    image = np.zeros((5, 7, 3), np.uint8)
    image[..., 0] = 200  # red
    files.write_image(tmp_path / "a" / "red.png", image)
    np.testing.assert_array_equal(files.read_image(tmp_path / "a" / "red.png"), image)
    files.write_image(tmp_path / "grey.png", image[..., 0])
    np.testing.assert_array_equal(files.read_image(tmp_path / "grey.png"), image[..., 0])
    files.write_image(tmp_path / "red.jpg", image)
    assert abs(files.read_image(tmp_path / "red.jpg").astype(int) - image).max() <= 4
    with pytest.raises(ValueError, match="uint8"):
        files.write_image(tmp_path / "float.png", image / 255)


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path):
    path = tmp_path / "x.json"
    files.save_json(path, {"old": 1})
    with pytest.raises(TypeError):
        files.save_json(path, {"new": object()})
    with pytest.raises(RuntimeError), files.atomic_path(path) as sibling:
        sibling.write_text("half")
        raise RuntimeError
    assert files.load_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["x.json"]


@pytest.mark.parametrize("call", ["open", "os.fsync", "os.replace"])
def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "folder" / "x.npy"
    files.save_npy(path, np.zeros(3))
    if call == "open":
        monkeypatch.setattr(np, "save", full)
    else:
        monkeypatch.setattr(os, call.split(".")[1], full)
    with pytest.raises(UserError, match=r"x\.npy cannot be written: No space left on device \(\d+ MiB free there\)"):
        files.save_npy(path, np.ones(3))
    np.testing.assert_array_equal(files.load_npy(path), np.zeros(3))
    assert os.listdir(path.parent) == ["x.npy"]


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 64 KiB: a full disk that needs no disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 64, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.npy", lambda path: files.save_npy(path, NOISE)),
        ("a.npz", lambda path: files.save_npz(path, {"a": NOISE})),
        ("a.json", lambda path: files.save_json(path, NOISE[0].tolist())),
        ("a.png", lambda path: files.write_image(path, NOISE.reshape(-1, 64, 3))),
        ("a.ckpt", lambda path: AtomicCheckpointIO().save_checkpoint({"a": torch.zeros(99_999)}, path)),
        ("a.mp4", lambda path: write_video(path, NOISE, 25)),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("small_files")
def test_whatever_a_library_raises_where_no_more_can_be_written_is_one_sentence(tmp_path: Path, name: str, write):
    """torch raises RuntimeError, and numpy an OSError without a number."""
    with pytest.raises(UserError, match=rf"{name} cannot be written: File too large \(\d+ MiB free there\)"):
        write(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_an_error_that_is_no_fault_of_the_disk_stays_what_it_is(tmp_path: Path):
    for error in (RuntimeError("x"), OSError("x"), ValueError("x")):
        with pytest.raises(type(error), match="x"), files.atomic_path(tmp_path / "a") as sibling:
            sibling.write_text("half")
            raise error


def picture_claiming(width: int, height: int) -> bytes:
    """A PNG of one pixel whose header claims another size."""
    data = bytearray(cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def test_sizes_are_checked_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    for width, height in ((9460, 9460), (2**31 - 1, 2**31 - 1), (2**20, 2**20), (10**8, 1)):
        (tmp_path / "a.png").write_bytes(picture_claiming(width, height))
        with pytest.raises(UserError, match=r"a\.png is not a readable image file"):
            files.read_image(tmp_path / "a.png")
    (tmp_path / "a.svg").write_text("<svg/>")
    with pytest.raises(UserError, match="it is none of PNG, JPEG"):
        files.read_image(tmp_path / "a.svg")


def test_arrays_and_archives_that_claim_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "UNPACKED", 2**20)
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    with pytest.raises(UserError, match="its header claims 8000000000000 bytes, and the file has 0"):
        files.load_npy(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as entry:
        for _ in range(3):
            entry.write(bytes(2**20))
    for load in (files.load_npz, files.load_object_npz):
        with pytest.raises(UserError, match=r"a\.npz .*: it unpacks to 3145728 bytes from \d+"):
            load(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", bytes(9))
    with pytest.raises(UserError, match="packed in a way that numpy does not use"):
        files.load_object_npz(tmp_path / "a.npz")
    (tmp_path / "a.json").write_text("[" * 101 + "]" * 101)
    with pytest.raises(UserError, match="nested more than 100 deep"):
        files.load_json(tmp_path / "a.json")


def test_siblings_keep_the_suffix_and_everybody_may_read(tmp_path: Path):
    with files.atomic_path(tmp_path / "deep" / "x.tar.gz") as sibling:
        assert sibling.suffix == ".gz"
        assert sibling.parent == tmp_path / "deep"
        sibling.write_bytes(b"1")
    assert (tmp_path / "deep" / "x.tar.gz").stat().st_mode & 0o777 == 0o644


def test_both_writers_of_pictures_write_the_same_pixels(tmp_path: Path):
    """Pillow's by imageio and OpenCV's, so that it does not matter which one wrote a picture."""
    rng = np.random.default_rng(0)
    for image in (rng.integers(0, 256, (33, 47, 3), dtype=np.uint8), rng.integers(0, 256, (33, 47), dtype=np.uint8)):
        for suffix in (".png", ".jpg"):
            pictures = []
            for write in (files.write_image, files.write_image_fast):
                path = tmp_path / f"{write.__name__}{suffix}"
                write(path, image)
                pictures.append(files.read_image(path))
            np.testing.assert_array_equal(*pictures)
            assert pictures[0].shape == image.shape


@pytest.mark.parametrize("write", [files.write_image, files.write_image_fast])
def test_other_pictures_are_refused(tmp_path: Path, write):
    for name, shape in (("x.png", (4, 5, 2)), ("x.png", (3, 4, 5)), ("x.tiff", (4, 5, 3)), ("x", (4, 5))):
        with pytest.raises(ValueError, match=r"a picture (must be uint8|is one of)"):
            write(tmp_path / name, np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="must be uint8"):
        write(tmp_path / "x.png", np.zeros((4, 5), np.float32))
    assert not list(tmp_path.iterdir())


def test_pillow_and_imageio_are_imported_when_a_picture_is_written():
    """Commands that write none start without them."""
    code = "import sys, hashhuman.io.files, hashhuman.io.video; assert not {'imageio', 'PIL', 'av'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_headers_of_arrays_are_parsed_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Python 3.11's parser fails at times if two threads are in it."""
    inside, most, parse = [0], [0], np.lib.format.read_array_header_1_0

    def watched(file):
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(1e-4)  # lets other threads run
        inside[0] -= 1
        return parse(file)

    monkeypatch.setattr(np.lib.format, "read_array_header_1_0", watched)
    files.save_npy(tmp_path / "a.npy", np.arange(6.0))
    files.save_npz(tmp_path / "b.npz", {"x": np.arange(3), "y": np.ones((2, 2), order="F")})
    with ThreadPoolExecutor(4) as pool:
        arrays = pool.map(
            lambda i: files.load_npy(tmp_path / "a.npy") if i % 2 else files.load_npz(tmp_path / "b.npz"), range(40)
        )
        assert next(array for array in arrays if isinstance(array, np.ndarray)).tolist() == [*range(6)]
    assert most == [1]


@pytest.mark.parametrize(
    ("version", "shape", "said"),
    [((1, 0), "(-1,)", "states the shape"), ((3, 0), "(3,)", r"version 3\.0"), ((9, 7), "(3,)", r"version 9\.7")],
)
def test_headers_that_say_what_cannot_be_or_is_not_known(tmp_path: Path, version, shape: str, said: str):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}".encode()
    content = np.lib.format.magic(*version) if version != (9, 7) else b"\x93NUMPY\x09\x07"
    content += struct.pack("<H" if version == (1, 0) else "<I", len(header)) + header + np.arange(3.0).tobytes()
    (tmp_path / "x.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", content)
    for load, name in ((files.load_npy, "x.npy"), (files.load_npz, "x.npz")):
        with pytest.raises(UserError, match=said):
            load(tmp_path / name)
