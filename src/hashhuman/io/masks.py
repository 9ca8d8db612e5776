"""Reads masks of every kind: a mask is coverage or a map of ids, and never merely a picture's brightness.

grey, 8 or 16 bits      two values: the larger is the person; small numbers, or large areas of several values: ids;
                        otherwise coverage, the full scale being 1
palette (DAVIS, SAM 2)  ids, by index; a palette of greys is read as grey, one of many colours as a picture
alpha                   coverage, if it varies
few colours             ids, black or else the border's colour being the background; shades of one colour: coverage
many colours            a cut-out: what differs from an evenly coloured border is the person
.npy, .npz              truth values, ids, coverage in [0, 1], or SAM's logits (some are negative; above 0 is the
                        person); a first axis counts objects; beside boxes and scores, what SAM's code calls masks
"""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from hashhuman.errors import UserError
from hashhuman.io import files, limits

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".npy", ".npz")
_MASKS = ("masks", "out_binary_masks", "pred_masks")  # beside scores, boxes and logits of SAM 2 and SAM 3
_IDS = 50  # more ids, or colours, than this are no ids
_AREA = 0.1  # of the masked pixels: where so many lie in even areas below the highest value, the values are ids
_SHADE = 10  # 8-bit levels by which colours differ that JPEG has made of one
_INSIDE = 0.75  # least coverage of the median masked pixel: a real mask is full but for its outline
_EVERYTHING = 0.98  # of the picture: no mask of a person covers more
_ON_BODY = 0.5  # of an id's area that must lie about the body


def read_mask(
    path: Path, height: int, width: int, near: Bool[np.ndarray, "{height} {width}"] | None = None
) -> Float[np.ndarray, "{height} {width}"]:
    """The person's coverage of each pixel, in [0, 1], float32; all zeros where the file shows nobody.

    Args:
        path: a picture, or an array.
        height, width: of the picture that it masks. A mask of the same shape is resized.
        near: the pixels about the person's body: of several ids, those that lie there are the person. None: all are.

    Raises UserError if the file is absent, damaged, of another shape, or cannot be a mask of a person.
    """
    mask = fit(read_ids_or_coverage(path), height, width, path)
    return chosen(mask, near, path)


def read_ids_or_coverage(path: Path) -> np.ndarray:
    """The file's content: ids (H, W) as integers, 0 for the background, or coverage (H, W) in [0, 1] as float32.

    Raises UserError if the file is absent or damaged, or is no mask.
    """
    if path.suffix.lower() in (".npy", ".npz"):
        return from_array(_load_array(path), path)
    return _from_picture(_load_picture(path), path)


def read_coverage(path: Path) -> Float[np.ndarray, "H W"]:
    """Coverage in [0, 1], float32, of a grey picture that is known to hold nothing else, such as a learned mask.

    Its values are never taken for ids, however few they are: a faint haze stays faint.

    Raises UserError if the file is absent, damaged or not grey, or shows nobody fully.
    """
    image = files.read_image(path) if path.suffix.lower() not in (".npy", ".npz") else None
    if image is None or image.ndim != 2:
        raise UserError(f"{path} must be a grey picture of the coverage: write it again with `hashhuman write-masks`.")
    coverage = (image / np.float32(255)).astype(np.float32)
    if _is_faint(coverage):
        raise UserError(
            f"{path} was written by an avatar that is not opaque: train that run longer and write its masks again, or "
            "leave data.masks out."
        )
    return coverage


