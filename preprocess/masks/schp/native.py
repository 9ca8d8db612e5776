"""Stage 4 with our own implementation of the parsing network and a published checkpoint."""

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rich.progress import Progress

from hashhuman.data.subject import Picture, Subject
from hashhuman.errors import UserError
from hashhuman.gpu.device import device_named
from hashhuman.io.assets import cache_root
from hashhuman.io.journal import Arrays
from preprocess.keypoints.points import points_files
from preprocess.masks.draw import draw_stage
from preprocess.masks.outputs import mask_outputs
from preprocess.masks.schp.checkpoint import load_network, missing_checkpoint
from preprocess.masks.schp.labels import LABEL_SETS
from preprocess.masks.schp.parser import Parser
from preprocess.masks.schp.person import PersonBoxes, PersonWriter, describe
from preprocess.stage import Stage, unfinished


class SchpMasks(Stage):
    """Writes `mask/` (255 where a pixel has a label) and `schp/` (part labels in LIP's palette).

    Args:
        labels: the classes of the checkpoint, a key of `LABEL_SETS`.
        checkpoint: its file; None: the published one in schp/ of the folder of weights.
        scales: sizes of the crop whose results are averaged, relative to the size that the network was trained on.
        flip: average the results for each crop and its mirror image.
        margin: around the person's box, as a fraction of its longer side.
        pictures: how many pictures to draw.
        force: run even if nothing has changed.
    """

    name: ClassVar[str] = "masks"

    def __init__(
        self,
        labels: str = "lip",
        checkpoint: str | None = None,
        scales: Sequence[float] = (1.0,),
        flip: bool = True,
        margin: float = 0.05,
        pictures: int = 12,
        force: bool = False,
    ) -> None:
        if labels not in LABEL_SETS:
            raise UserError(f"preprocess.masks.labels={labels} is none of {', '.join(LABEL_SETS)}.")
        if not scales or min(scales) <= 0:
            raise UserError(f"preprocess.masks.scales={list(scales)} must name at least one scale, all above 0.")
        self.labels, self.scales, self.flip, self.margin = labels, [float(s) for s in scales], flip, margin
        published = cache_root() / "schp" / LABEL_SETS[labels].checkpoint
        self.checkpoint = Path(checkpoint).expanduser() if checkpoint else published
        self.pictures = pictures
        self.force = force

    def missing(self) -> str | None:
        return missing_checkpoint(self.checkpoint, LABEL_SETS[self.labels])

    def inputs(self, subject: Path) -> list[Path]:
        body = [subject / "smpl_lbs" / f"{name}.npy" for name in ("faces", "weights")]
        found = [*points_files(subject), subject / "annots.npy", *body, subject / "smpl_vertices"]
        return [self.checkpoint, subject / "images", *found]

    def outputs(self, subject: Path) -> list[Path]:
        return mask_outputs(subject, self.name)

    def settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("labels", "scales", "flip", "margin", "pictures")}

    def run(self, subject: Path, progress: Progress) -> str:
        labels = LABEL_SETS[self.labels]
        device = device_named("auto", "device")
        network = load_network(self.checkpoint, labels).to(device)
        reader = Subject(subject)
        parser = Parser(network, labels, self.scales, self.flip, self.margin, device)
        boxes, writer = PersonBoxes(reader), PersonWriter(reader)

        def parse(picture: Picture) -> Arrays:
            body, box = writer.body(picture), boxes(picture)
            classes = body * 0 if box is None else parser(reader.image(picture), box)
            return {"share": np.array(writer.write(picture, labels.to_lip(classes, body), body))}

        def parsed(picture: Picture) -> float:
            name = f"{picture.camera}/{picture.frame}"
            return journal.once(name, functools.partial(parse, picture), writer.paths(picture))["share"].item()

        with unfinished(self, subject).journal() as journal, ThreadPoolExecutor() as pool:
            steps = pool.map(parsed, reader.pictures)
            shares = list(progress.track(steps, total=len(reader.pictures), description="masks"))
        draw_stage(Subject(subject), subject / "pictures" / self.name, self.pictures)
        return describe(shares)
