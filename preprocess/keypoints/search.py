"""Looks for people in every n-th picture."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.progress import Progress

from hashhuman.io import threads
from hashhuman.io.files import read_rgb
from hashhuman.io.journal import Arrays, Journal
from preprocess.keypoints.movenet import Detection, MoveNets
from preprocess.keypoints.tracks import Track, link


def find_people(
    files: Sequence[Path], every: int, detector: MoveNets, journal: Journal, progress: Progress, name: str = "people"
) -> list[Track]:
    """The tracks of all people.

    Args:
        files: the pictures, in order.
        every: the detector sees every n-th picture.
        detector: finds people in a picture.
        journal: has the pictures that were searched before an interruption.
        progress: shows a progress bar.
        name: of the records in the journal.
    """
    chosen = range(0, len(files), every)
    tracks: list[Track] = []

    def look(index: int) -> Arrays:
        def detect() -> Arrays:
            return _packed(detector(read_rgb(files[index])))

        return journal.once(f"{name}/{index}", detect)

    looks = progress.track(threads.ordered(look, chosen), total=len(chosen), description="finding people")
    for index, people in zip(chosen, looks):
        link(tracks, index, _unpacked(people))
    return tracks


def _packed(people: list[Detection]) -> Arrays:
    fields = [field.name for field in dataclasses.fields(Detection)]
    return {f"{i}/{field}": np.array(getattr(person, field)) for i, person in enumerate(people) for field in fields}


def _unpacked(arrays: Arrays) -> list[Detection]:
    count = sum(name.endswith("/score") for name in arrays)
    return [
        Detection(arrays[f"{i}/points"], arrays[f"{i}/point_scores"], arrays[f"{i}/box"], arrays[f"{i}/score"].item())
        for i in range(count)
    ]
