"""Reads files without running their code, and writes files whole or not at all.

The field stores pickles in `.npy` and `.pkl` files. The restricted unpickler (`hashhuman.io.pickles`) reads them, so
that opening a stranger's data never runs code from it. Every write goes to a temporary sibling that is then renamed, so
that the path always holds the complete old file or the complete new one.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import pickle
import shutil
import struct
import tempfile
import threading
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from io import BufferedIOBase, BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from hashhuman.errors import UserError
from hashhuman.io import leftovers, limits
from hashhuman.io.pickles import StandIns, unpickle

# What reading a damaged or hostile file can raise.
_DAMAGE = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError,
    MemoryError, OverflowError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error,
    tokenize.TokenError, SyntaxError, AssertionError, cv2.error,
)  # fmt: skip
# What Pillow may open to read a picture's size, and OpenCV then decodes.
_PICTURES = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM", "GIF")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


@contextlib.contextmanager
def reading(path: Path, kind: str) -> Iterator[BufferedReader]:
    """Opens `path` for the body of a `with` to read.

    Args:
        path: the file.
        kind: the format's name in error messages, such as "npy".

    Raises:
        UserError: if the file is absent, unreadable or damaged: one sentence that names the file and the cause.
    """
    try:
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (OSError, *_DAMAGE) as error:
        if isinstance(error, OSError) and error.errno is not None:  # without a number, a library raised it on damage
            raise UserError(f"{path} cannot be read: {error.strerror or _first_line(error)}.") from None
        message = f"{path} is not a readable {kind} file (truncated, damaged or not allowed): {_first_line(error)}."
        raise UserError(message) from None


# Errors that the user can mend: no space, no permission, a file where a folder should be, or a folder for a file.
_UNWRITABLE = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR,
    errno.ENAMETOOLONG, errno.EIO,
)  # fmt: skip
_one_header = threading.Lock()
_PROBE = 2**20  # bytes to write, to learn whether a disk is full


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary sibling of `path` to write; afterwards flushes it to disk and renames it to `path`.

    Missing parent folders are created. If the body raises, the sibling is removed and `path` stays as it was.

    Raises:
        UserError: if the file cannot be written, whatever the writing library raised for it; the message names the path
            and the free space.
    """
    path = Path(path)
    sibling = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=leftovers.temporary_prefix(path), suffix=path.suffix)
        sibling = Path(name)
        os.fchmod(handle, 0o644)  # mkstemp lets nobody but the owner read it
        os.close(handle)
        yield sibling
        with open(sibling, "rb") as file:
            os.fsync(file.fileno())
        os.replace(sibling, path)
    except UserError:
        raise
    except Exception as error:
        reason = _why_unwritable(error, sibling)
        if reason is None:
            raise
        folder = next(p for p in path.absolute().parents if p.exists())
        free = shutil.disk_usage(folder).free / 2**20
        raise UserError(f"{path} cannot be written: {reason} ({free:.0f} MiB free there).") from None
    finally:
        if sibling is not None and sibling.exists():
            os.truncate(sibling, 0)  # an encoder that failed may hold the file open, and with it its space
            sibling.unlink(missing_ok=True)


