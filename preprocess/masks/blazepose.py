"""Stage 4 by our own means: from the pose network's coarse mask, the pictures and the fitted body."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from rich.progress import Progress

from hashhuman.data.spacing import evenly_spaced
from hashhuman.data.subject import Picture, Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io import threads
from hashhuman.io.files import read_image
from hashhuman.io.journal import Arrays, Journal
from preprocess.keypoints.points import Keypoints, others_folder, points_path, segmentation_folder
from preprocess.masks import clean, refine
from preprocess.masks.background import Background, is_static, median_background
from preprocess.masks.draw import draw_stage
from preprocess.masks.matting import lengthening, matte
from preprocess.masks.outputs import mask_outputs
from preprocess.masks.parts import PartRenderer, spread_classes
from preprocess.masks.plate import Plate, measure_plate
from preprocess.stage import Stage, unfinished

Box = tuple[slice, slice]  # rows, columns
_SEEN = 26  # 8-bit probability from which a pixel may show the person
_MARGIN = 10.0  # pixels of the network's mask kept around the person
_TRIED = 12  # pictures whose outlines are compared before any is replaced
_RAGGED = 1.1  # new outlines may be so many times as long as the old ones (`benchmarks/outlines.py`)


@dataclasses.dataclass(frozen=True)
class _Clip:
    """The sequence at the resolution of the network's mask."""

    unit: float  # pixels of the pictures in one pixel of the network's mask
    greys: list[UInt8[np.ndarray, "h w"]]
    probabilities: list[UInt8[np.ndarray, "h w"]]
    detected: set[int]  # numbers of the frames in which the person was found

    @staticmethod
    def read(subject: Subject, progress: Progress) -> "_Clip":
        """Reads every picture and its network mask, which is empty where nobody was detected.

        Raises UserError if a mask is missing or has another size than its picture.
        """
        folder = segmentation_folder(subject.root)
        keypoints = Keypoints.load(points_path(subject.root))
        detected = set(keypoints.frames[keypoints.detected].tolist())
        crops = keypoints.crop[keypoints.detected, :2, :2]
        clip = _Clip(max(1.0, float(np.median(np.sqrt(np.abs(np.linalg.det(crops)))))), [], [], detected)

        def read_small(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
            image, path = subject.image(picture), folder / f"{picture.frame:06d}.png"
            if not path.exists():
                raise UserError(
                    f"{path} does not exist: masks=blazepose needs keypoints=blazepose; or use masks=folder."
                )
            probability = read_image(path)
            if probability.shape != image.shape[:2]:
                raise UserError(f"{path} does not have the size of {picture.image}: run the keypoints stage again.")
            if picture.frame not in detected:
                probability = np.zeros_like(probability)
            return clip.shrink(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)), clip.shrink(probability)

        steps = threads.ordered(read_small, subject.pictures)
        for grey, probability in progress.track(steps, total=len(subject.pictures), description="reading"):
            clip.greys.append(grey)
            clip.probabilities.append(probability)
        return clip

    def shrink(self, image: np.ndarray) -> np.ndarray:
        """A picture or mask (H, W) at the resolution of the network's mask."""
        height, width = (max(1, round(length / self.unit)) for length in image.shape[:2])
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


