"""Stage 4 with the masks of a published data set; parts are drawn from the body."""

import functools
from pathlib import Path
from typing import Any, Protocol

from hashhuman.data.subject import Subject
from hashhuman.io.masks import fit
from preprocess.frames.lens import Lens, Rectifier
from preprocess.frames.video_index import VideoIndex
from preprocess.keypoints.points import points_path
from preprocess.masks.given import DrawBody, GivenMask, GivenMasks, Masks


class MaskedDataset(Protocol):
    """What the stage asks of a data set."""

    folder: Path

    def mask_files(self) -> list[Path]:
        """The files that `mask` reads."""
        ...

    def mask(self, number: int) -> GivenMask | None:
        """The mask of a picture, from 0, as filmed; None if there is none. Raises UserError if it is damaged."""
        ...

    def lens(self) -> Lens:
        """The lens of pictures and masks."""
        ...

    def settings(self) -> dict[str, Any]:
        """What determines the masks besides the files, as JSON."""
        ...


class DatasetMasks(GivenMasks):
    """Writes `mask/` and `schp/` from the masks of a data set, rectified as the pictures are.

    Args:
        dataset: has the masks.
        pictures: how many pictures to draw.
        force: run even if nothing has changed.
    """

    def __init__(self, dataset: MaskedDataset, pictures: int = 12, force: bool = False) -> None:
        self.dataset, self.pictures, self.force = dataset, pictures, force
        self.path = dataset.folder

    def inputs(self, subject: Path) -> list[Path]:
        body = [subject / "smpl_lbs" / f"{name}.npy" for name in ("faces", "weights")]
        own = [subject / "images", subject / "annots.npy", points_path(subject), subject / "smpl_vertices", *body]
        return [*self.dataset.mask_files(), *own]

    def settings(self) -> dict[str, Any]:
        return {"dataset": self.dataset.settings(), "pictures": self.pictures}

    def masks(self, reader: Subject, index: VideoIndex, body: DrawBody) -> Masks:
        camera = reader.camera(0)
        width, height = index.size or (camera.width, camera.height)
        rectifier = Rectifier(self.dataset.lens(), height, width, None)

        def read(number: int) -> GivenMask | None:
            mask = self.dataset.mask(number)
            if mask is None:
                return None
            return GivenMask(rectifier.mask(fit(mask.content, height, width, mask.path)), mask.path)

        return {f: functools.partial(read, number) for f, number in zip(reader.frames, index.pictures.tolist())}