def fit(mask: np.ndarray, height: int, width: int, path: Path) -> np.ndarray:
    """The mask at its picture's size: coverage is averaged, ids keep their values.

    Raises UserError if the two shapes differ by more than a rounding of the sides.
    """
    if mask.shape == (height, width):
        return mask
    rows, columns = mask.shape
    if abs(rows * width - columns * height) > max(rows, height):  # by more than a pixel of the smaller of the two
        raise UserError(
            f"{path} is {columns} x {rows} pixels, but the pictures are {width} x {height}: resize the masks to them."
        )
    if mask.dtype.kind == "f":
        smaller = cv2.INTER_AREA if rows >= height else cv2.INTER_LINEAR
        return cv2.resize(mask, (width, height), interpolation=smaller)
    return cv2.resize(mask.astype(np.uint16), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def chosen(mask: np.ndarray, near: Bool[np.ndarray, "H W"] | None, path: Path) -> Float[np.ndarray, "H W"]:
    """The person's coverage in what `read_ids_or_coverage` has read; `near` is as for `read_mask`.

    Raises UserError if it cannot be a mask of a person.
    """
    if mask.dtype.kind == "f":
        coverage = mask.astype(np.float32, copy=False)
    else:
        coverage = of_person(mask, near).astype(np.float32)
    if _is_faint(coverage):
        raise UserError(
            f"{path} is no mask: its median value inside is {np.median(coverage[coverage > 0]):.2f} of full coverage. "
            "Save it as black and white, as ids, or with an alpha channel."
        )
    if np.count_nonzero(coverage > 0.5) > _EVERYTHING * coverage.size:
        raise UserError(f"{path} masks the whole picture: is it inverted, or another file?")
    return coverage


def _is_faint(coverage: Float[np.ndarray, "H W"]) -> bool:
    """Whether something is covered, but nothing fully."""
    highest = coverage.max()
    return bool(highest > 0 and (highest <= 0.5 or np.median(coverage[coverage > 0.5 * highest]) < _INSIDE))


def of_person(ids: np.ndarray, near: Bool[np.ndarray, "H W"] | None) -> Bool[np.ndarray, "H W"]:
    """The pixels of the ids that lie about the body, and of all ids if that is unknown."""
    if near is None or not near.any():
        return ids != 0
    area = np.bincount(ids.ravel())
    on_body = np.bincount(ids[near], minlength=len(area))
    on_body[0] = 0
    keep = on_body > _ON_BODY * area
    keep[on_body.argmax()] = True
    keep[0] = False
    return keep[ids]


def _load_array(path: Path) -> np.ndarray:
    if path.suffix.lower() == ".npz":
        arrays = without_scores(files.load_npz(path))
        if len(arrays) != 1:
            raise UserError(f"{path} must hold one array, the mask, but holds {', '.join(arrays) or 'none'}.")
        return next(iter(arrays.values()))
    array = files.load_npy(path)
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path} must hold an array, the mask.")
    return array


