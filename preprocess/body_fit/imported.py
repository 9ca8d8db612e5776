"""The body_fit stage with poses that another tool found, converted to the subject's body, pictures and camera."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from rich.progress import Progress

from hashhuman.body.model import BodyModel
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from preprocess.body_fit.evidence.observe import Observations
from preprocess.body_fit.init.from_motion import init_from_motion
from preprocess.body_fit.native import Initialise, NativeFit
from preprocess.body_fit.source.join import Seen, group, join
from preprocess.body_fit.source.motion import Motion, Source, resample
from preprocess.body_fit.source.shift import counts_frames, shift_of
from preprocess.frames.numbering import COUNTING
from preprocess.frames.video_index import VideoIndex, video_index
from preprocess.keypoints.movenet import Detection
from preprocess.keypoints.tracks import Track, choose

SAME_PICTURE = 0.5  # pictures: a row of the file farther away belongs to another picture


class ImportedFit(NativeFit):
    """Takes poses from files of other tools (`source/`) or a plain .npz; writes what a fit writes.

    The tool's own body takes poses and shape as they are. Another body gets poses by bone directions. If the file holds
    joint positions, its shape follows from their bone lengths; if not, its position follows from the keypoints. If the
    file holds points on the body, shape and poses are fitted to them. The stages may then refine what they free, as in
    the native fit.

    Args:
        body, stages, surface, pictures, device, force: as for `NativeFit`; without stages the tool's poses are kept.
        source: reads the tool's files.
        path: the file or folder.
        person: which track, if there are several: None takes the person of the keypoints, a number counts from the
            left, a point [x, y] takes the nearest (pixels of images/00).
        least_frames, least_fraction: the track is refused if it has fewer pictures than one of these (a count, and a
            share of all pictures); gaps are interpolated.

    Raises UserError if there is nothing at `path`.
    """

    def __init__(
        self,
        body: Callable[[], BodyModel],
        source: Source,
        path: str,
        stages: Sequence[Mapping[str, Any]] = (),
        person: int | Sequence[float] | None = None,
        least_frames: int = 5,
        least_fraction: float = 0.1,
        surface: int = 1400,
        pictures: int = 12,
        device: str = "auto",
        force: bool = False,
    ):
        super().__init__(body, stages, surface=surface, pictures=pictures, device=device, force=force)
        self.source, self.path = source, Path(path).expanduser()
        self.person = person if person is None or isinstance(person, int) else [float(x) for x in person]
        self.least_frames, self.least_fraction = least_frames, least_fraction
        self._joined = ""
        if not self.path.exists():
            raise UserError(f"there is nothing at {self.path}: correct preprocess.body_fit.path.")

    def inputs(self, subject: Path) -> list[Path]:
        return [*super().inputs(subject), *self.source.files(self.path)]

    def settings(self) -> dict[str, Any]:
        source = {"class": type(self.source).__qualname__, **vars(self.source)}
        own = {name: getattr(self, name) for name in ("person", "least_frames", "least_fraction")}
        return {**super().settings(), "source": source, **own}

    def run(self, subject: Path, progress: Progress) -> str:
        summary = super().run(subject, progress)
        return f"{summary}; tracks {self._joined} are one person's and were joined" if self._joined else summary

    def initialisation(
        self, subject: Path, observations: Observations, camera: Camera
    ) -> tuple[Initialise, Bool[np.ndarray, "F"]]:
        people = self.source.read(self.path, camera.width, camera.height)
        known = video_index(subject)
        found, reaches = [], []
        for motion in people:
            self._refuse_longer(motion, known)
            at = known.seconds if motion.seconds else known.pictures.astype(float)
            if at is None:
                raise UserError(
                    f"{self.path} gives times in seconds, but {subject} was not made from a video, so its pictures "
                    "have no times: choose a source that numbers pictures (preprocess.body_fit.source)."
                )
            reach = 0.5 * float(np.median(np.diff(at))) if motion.seconds and len(at) > 1 else SAME_PICTURE
            found.append(resample(motion, at, reach))
            reaches.append((at, reach))
        keypoints = Seen.of(observations.image, observations.visibility)
        tracks = [(m, ~f) for m, f in found]
        chosen = group(self._chosen(tracks, keypoints, camera), tracks, keypoints)
        motion, filled = found[chosen[0]]
        if len(chosen) > 1:
            at, reach = reaches[chosen[0]]
            motion, filled = resample(join([people[i] for i in chosen], reach), at, reach)
        self._refuse_shift(people[chosen[0]], known, keypoints)
        self._joined = motion.track if motion.track != people[chosen[0]].track else ""
        if (~filled).sum() < max(self.least_frames, self.least_fraction * len(filled)):
            raise UserError(
                f"{self.path} has the person in {(~filled).sum()} of {len(filled)} pictures only: choose another "
                "person (preprocess.body_fit.person), or the part of the video that it covers "
                "(preprocess.frames.start, stop)."
            )
        return functools.partial(init_from_motion, motion=motion, path=self.path), filled

    def _refuse_longer(self, motion: Motion, known: VideoIndex) -> None:
        """Raises UserError if the motion goes on after the video's end."""
        if not motion.seconds and known.total and motion.at[-1] >= known.total + COUNTING:
            raise UserError(
                f"{self.path} has poses up to picture {motion.at[-1]:.0f} (from 0), but the video has {known.total} "
                "pictures: run the tool on this video."
            )

    def _refuse_shift(self, motion: Motion, known: VideoIndex, keypoints: Seen) -> None:
        """Raises UserError if the poses are those of other pictures."""
        if counts_frames(motion, known.pictures.astype(float), keypoints):
            raise UserError(
                f"{self.path} numbers the subject's frames, not the video's pictures, of which some are left out "
                "(preprocess.frames.start, step): run the tool on the video itself, or name its files by the video's "
                "numbers."
            )
        if (late := shift_of(motion, known.pictures.astype(float), keypoints)) != 0:
            raise UserError(
                f"{self.path}: the person is {abs(late)} pictures {'late' if late > 0 else 'early'} against the "
                "keypoints, so its pictures are numbered otherwise than the video's: run the tool on the whole video, "
                "or correct the numbers."
            )

    def _chosen(self, people: list[tuple[Motion, Bool[np.ndarray, "F"]]], keypoints: Seen, camera: Camera) -> int:
        """The index of a track of the person that is meant.

        Every track comes with a flag for each picture that it has.
        """
        if len(people) == 1 and self.person in (None, 0):
            return 0
        if self.person is not None and any(motion.seen is None for motion, _ in people):
            raise UserError(
                f"{self.path} holds one person, and no position in the pictures: leave out preprocess.body_fit.person."
            )
        if self.person is not None:
            tracks = [_track(motion, known) for motion, known in people]
            return tracks.index(choose(tracks, self.person, camera.width, camera.height))

        def distance(seed: int) -> float:
            """Of the person of a track from the keypoints, in pixels, added up over the pictures with keypoints."""
            # a picture without this person counts as one in which they are a picture's width away
            off = np.full(len(keypoints.known), float(camera.width))
            for motion, known in (people[i] for i in group(seed, people, keypoints)):
                assert motion.seen is not None  # a source of several people gives their positions
                apart = np.linalg.norm(motion.seen - keypoints.middle, axis=1)
                off = np.where(known, np.minimum(off, apart), off)
            return float(off[keypoints.known].sum())

        return min(range(len(people)), key=lambda i: (distance(i), -int(people[i][1].sum())))


def _track(motion: Motion, known: Bool[np.ndarray, "F"]) -> Track:
    """The person's positions in the pictures that show them; if none does, in all pictures."""
    assert motion.seen is not None  # a source of several people gives their positions
    rows = np.flatnonzero(known) if known.any() else np.arange(len(known))
    detections = {int(i): Detection(motion.seen[i, None], np.ones(1), np.tile(motion.seen[i], 2), 1.0) for i in rows}
    track = Track(int(rows[0]), detections[int(rows[0])])
    track.detections = detections
    return track