class BlazePoseMasks(Stage):
    """Writes `mask/` (8-bit coverage), `schp/` (part labels) and, of a static camera, `plate/`.

    Masks and labels are empty where nobody was detected.

    Args:
        background: use the background of a static camera as a further cue; None: if the camera turns out to be static.
        background_pictures: how many pictures the median of the background is taken over.
        matting: estimate the coverage along the outline from the plate, if the background is used.
        pictures: how many pictures to draw.
        force: run even if nothing has changed.
    """

    name: ClassVar[str] = "masks"
    version: ClassVar[int] = 4

    def __init__(
        self,
        background: bool | None = None,
        background_pictures: int = 40,
        matting: bool = True,
        pictures: int = 12,
        force: bool = False,
    ) -> None:
        if background_pictures < 1:
            raise UserError(f"preprocess.masks.background_pictures={background_pictures} must be at least 1.")
        self.background, self.background_pictures = background, background_pictures
        self.matting, self.pictures = matting, pictures
        self.force = force

    def inputs(self, subject: Path) -> list[Path]:
        body = [subject / "smpl_lbs" / f"{name}.npy" for name in ("faces", "weights")]
        keypoints = [points_path(subject), segmentation_folder(subject), others_folder(subject)]
        return [subject / "images", *keypoints, subject / "annots.npy", *body, subject / "smpl_vertices"]

    def outputs(self, subject: Path) -> list[Path]:
        return mask_outputs(subject, self.name)

    def settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("background", "background_pictures", "matting", "pictures")}

    def run(self, subject: Path, progress: Progress) -> str:
        with unfinished(self, subject).journal() as journal:
            return self._run(subject, journal, progress)

    def _run(self, subject: Path, journal: Journal, progress: Progress) -> str:
        reader = Subject(subject)
        render = PartRenderer(reader.template())
        clip = _Clip.read(reader, progress)
        height, width = reader.camera(0).height, reader.camera(0).width
        anywhere = np.max(clip.probabilities, axis=0) >= _SEEN
        region = _box_around(anywhere, clip.unit, _MARGIN * clip.unit, height, width)
        background = self._background(reader, render, clip, region)
        masker = _Masker(reader, render, clip, region, background)

        def mask(index: int) -> float:
            written = _written(masker.writer, reader.pictures[index])
            # A picture whose outlines are done has no longer the files of its first mask.
            record = journal.get(f"outlines/{index}", written) or journal.once(
                f"mask/{index}", lambda: {"share": np.array(masker(index))}, written
            )
            return record["share"].item()

        steps = threads.ordered(mask, range(len(reader.pictures)))
        shares = list(progress.track(steps, total=len(reader.pictures), description="masks"))
        outlines = ""
        if self.matting and background is not None:
            outlines = self._follow_outlines(subject, clip.detected, shares, journal, progress)
        draw_stage(Subject(subject), subject / "pictures" / self.name, self.pictures)
        camera = "moving camera" if background is None else "static camera"
        empty = f", nobody in {shares.count(0.0)} of them" if 0.0 in shares else ""
        filled = np.mean([share for share in shares if share] or [0.0])
        return f"{len(shares)} masks{empty}, {camera}{outlines}; the person fills {100 * filled:.0f} % of the picture"

    def _follow_outlines(
        self, folder: Path, detected: set[int], shares: list[float], journal: Journal, progress: Progress
    ) -> str:
        """Writes the plate, and the masks again with the coverage that it shows. Returns a phrase on it.

        Frames in which nobody was detected are left out: the person may be there unseen, and is no part of the plate.
        Nothing is written if the new outlines would be ragged, as where sharpening or noise surrounds the person.
        """
        reader, writer = Subject(folder), SubjectWriter(folder)
        chosen = [index for index, picture in enumerate(reader.pictures) if picture.frame in detected]
        # Measured on masks that are about to be replaced, so that it cannot be measured again.
        measured = journal.once("plate", lambda: self._measure_plate(reader, [reader.pictures[i] for i in chosen]))
        if not measured:
            return ", outlines without the plate, which would make them ragged"
        plate = Plate(**measured)
        writer.write_plate(0, plate.colour, plate.known)

        def follow(index: int) -> None:
            picture = reader.pictures[index]

            def compute() -> Arrays:
                mask, parts = reader.mask(picture), reader.parts(picture)
                covered = matte(reader.image(picture), mask, plate)
                writer.write_mask(picture.camera, picture.frame, covered)
                writer.write_parts(picture.camera, picture.frame, spread_classes(parts, np.rint(covered * 255) > 127))
                return {"share": np.array(shares[index])}

            journal.once(f"outlines/{index}", compute, _written(writer, picture))

        for _ in progress.track(threads.ordered(follow, chosen), total=len(chosen), description="outlines"):
            pass
        return ", outlines by the plate"

    def _measure_plate(self, reader: Subject, pictures: list[Picture]) -> Arrays:
        """The fields of the plate; none if the outlines that it gives are ragged."""
        plate = measure_plate(reader, evenly_spaced(pictures, self.background_pictures))
        tried = evenly_spaced(pictures, _TRIED)
        ragged = np.median([lengthening(reader.image(p), reader.mask(p), plate) for p in tried]) > _RAGGED
        return {} if ragged else vars(plate)

    def _background(self, reader: Subject, render: PartRenderer, clip: _Clip, region: Box) -> Background | None:
        """The background in a region of the pictures, or None if it is not to be used."""
        pictures = reader.pictures
        chosen = evenly_spaced(range(len(pictures)), self.background_pictures)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))

        def covered(picture: Picture, probability: np.ndarray) -> np.ndarray:
            if picture.frame not in clip.detected:  # the person may be there unseen, where the body is filled in
                body = render(reader.camera(picture.camera), reader.vertices(picture.frame))
                probability = clip.shrink(np.where(body != 0, 255, 0).astype(np.uint8))
            return cv2.dilate(probability, kernel) >= _SEEN

        people = [covered(pictures[i], clip.probabilities[i]) for i in chosen]
        use_background = self.background
        if use_background is None:
            use_background = is_static([clip.greys[i] for i in chosen], people)
        if not use_background:
            return None
        images = np.stack(list(threads.ordered(lambda i: reader.image(pictures[i])[region], chosen)))
        size = reader.camera(0).width, reader.camera(0).height
        full = [cv2.resize(p.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)[region] > 0 for p in people]
        return median_background(images, np.stack(full))