def without_scores(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of an archive's arrays, the masks alone, if it holds what SAM's code returns together with them."""
    named = {name: array for name, array in arrays.items() if name in _MASKS}
    return named if len(named) == 1 else dict(arrays)


def from_array(array: np.ndarray, path: Path) -> np.ndarray:
    """The ids or coverage (H, W) in an array of any of the kinds above; see `read_ids_or_coverage`.

    Raises UserError, which names `path`, for any other array.
    """
    if array.dtype.kind not in "buif" or array.ndim < 2 or not np.isfinite(array).all() or not array.size:
        raise UserError(f"{path} must hold a mask of numbers or truth values, height x width.")
    while array.ndim > 2 and 1 in (array.shape[0], array.shape[-1]):
        array = array.squeeze(0 if array.shape[0] == 1 else -1)
    if array.ndim == 3:
        return ids_of_objects(array)
    if array.dtype.kind == "f" and (array < 0).any():
        array = array > 0  # logits
    if array.ndim != 2:
        raise UserError(f"{path} must hold a mask, height x width, not an array of {array.ndim} axes.")
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind == "f" and array.max() <= 1:
        return array.astype(np.float32)
    if (array < 0).any() or array.max() > 65535 or (array != np.floor(array)).any():
        raise UserError(f"{path} must hold a mask: truth values, ids, or coverage from 0 to 1.")
    return _from_grey(array.astype(np.uint16))


def ids_of_objects(objects: np.ndarray) -> np.ndarray:
    """A map (H, W) of ids from 1 on of objects (N, H, W): truth values, ids, coverage or logits.

    A pixel is its strongest object's, and nobody's where no object covers at least half of it.
    """
    highest, least = float(objects.max()), 0.0
    if objects.dtype.kind == "f" and objects.min() >= 0 and highest <= 1:
        least = 0.5
    elif highest > _IDS and objects.min() >= 0:  # grey levels
        least = 0.5 * highest
    return np.where((objects > least).any(0), 1 + objects.argmax(0), 0)


def _load_picture(path: Path) -> np.ndarray:
    """The picture as stored: (H, W), or (H, W, 3 or 4) RGB(A), 8 or 16 bits; a palette's indices if they are ids."""
    with files.reading(path, "image") as file:
        content = file.read()
        limits.check_pixels(*files.declared_size(content))
        palette = content[:8] == b"\x89PNG\r\n\x1a\n" and content[25:26] == b"\x03"
        indices = _palette_ids(content) if palette else None
        if indices is not None:
            return indices
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise ValueError("it cannot be decoded")
        if image.ndim == 2:
            return image
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def _palette_ids(content: bytes) -> np.ndarray | None:
    """The indices of a palette picture if they are ids: few, and not all of them greys. OpenCV reads only colours."""
    with Image.open(BytesIO(content), formats=("PNG",)) as picture:
        indices = np.array(picture)
        colours = np.array(picture.getpalette(), np.uint8).reshape(-1, 3)
    used = np.unique(indices)
    if len(used) > _IDS or not np.ptp(colours[used], axis=1).any():
        return None
    return indices.astype(np.uint8).view(_Ids)


class _Ids(np.ndarray):
    """An array whose values are known to be ids."""


def _from_picture(image: np.ndarray, path: Path) -> np.ndarray:
    if isinstance(image, _Ids):
        return np.asarray(image)
    if image.ndim == 2:
        return _from_grey(image)
    if image.shape[2] == 4 and np.ptp(image[..., 3]):
        return _from_grey(np.ascontiguousarray(image[..., 3]))
    colours = image[..., :3]
    if np.ptp(colours, axis=2).max() <= _SHADE * (257 if colours.dtype == np.uint16 else 1):
        return _from_grey(colours[..., 1].copy())
    return _from_colours(colours if colours.dtype == np.uint8 else (colours >> 8).astype(np.uint8), path)


def _from_grey(image: np.ndarray) -> np.ndarray:
    counts = np.bincount(image.ravel())
    values = np.flatnonzero(counts)
    counts, highest = counts[values], int(values[-1])
    masked = values > 0
    if masked.sum() <= 1:
        return (image > 0).astype(np.uint8)
    if masked.sum() <= _IDS and (highest <= _IDS or _even_below(image, highest) > _AREA * counts[masked].sum()):
        return image.astype(np.int64)
    full = next(scale for scale in (255, 1023, 4095, 65535) if scale >= highest)
    return (image / np.float32(full)).astype(np.float32)


def _even_below(image: np.ndarray, highest: int) -> int:
    """How many pixels are masked, are not at the highest value, and equal all their neighbours.

    A soft outline has none, and an area of an id has many.
    """
    square = np.ones((3, 3), np.uint8)
    even = cv2.erode(image, square) == cv2.dilate(image, square)
    return int(np.count_nonzero(even & (image > 0) & (image < highest)))


def _from_colours(image: np.ndarray, path: Path) -> np.ndarray:
    value = image.max(-1)
    full = np.median(image[value >= 0.8 * value.max()], axis=0)
    off = np.abs(image - (value / full.max())[..., None] * full).max(-1)
    if np.quantile(off[value > _SHADE], 0.95) <= 3 * _SHADE:  # shades of one colour; JPEG keeps colours coarsely
        return _from_grey((value * (255 / full.max())).clip(0, 255).round().astype(np.uint8))
    packed = image.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    values, ids = np.unique(packed, return_inverse=True)
    ids = ids.reshape(packed.shape)
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    if len(values) <= _IDS:
        background = 0 if values[0] == 0 else int(np.bincount(ids[_edge(ids.shape)]).argmax())
        return np.where(ids == background, 0, 1 + ids)
    paper = np.median(border, axis=0)
    even = (np.abs(border - paper).max(1) <= _SHADE).mean()
    if even < 0.9:
        raise UserError(f"{path} is a photograph and no mask: name the folder of the masks.")
    outside = (np.abs(image - paper).max(-1) <= _SHADE).astype(np.uint8)
    _, pieces = cv2.connectedComponents(outside, connectivity=4)
    reached = np.unique(np.asarray(pieces)[_edge(outside.shape)])  # dark clothes are not the paper
    return (~(np.isin(pieces, reached[reached > 0]))).astype(np.uint8)


def _edge(shape: tuple[int, ...]) -> Bool[np.ndarray, "H W"]:
    """The pixels along the picture's four sides."""
    edge = np.ones(shape, bool)
    edge[1:-1, 1:-1] = False
    return edge
