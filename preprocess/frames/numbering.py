"""Matches the files or entries of another tool to the subject's pictures: by the numbers in their names."""

import re
from collections.abc import Sequence

from hashhuman.errors import UserError
from preprocess.frames.video_index import VideoIndex

COUNTING = 2  # pictures by which tools count a video's pictures differently
_PRESENT = 0.8  # of the subject's pictures: with fewer, the files belong to another clip


def numbers_in(names: Sequence[str]) -> list[int] | None:
    """The number that tells each name from the others, such as 12 in `clip2_000012_mask.png`.

    It is the last number that differs from name to name. None if the names have no such number.
    """
    runs = [[int(run) for run in re.findall(r"[0-9]+", name)] for name in names]
    if not runs or len({len(row) for row in runs}) != 1:
        return None
    for column in reversed(list(zip(*runs))):
        if len(set(column)) == len(column):
            return list(column)
    return None


def rows_of_pictures(
    numbers: Sequence[int] | None,
    count: int,
    index: VideoIndex,
    what: str,
    complete: bool = True,
    first: int | None = None,
) -> list[int | None]:
    """Which of `count` files belongs to each of the subject's F pictures; None where there is none.

    As many files as pictures are taken in order, unless their numbers are those of the video's pictures. Otherwise the
    numbers count, from 0 or, if the files begin with 1 and leave out 0, from 1, as ffmpeg's do.

    Args:
        numbers: in the files' names, in their order; None if they have none.
        count: of the files, in natural order.
        index: where the subject's pictures stand in the video.
        what: names the files in messages.
        complete: whether files that are absent are missing; otherwise a picture without a file shows nobody.
        first: the number of the video's first picture, if it is known.

    Raises UserError if the files do not belong to the pictures, or their numbers may mean two things.
    """
    expected = index.pictures.astype(int)
    if numbers is None:
        if count != len(expected):
            raise UserError(_not_one_each(what, count, len(expected)))
        return list(range(count))
    offset = first_number(numbers) if first is None else first
    place = {number - offset: row for row, number in enumerate(numbers)}
    found = [place.get(int(number)) for number in expected]
    absent = sum(row is None for row in found)
    if absent and count == len(expected) and complete:
        return list(range(count))
    if absent > (1 - _PRESENT if complete else 1) * len(expected) or absent == len(expected):
        raise UserError(_not_one_each(what, count, len(expected)))
    if index.total and max(place) >= index.total + COUNTING:
        raise UserError(
            f"{what} goes on to picture {max(place)} (from 0), but the video has {index.total} pictures, so it belongs "
            "to another video, or to one that was cut since: keep those of this video, and number them from its first."
        )
    return found


def first_number(numbers: Sequence[int]) -> int:
    """The number of the video's first picture: 1 if the numbers begin with 1, and otherwise 0."""
    return 1 if min(numbers) == 1 else 0


def _not_one_each(what: str, count: int, pictures: int) -> str:
    return (
        f"{what} holds {count} pictures for {pictures} frames: it needs one for each, best named by the number of the "
        "video's picture like 000012, or as many as frames, in order."
    )