class _Masker:
    """Makes the mask and part labels of a picture, for pictures in any order."""

    def __init__(
        self, reader: Subject, render: PartRenderer, clip: _Clip, region: Box, background: Background | None
    ) -> None:
        self.reader, self.render, self.clip = reader, render, clip
        self.region, self.background = region, background
        self.writer = SubjectWriter(reader.root)
        self.camera = reader.camera(0)

    def __call__(self, index: int) -> float:
        """Writes both for picture `index` and returns the fraction of the picture that the person fills."""
        picture, unit = self.reader.pictures[index], self.clip.unit
        height, width = self.camera.height, self.camera.width
        if picture.frame not in self.clip.detected:
            return self._write(picture, np.zeros((height, width), np.float32), np.zeros((height, width), np.uint8))
        image = self.reader.image(picture)
        body = self.render(self.camera, self.reader.vertices(picture.frame))
        probability = clean.temporal_median(self.clip.probabilities, self.clip.greys, index)
        near = (probability >= _SEEN) | (self.clip.shrink((body != 0).astype(np.uint8)) > 0)
        box = _box_around(near, unit, _MARGIN * unit, height, width)
        background = None if self.background is None else self._background_in(box)
        large = cv2.resize(probability, (width, height), interpolation=cv2.INTER_CUBIC)[box].astype(np.float32) / 255
        covered = refine.coverage(image[box], large, unit, background)
        if (others := others_folder(self.reader.root) / f"{picture.frame:06d}.png").exists():
            covered *= 1 - read_image(others)[box].astype(np.float32) / 255  # they differ from the background as well
        covered = clean.fill_pinholes(clean.drop_islands(covered, body[box] != 0), 4 * unit**2)
        mask, parts = np.zeros((height, width), np.float32), np.zeros((height, width), np.uint8)
        mask[box], parts[box] = covered, spread_classes(body[box], covered > 0.5)
        return self._write(picture, mask, parts)

    def _write(self, picture: Picture, mask: np.ndarray, parts: np.ndarray) -> float:
        self.writer.write_mask(picture.camera, picture.frame, mask)
        self.writer.write_parts(picture.camera, picture.frame, parts)
        return np.count_nonzero(parts) / parts.size

    def _background_in(self, box: Box) -> Background:
        """The background in a box of the picture; unknown outside the region."""
        assert self.background is not None
        colour = np.zeros((self.camera.height, self.camera.width, 3), np.float32)
        known = np.zeros(colour.shape[:2], bool)
        colour[self.region], known[self.region] = self.background.colour, self.background.known
        return Background(colour[box], known[box])


def _written(writer: SubjectWriter, picture: Picture) -> list[Path]:
    """The files of a picture that the stage writes."""
    return [path(picture.camera, picture.frame) for path in (writer.mask_path, writer.parts_path)]


def _box_around(seen: Bool[np.ndarray, "h w"], scale: float, margin: float, height: int, width: int) -> Box:
    """The box around a mask, in a picture that is larger than the mask; the whole picture if the mask is empty.

    Args:
        seen: the mask.
        scale: pixels of the picture in one pixel of the mask.
        margin: to add on each side (pixels of the picture).
        height, width: of the picture.
    """
    if not seen.any():
        return slice(0, height), slice(0, width)
    limits = []
    for axis, length in ((1, height), (0, width)):
        hit = np.flatnonzero(seen.any(axis))
        low, high = int(hit[0] * scale - margin), int((hit[-1] + 1) * scale + margin) + 1
        limits.append(slice(max(low, 0), min(high, length)))
    return limits[0], limits[1]
