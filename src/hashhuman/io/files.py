"""Reading without running code, writing without leaving halves behind.

The field stores pickles in `.npy` and `.pkl` files. They are read here with an unpickler that builds numpy arrays,
plain containers, strings and numbers and refuses every other name, so that opening somebody's data never runs their
code. Every write goes to a sibling that is renamed into place, so that a file is either the old one or the new, whole.
"""

import contextlib
import errno
import json
import math
import os
import pickle
import re
import shutil
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from io import BufferedIOBase, BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from hashhuman.errors import UserError


def _latin1_encode(text: str, encoding: str) -> bytes:
    """`_codecs.encode` as numpy's protocol 2 pickles call it: bytes spelled as latin-1 text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the codec {encoding!r} is not admitted")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """`bytes` as protocols up to 2 call it: only where there are none, as in an empty array."""
    return b""


class _Dtype:
    """`numpy.dtype` in a pickle: a code, and a byte order in its state.

    numpy's own takes any state, also one that passes raw bytes off as Python objects.
    """

    def __init__(self, code: str, *align_and_copy: Any) -> None:
        if not re.fullmatch(r"[|<>=]?([biufcSU]\d+|O8?)", code):
            raise pickle.UnpicklingError(f"arrays of {code!r} are not admitted")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        _, order, *structure = state
        if any(part is not None for part in structure[:3]):
            raise pickle.UnpicklingError("arrays of records are not admitted")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """`numpy.ndarray` in a pickle: made empty, filled by its state; never a view of foreign memory."""

    def __new__(cls) -> "_Array":
        return super().__new__(cls, (0,), "b")

    def __setstate__(self, state: tuple) -> None:
        version, shape, kind, fortran, data = state
        if kind.dtype.hasobject and len(data) != math.prod(shape):  # numpy would first allocate all of them
            raise pickle.UnpicklingError("an array of objects is not as long as it says")
        super().__setstate__((version, shape, kind.dtype, fortran, data))

    def __reduce__(self) -> Any:
        return self.view(np.ndarray).__reduce__()


def _frombuffer(buffer: Any, kind: _Dtype, shape: Any, order: str, axis_order: Any = None) -> np.ndarray:
    """`numpy._core.numeric._frombuffer`: an array out of a protocol 5 pickle."""
    flat = np.frombuffer(buffer, dtype=kind.dtype)
    if order == "K" and axis_order is not None:
        return flat.reshape(shape).transpose(axis_order)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _reconstruct(kind: type, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """`numpy._core.multiarray._reconstruct`: the empty array that pickled state is then set on."""
    if kind is not _Array or shape != (0,):
        raise pickle.UnpicklingError("only plain arrays are admitted")
    return _Array()


def _scalar(kind: _Dtype, buffer: bytes | str) -> Any:
    """`numpy._core.multiarray.scalar`."""
    data = buffer.encode("latin1") if isinstance(buffer, str) else buffer  # Python 2 wrote bytes as str
    return np.frombuffer(data, dtype=kind.dtype, count=1)[0]


_ADMITTED: dict[tuple[str, str], Callable] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _latin1_encode,
    **{
        (module, name): made  # as protocols up to 3 spell them, by the name of their Python
        for module in ("__builtin__", "builtins")
        for name, made in (("bytes", _no_bytes), ("set", set), ("frozenset", frozenset))
    },
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


class _Unpickler(pickle._Unpickler):
    """Admits arrays, containers, strings and numbers, and the stand-ins that the caller names.

    It is Python's own reader in Python: that in C allocates as many objects as the stream claims to have numbered.
    """

    def __init__(self, file: BufferedIOBase, stand_ins: Mapping[tuple[str, str], Callable] | None):
        super().__init__(file, encoding="latin1")  # latin1: Python 2 wrote arrays as str
        self.admitted = _ADMITTED | dict(stand_ins or {})

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.admitted:
            raise pickle.UnpicklingError(
                f"it holds {module}.{name}, which is neither an array, a container nor a number"
            )
        return self.admitted[module, name]


# What a damaged or hostile stream can raise while it is read, short of running anything.
_DAMAGE = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError,
    MemoryError, OverflowError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error,
    tokenize.TokenError,
)  # fmt: skip


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


@contextlib.contextmanager
def reading(path: Path, kind: str) -> Iterator[BufferedReader]:
    """Opens `path` and turns whatever goes wrong in reading it into a UserError of one sentence."""
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


# What the user can mend: no space, no permission, a file where a folder should be or the other way round.
_UNWRITABLE = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR,
)  # fmt: skip


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
        if error.errno not in _UNWRITABLE:
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


def load_npy(path: Path, stand_ins: Mapping[tuple[str, str], Callable] | None = None) -> Any:
    """An array, or what a 0-d object array holds (a dictionary, by tradition); `stand_ins` as for `load_pickle`.

    Raises UserError if the file is absent, truncated, or holds anything but arrays, containers, strings and numbers.
    """
    with reading(path, "npy") as file:
        return _read_npy(file, stand_ins)


def _read_npy(file: BufferedIOBase, stand_ins: Mapping[tuple[str, str], Callable] | None = None) -> Any:
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if not dtype.hasobject:
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)
    array = unpickle(file, stand_ins)
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise ValueError("its content is not of the shape that its header states")
    return array.item() if shape == () else array


def load_npz(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """All arrays of an archive, or those of the named ones that it has: others may then be pickles.

    Raises UserError if it is absent, damaged, or holds pickles in their place.
    """
    with reading(path, "npz") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files if names is None or name in names}


def load_object_npz(path: Path) -> dict[str, Any]:
    """The same of an archive that may hold dictionaries, each read as `load_npy` does. Raises UserError likewise."""
    with reading(path, "npz") as file, zipfile.ZipFile(file) as archive:
        return {name.removesuffix(".npy"): _read_npy(BytesIO(archive.read(name))) for name in archive.namelist()}


def load_pickle(path: Path, stand_ins: Mapping[tuple[str, str], Callable] | None = None) -> Any:
    """A pickle of arrays, containers, strings and numbers.

    `stand_ins` maps (module, name) to what shall be built where the pickle names that class, e.g. a plain class for the
    sparse matrices of SMPL's own file. Raises UserError if the file is absent, truncated or names anything else.
    """
    with reading(path, "pickle") as file:
        return unpickle(file, stand_ins)


def unpickle(file: BufferedIOBase, stand_ins: Mapping[tuple[str, str], Callable] | None = None) -> Any:
    """The same of an open file, whose damage raises what `reading` turns into a sentence."""
    return _Unpickler(file, stand_ins).load()


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
    with reading(path, "JSON") as file:
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
    with reading(path, "image") as file:
        data = np.frombuffer(file.read(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION) if data.size else None
        if image is None:
            raise ValueError("it does not decode")
        return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_rgb(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """A picture's colours; three times its grey if it is stored as grey. Raises as `read_image`."""
    image = read_image(path)
    return np.repeat(image[..., None], 3, -1) if image.ndim == 2 else image