def _why_unwritable(error: Exception, sibling: Path | None) -> str | None:
    """What the user can mend if an error came from the disk; None for any other error.

    numpy, torch, OpenCV and encoders hide the system's reason in errors of their own, so that it is asked for again: a
    full disk does not take more bytes of the same file.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror if error.errno in _UNWRITABLE else None
    if sibling is None or not sibling.exists():
        return None
    try:
        with open(sibling, "ab") as file:
            file.write(bytes(_PROBE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as cause:
        return cause.strerror if cause.errno in _UNWRITABLE else None
    return None


def save_npy(path: Path, value: Any) -> None:
    """Writes an array, or a dictionary of arrays as a 0-d object array, as the field does.

    Raises UserError if the file cannot be written.
    """
    with atomic_path(path) as sibling, open(sibling, "wb") as file:
        np.save(file, value)


def load_npy(path: Path, stand_ins: StandIns | None = None) -> Any:
    """Reads an array, or the object in a 0-d object array (the field stores dictionaries so).

    `stand_ins` is as for `hashhuman.io.pickles.unpickle`. Raises UserError if the file is absent, truncated, or holds
    anything but arrays, containers, strings and numbers.
    """
    with reading(path, "npy") as file:
        return _read_npy(file, stand_ins)


def _read_npy(file: BufferedIOBase, stand_ins: StandIns | None = None) -> Any:
    shape, fortran, dtype = _header(file)
    if not dtype.hasobject:
        return _numbers(file, shape, fortran, dtype)
    array = unpickle(file, stand_ins)
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise ValueError("its header states another shape than its content has")
    return array.item() if shape == () else array


def _numbers(file: BufferedIOBase, shape: tuple[int, ...], fortran: bool, dtype: np.dtype) -> np.ndarray:
    """What follows the header of an array without objects."""
    limits.check_array(shape, dtype.itemsize, file)
    content = bytearray(file.read(math.prod(shape) * dtype.itemsize))
    return np.ndarray(shape, dtype, content, order="F" if fortran else "C")


def _header(file: BufferedIOBase) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns come first, and dtype of an array, one thread at a time.

    NumPy has Python's parser read the header. In two threads at once that fails in CPython 3.11 once in a million
    times ("AST constructor recursion depth mismatch"), if the garbage collector lets the other thread run meanwhile.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):  # a third one is for names of fields that are not Latin
        raise ValueError(f"it is of version {version[0]}.{version[1]} of its format, and 1.0 and 2.0 are read")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with _one_header:
        shape, fortran, dtype = read_header(file)
    if min(shape, default=0) < 0:
        raise ValueError(f"its header states the shape {shape}")
    return shape, fortran, dtype


def load_npz(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Reads the arrays of an archive, by name.

    With `names`, only those of them that the archive has are read; its other entries may be pickles. Raises UserError
    if the file is absent or damaged, claims to unpack to gigabytes, or an entry to be read is a pickle.
    """
    with reading(path, "npz") as file, zipfile.ZipFile(file) as archive:
        entries = {entry.removesuffix(".npy"): entry for entry in archive.namelist()}
        chosen = {name: entry for name, entry in entries.items() if names is None or name in names}
        limits.check_archive(archive, limits.size_of(file), {*chosen.values()})
        return {name: _plain(archive, entry) for name, entry in chosen.items()}


