"""Bounds on what files may ask for, checked before anything is decoded.

A few bytes of a compressed file can claim gigabytes, and a few nested names can cost hours. Each bound is far above
what real files of its kind need. A file beyond it raises ValueError, which `hashhuman.io.files.reading` turns into a
sentence.
"""

import os
import zipfile
import zlib
from io import BufferedIOBase
from typing import Any

PIXELS = 89_478_485  # of a picture: 9,459 x 9,459, which is also where Pillow begins to warn
UNPACKED = 2**30  # bytes that a compressed file may need beyond its own size
JSON_BYTES = 2**28  # keypoints of ten thousand pictures with 133 points each are a third of this
TEXT_BYTES = 2**17  # of a YAML file, which is parsed in Python: a hundred cameras need half of this
XML_BYTES = 2**24
MOTION_BYTES = 2**27  # of a motion in text: an hour of 30 joints at 30 frames a second is as much
JOINTS = 1000  # of a skeleton
POSES = 2**22  # joints times frames of a motion: an hour of 38 joints at 30 frames a second
NESTING = 100  # containers within containers
ENTRIES = 10_000  # of an archive
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # which numpy and torch write


def size_of(file: BufferedIOBase) -> int:
    """The bytes from a file's current position to its end."""
    here = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(here)
    return end - here


def check_size(file: BufferedIOBase, limit: int) -> None:
    """Raises ValueError if a text is larger than its kind ever is."""
    if (size := size_of(file)) > limit:
        raise ValueError(f"it has {size} bytes, and {limit} are the most that are read")


def check_pixels(height: int, width: int) -> None:
    """Raises ValueError if a picture is larger than `PIXELS`, or has no pixels."""
    if not (height >= 1 and width >= 1 and height * width <= PIXELS):
        raise ValueError(f"its size is {width} x {height} pixels, and {PIXELS} pixels are the most that are read")


def check_motion(frames: int, joints: int) -> None:
    """Raises ValueError if a motion has no frame or no joint, or more than are ever needed."""
    if frames < 1 or joints < 1:
        raise ValueError(f"it has {frames} frames and {joints} joints")
    if joints > JOINTS or frames * joints > POSES:
        raise ValueError(f"it has {frames} frames of {joints} joints, and {POSES // joints} are the most that are read")


def check_array(shape: tuple[int, ...], item_size: int, file: BufferedIOBase) -> None:
    """Raises ValueError if an array's header claims more than the rest of its file holds."""
    claimed = max(item_size, 1)
    for length in shape:
        claimed *= length
    if claimed > size_of(file):
        raise ValueError(f"its header claims {claimed} bytes, and the file has {size_of(file)}")


def check_archive(archive: zipfile.ZipFile, file_size: int, names: Any = None) -> None:
    """Checks the directory of an archive.

    Args:
        archive: opened.
        file_size: of the archive (bytes).
        names: those of its entries that will be read; None: all.

    Raises:
        ValueError: if these entries unpack to more than `UNPACKED` beyond the file's size, are packed in a way that
            neither numpy nor torch uses, or are too many.
    """
    entries = [entry for entry in archive.infolist() if names is None or entry.filename in names]
    if len(archive.filelist) > ENTRIES:
        raise ValueError(f"it has {len(archive.filelist)} entries, and {ENTRIES} are the most that are read")
    if any(entry.compress_type not in _METHODS for entry in entries):
        raise ValueError("its entries are packed in a way that numpy does not use")
    if (unpacked := sum(entry.file_size for entry in entries)) > UNPACKED + file_size:
        raise ValueError(f"it unpacks to {unpacked} bytes from {file_size}")


def check_torch(file: BufferedIOBase) -> None:
    """Checks a file of torch.save as `check_archive` does, and leaves it at its beginning; older formats pass."""
    file.seek(0)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            file.seek(0)
            check_archive(archive, size_of(file))
    file.seek(0)


def inflate(data: bytes, wbits: int) -> bytes:
    """Unpacks zlib or gzip data (`wbits` as for `zlib`). Raises ValueError if there is more than `UNPACKED` of it."""
    packed = zlib.decompressobj(wbits)
    unpacked = packed.decompress(data, UNPACKED + len(data))
    if packed.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {UNPACKED} bytes")
    if not packed.eof:
        raise ValueError("its compressed data end too early")
    return unpacked


def check_nesting(value: Any) -> Any:
    """Returns `value`, of dictionaries and lists. Raises ValueError if they are nested more than `NESTING` deep."""
    layer: list[Any] = [value]
    for _ in range(NESTING):
        layer = [item for container in layer for item in _items(container)]
        if not layer:
            return value
    raise ValueError(f"its containers are nested more than {NESTING} deep")


def _items(container: Any) -> list[Any]:
    inside = container.values() if isinstance(container, dict) else container
    return [item for item in inside if isinstance(item, dict | list)] if isinstance(container, dict | list) else []
