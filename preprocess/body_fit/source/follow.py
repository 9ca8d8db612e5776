"""For tools that look at each picture by itself: their files' pictures, and the same person from picture to picture."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.listing import listed
from preprocess.body_fit.source.checks import entry
from preprocess.frames.numbering import first_number, numbers_in
from preprocess.keypoints.movenet import Detection
from preprocess.keypoints.tracks import Track, link

Person = TypeVar("Person")


def follow(
    pictures: Iterable[tuple[int, Sequence[Person]]], detection: Callable[[Person], Detection]
) -> list[tuple[list[int], list[Person]]]:
    """Each person's picture numbers, ascending, and what the tool says of them in those pictures.

    Args:
        pictures: numbers of pictures, and everybody whom the tool found there.
        detection: where a person is, in pixels.
    """
    tracks: list[Track] = []
    owners: dict[int, Person] = {}
    for number, people in sorted(pictures, key=lambda picture: picture[0]):
        detections = [detection(person) for person in people]
        owners |= {id(found): person for found, person in zip(detections, people)}
        link(tracks, number, detections)
    return [(sorted(t.detections), [owners[id(t.detections[n])] for n in sorted(t.detections)]) for t in tracks]


def detection_of(points: np.ndarray, path: Path, name: str) -> Detection:
    """Where a person is, from points (N, 2) of them in pixels. Raises UserError if the points coincide."""
    if len(points) < 2 or not np.ptp(points, axis=0).all():
        raise UserError(f"{path}: {name} must hold points of a person that do not coincide: create the file again.")
    return Detection(points, np.ones(len(points)), np.concatenate([points.min(0), points.max(0)]), 1.0)


def picture_files(folder: Path, suffixes: Collection[str], tool: str) -> list[Path]:
    """A folder's files with these suffixes, in natural order. Raises UserError if there are none."""
    if not folder.is_dir() or not (found := listed(folder, suffixes)):
        kinds = " or ".join(sorted(suffixes))
        raise UserError(f"{folder} must be a folder with a {kinds} file of {tool} for each picture of the video.")
    return found


def picture_numbers_of(names: Sequence[str], path: Path) -> list[int]:
    """The number of the video's picture, from 0, that each file is of, by its name without suffix.

    A name may have a person's number behind the picture's, such as 000012_1. Names without numbers count in order.

    Raises UserError, which names their folder `path`, for names with numbers that do not tell the pictures.
    """
    numbers = numbers_in(names) or _before_the_persons(names)
    if numbers is None and any(re.search(r"[0-9]", name) for name in names) and len(names) > 1:
        raise UserError(
            f"{path}: names such as {names[0]} and {names[-1]} do not tell which picture is which: name all alike, by "
            "the number of the video's picture, and of the person where there are several, such as 000012_1."
        )
    numbers = numbers or list(range(len(names)))
    first = first_number(numbers)
    return [number - first for number in numbers]


def _before_the_persons(names: Sequence[str]) -> list[int] | None:
    """The last but one of the numbers that differ from name to name, if these two tell the names apart."""
    runs = [[int(run) for run in re.findall(r"[0-9]+", name)] for name in names]
    if len({len(row) for row in runs}) != 1:
        return None
    columns = [column for column in zip(*runs) if len(set(column)) > 1]
    if len(columns) < 2 or len(set(zip(columns[-2], columns[-1]))) < len(names):
        return None
    return list(columns[-2])


def people_in(content: Any, keys: Sequence[str], path: Path) -> list[dict[str, Any]]:
    """Those entries of everybody in a picture: of one person's dictionary, or of dictionaries in a list or an archive.

    Raises UserError if one lacks an entry.
    """
    if isinstance(content, dict) and keys[0] not in content and content:
        inside = list(content.values())
        content = inside[0] if len(inside) == 1 and not isinstance(inside[0], dict) else inside
    if isinstance(content, np.ndarray) and (content.dtype == object or not content.size):
        content = content.reshape(-1).tolist()
    return [_of_one(person, keys, path) for person in (content if isinstance(content, list) else [content])]


def _of_one(person: Any, keys: Sequence[str], path: Path) -> dict[str, Any]:
    return {key: entry(person, key, path) for key in keys}