def read_npz(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an archive in memory. Raises ValueError, EOFError or BadZipFile if it is damaged."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        limits.check_archive(archive, len(content))
        return {entry.removesuffix(".npy"): _plain(archive, entry) for entry in archive.namelist()}


def _plain(archive: zipfile.ZipFile, entry: str) -> np.ndarray:
    """An entry's array, which must not hold objects."""
    file = BytesIO(archive.read(entry))
    if file.getbuffer()[:6] != np.lib.format.MAGIC_PREFIX:
        raise ValueError(f"its entry {entry} is no array")
    shape, fortran, dtype = _header(file)
    if dtype.hasobject:
        raise ValueError(f"its entry {entry} holds objects")
    return _numbers(file, shape, fortran, dtype)


def load_object_npz(path: Path) -> dict[str, Any]:
    """Reads all entries of an archive that may hold dictionaries; each entry is read as by `load_npy`.

    Raises UserError if the file is absent or damaged, claims to unpack to gigabytes, or names a class that is not
    admitted.
    """
    with reading(path, "npz") as file, zipfile.ZipFile(file) as archive:
        limits.check_archive(archive, path.stat().st_size)
        return {name.removesuffix(".npy"): _read_npy(BytesIO(archive.read(name))) for name in archive.namelist()}


def load_pickle(path: Path, stand_ins: StandIns | None = None) -> Any:
    """Reads a pickle of arrays, containers, strings and numbers.

    `stand_ins` is as for `hashhuman.io.pickles.unpickle`. Raises UserError if the file is absent, truncated or names
    anything else.
    """
    with reading(path, "pickle") as file:
        return unpickle(file, stand_ins)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes named arrays as a compressed archive. Raises UserError if the file cannot be written."""
    with atomic_path(path) as sibling, open(sibling, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def save_json(path: Path, value: Any) -> None:
    """Writes indented JSON in UTF-8; numbers that JSON does not know (NaN, infinity) become null.

    Raises UserError if the file cannot be written.
    """
    with atomic_path(path) as sibling:
        sibling.write_text(json.dumps(_finite(value), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load_json(path: Path) -> Any:
    """Reads JSON in UTF-8. Raises UserError if the file is absent or not JSON."""
    with reading(path, "JSON") as file:
        limits.check_size(file, limits.JSON_BYTES)
        return limits.check_nesting(json.loads(file.read().decode("utf-8")))


# Settings of Pillow's encoders. PNG's level 3 is faster than its default, 6, for files that are little larger.
_ENCODERS: dict[str, dict[str, Any]] = {
    ".png": {"compress_level": 3},
    ".jpg": {"quality": 95},
    ".jpeg": {"quality": 95},
}


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes a picture: uint8, H x W x 3 (RGB) or H x W (grey). The suffix chooses PNG, or JPEG of quality 95.

    Raises ValueError for another dtype, shape or suffix, UserError if the file cannot be written.
    """
    path = Path(path)
    _check_picture(path, image)
    encoded = encode_image(image, path.suffix)
    with atomic_path(path) as sibling:
        sibling.write_bytes(encoded)


def encode_image(image: np.ndarray, suffix: str) -> bytes:
    """The content of the file that `write_image` writes."""
    import imageio.v3 as iio  # here: it brings Pillow, and commands that write no picture shall start without

    return iio.imwrite("<bytes>", image, extension=suffix, plugin="pillow", is_batch=False, **_ENCODERS[suffix])


def write_image_fast(path: Path, image: np.ndarray) -> None:
    """`write_image` with OpenCV, for pictures that other stages and training read: those of a subject folder.

    OpenCV writes a PNG several times as fast as Pillow and reads its own faster, and both happen to every picture of a
    video before training starts. Pixels are the same either way.
    """
    path = Path(path)
    _check_picture(path, image)
    bgr = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded, data = cv2.imencode(path.suffix, bgr)
    if not encoded:
        raise ValueError(f"{path}: the picture could not be encoded")
    with atomic_path(path) as sibling:
        sibling.write_bytes(data.tobytes())


def _check_picture(path: Path, image: np.ndarray) -> None:
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise ValueError(
            f"{path}: a picture must be uint8 of shape (H, W) or (H, W, 3), not {image.dtype} {image.shape}"
        )
    if path.suffix not in _ENCODERS:
        raise ValueError(f"{path}: a picture is one of {', '.join(_ENCODERS)}")


def read_image(path: Path) -> np.ndarray:
    """Reads a picture as uint8: H x W x 3 (RGB), or H x W if it is stored as grey.

    An alpha channel is dropped; 16 bits become 8. Orientation tags are ignored. Raises UserError if the file is absent
    or cannot be decoded.
    """
    with reading(path, "image") as file:
        data = file.read()
        limits.check_pixels(*declared_size(data))
        flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if image is None:
            raise ValueError("it cannot be decoded")
        return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def declared_size(data: bytes) -> tuple[int, int]:
    """Height and width that a picture's header states. Nothing is decoded. Raises ValueError for any other file."""
    from PIL import Image  # here, since most commands read no picture before they have other things to import

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `limits.check_pixels` refuses instead
            with Image.open(BytesIO(data), formats=_PICTURES) as header:
                return header.height, header.width
    except Image.UnidentifiedImageError:
        raise ValueError(f"it is none of {', '.join(_PICTURES)}") from None
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from None


def read_rgb(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Reads a picture as RGB; grey becomes three equal channels. Raises UserError as `read_image` does."""
    image = read_image(path)
    return np.repeat(image[..., None], 3, -1) if image.ndim == 2 else image
