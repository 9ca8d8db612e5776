"""Reading without running code, writing without leaving halves behind.

The field stores pickles in `.npy` and `.pkl` files. They are read here with an unpickler that builds numpy arrays,
plain containers, strings and numbers and refuses every other name, so that opening somebody's data never runs their
code. Every write goes to a sibling that is renamed into place, so that a file is either the old one or the new, whole.
"""

import contextlib
import errno
import json
import os
import pickle
import shutil
import tempfile
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np

from hashhuman.errors import UserError


def _latin1_encode(text: str, encoding: str) -> bytes:
    """`_codecs.encode` as numpy's protocol 2 pickles call it: bytes spelled as latin-1 text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the codec {encoding!r} is not admitted")
    return text.encode("latin1")


def _frombuffer(buffer: Any, dtype: np.dtype, shape: Any, order: str, axis_order: Any = None) -> np.ndarray:
    """`numpy._core.numeric._frombuffer`: an array out of a protocol 5 pickle."""
    flat = np.frombuffer(buffer, dtype=dtype)
    if order == "K" and axis_order is not None:
        return flat.reshape(shape).transpose(axis_order)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _reconstruct(kind: type, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """`numpy._core.multiarray._reconstruct`: the empty array that pickled state is then set on."""
    if kind is not np.ndarray or shape != (0,):
        raise pickle.UnpicklingError("only plain arrays are admitted")
    return np.ndarray(shape, dtype)


def _scalar(dtype: np.dtype, buffer: bytes) -> Any:
    """`numpy._core.multiarray.scalar`."""
    return np.frombuffer(buffer, dtype=dtype, count=1)[0]


_ADMITTED: dict[tuple[str, str], Callable] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _latin1_encode,
    **{
        (f"numpy.{core}.{module}", name): function  # `core` until numpy 1.26, `_core` since
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _frombuffer),
        )
    },
}


class _Unpickler(pickle.Unpickler):
    """Admits arrays, containers, strings and numbers, and the stand-ins that the caller names."""

    def __init__(self, file: BinaryIO, stand_ins: Mapping[tuple[str, str], Callable]):
        super().__init__(file, encoding="latin1")  # latin1: Python 2 wrote arrays as str
        self.admitted = _ADMITTED | dict(stand_ins)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.admitted:
            raise pickle.UnpicklingError(
                f"it holds {module}.{name}, which is neither an array, a container nor a number"
            )
        return self.admitted[module, name]


# What a damaged or hostile stream can raise while it is read, short of running anything.
_DAMAGE = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError,
    MemoryError, OverflowError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


@contextlib.contextmanager
def _reading(path: Path, kind: str) -> Iterator[BinaryIO]:
    """Opens `path` and turns whatever goes wrong into one sentence."""
    try:
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or _first_line(error)}.") from None
    except _DAMAGE as error:
        message = f"{path} is not a readable {kind} file (truncated, damaged or not allowed): {_first_line(error)}."
        raise UserError(message) from None


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a sibling of `path` with its suffix, to be written by any means, and renames it into place.

    Parent folders are made. If the body raises, the sibling is removed and `path` stays as it was.
    Raises UserError naming the path and the free space when the disk cannot take the file.
    """
    path = Path(path)
    sibling = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:64]}.", suffix=path.suffix)
        sibling = Path(name)
        os.fchmod(handle, 0o644)  # mkstemp's own mode would hide the file from everybody else
        os.close(handle)
        yield sibling
        with open(sibling, "rb") as file:
            os.fsync(file.fileno())
        os.replace(sibling, path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS):
            raise
        folder = next(p for p in path.absolute().parents if p.exists())
        free = shutil.disk_usage(folder).free / 2**20
        raise UserError(f"{path} cannot be written: {error.strerror} ({free:.0f} MiB free there).") from None
    finally:
        if sibling is not None:
            sibling.unlink(missing_ok=True)


def save_npy(path: Path, value: Any) -> None:
    """Writes an array, or a dictionary of arrays as a 0-d object array, which is how the field stores them."""
    with atomic_path(path) as sibling, open(sibling, "wb") as file:
        np.save(file, value)


def load_npy(path: Path) -> Any:
    """An array, or what a 0-d object array holds (a dictionary, by tradition).

    Raises UserError if the file is absent, truncated, or holds anything but arrays, containers, strings and numbers.
    """
    with _reading(path, "npy") as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
        if not dtype.hasobject:
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
        array = _Unpickler(file, {}).load()
        if not isinstance(array, np.ndarray) or array.shape != shape:
            raise ValueError("its content is not of the shape that its header states")
        return array.item() if shape == () else array


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an archive. Raises UserError if it is absent, damaged, or holds pickles."""
    with _reading(path, "npz") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def load_pickle(path: Path, stand_ins: Mapping[tuple[str, str], Callable] | None = None) -> Any:
    """A pickle of arrays, containers, strings and numbers.

    `stand_ins` maps (module, name) to what shall be built where the pickle names that class, e.g. a plain class for the
    sparse matrices of SMPL's own file. Raises UserError if the file is absent, truncated or names anything else.
    """
    with _reading(path, "pickle") as file:
        return _Unpickler(file, stand_ins or {}).load()


def save_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes named arrays as a compressed archive."""
    with atomic_path(path) as sibling, open(sibling, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def save_json(path: Path, value: Any) -> None:
    """Writes indented JSON."""
    with atomic_path(path) as sibling:
        sibling.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def load_json(path: Path) -> Any:
    """Reads JSON. Raises UserError if the file is absent or not JSON."""
    with _reading(path, "JSON") as file:
        return json.loads(file.read().decode("utf-8"))


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes an 8-bit H x W x 3 RGB or H x W grey picture; the suffix chooses the format (JPEG at quality 95)."""
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise ValueError(f"{path}: pictures are uint8 of shape H W or H W 3, not {image.dtype} {image.shape}")
    bgr = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded, data = cv2.imencode(Path(path).suffix, bgr)
    if not encoded:
        raise ValueError(f"{path}: the picture could not be encoded")
    with atomic_path(path) as sibling:
        sibling.write_bytes(data.tobytes())


def read_image(path: Path) -> np.ndarray:
    """A picture as uint8: H x W x 3 RGB, or H x W if it is stored as grey. Alpha is dropped, 16 bits become 8.

    Raises UserError if the file is absent or does not decode.
    """
    with _reading(path, "image") as file:
        data = np.frombuffer(file.read(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION) if data.size else None
        if image is None:
            raise ValueError("it does not decode")
        return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
