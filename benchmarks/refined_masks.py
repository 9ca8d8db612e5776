"""Compares the masks that avatars have learned, and those that they were trained with, with the true coverage.

    python benchmarks/refined_masks.py RUN ... --scenes FOLDER [--sheets FOLDER] [--label NAME] [--results FOLDER]

A run is FOLDER/NAME that `real.py score --runs FOLDER` kept; `--scenes` holds the scene NAME. The learned masks are
what `hashhuman write-masks` writes. Frames that trained and frames that were held out, whose poses are interpolated,
are counted apart. Pictures whose truth the scene does not hold are not compared.

    mask_iou, mask_worst   intersection over union at half coverage: the mean, and the worst picture
    mask_soft              the same of coverages: sum of the lesser over sum of the greater
    mask_mae               mean absolute error of the coverage in the box around the person
    cut                    PSNR in that box between the true picture and the video's, cut out as training does (dB)

Half coverage is a doubtful cut where the truth was drawn with four samples a pixel: more than half of the pixels on the
outline are then covered by exactly a half, which counts as the person, and an estimate of 0.49 as an error.

`--sheets` writes a picture of each run, of the pictures in which the two masks differ most: the true picture, the
cut-outs with the given and with the learned mask, and the errors of both (red: too much; blue: too little).

Rows are kept in results/refined_masks_DEVICE.json, from which results/refined_masks_DEVICE.md is written.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.masks import cut_out, iou, psnr_in_box  # noqa: E402
from benchmarks.real import device, has_truth, true_path  # noqa: E402
from benchmarks.tables import Book, Row, reproducible  # noqa: E402
from hashhuman.data.subject import Picture, Subject  # noqa: E402
from hashhuman.data.subject.layout import REFINED_MASKS  # noqa: E402
from hashhuman.evaluation import drawing  # noqa: E402
from hashhuman.io.files import read_image, write_image  # noqa: E402
from hashhuman.training import run  # noqa: E402
from hashhuman.training.refined_masks import SPLITS, write_refined_masks  # noqa: E402

TITLES = {"masks": "Given and learned masks, against the true coverage"}
KINDS = ("given", "learned")
DRAWN = 4  # pictures on a sheet


class Compared(NamedTuple):
    """A picture with both masks."""

    truth: np.ndarray  # H W 3, 8 bits
    exact: np.ndarray  # H W
    masks: dict[str, np.ndarray]
    cuts: dict[str, np.ndarray]  # H W 3 in [0, 1]

    def figures(self, kind: str) -> Row:
        """The figures of a mask."""
        mask, exact = self.masks[kind], self.exact
        return {
            "mask_iou": iou(mask > 0.5, exact > 0.5),
            "mask_soft": float(np.minimum(mask, exact).sum() / np.maximum(mask, exact).sum()),
            "mask_mae": float(np.abs(mask - exact)[box(exact)].mean()),
            "cut": psnr_in_box(self.cuts[kind], self.truth, exact),
        }

    def change(self) -> float:
        """How far the masks differ."""
        given, learned = (self.masks[kind] for kind in KINDS)
        return float(np.abs(given - learned)[box(self.exact)].mean())

    def cells(self) -> list[np.ndarray]:
        """A row of the sheet."""
        shown = [self.truth / 255, *self.cuts.values(), *(errors(mask, self.exact) for mask in self.masks.values())]
        return [(255 * np.clip(x[box(self.exact)], 0, 1)).astype(np.uint8) for x in shown]


def measured(folder: Path, scene: Path, label: str, sheets: Path | None) -> Iterator[Row]:
    """The rows of a run: for each split, the masks that it was given and those that it learned."""
    _, data, _ = run.load(folder)
    drawn: list[Compared] = []
    with tempfile.TemporaryDirectory() as temporary:
        print(write_refined_masks(folder, Path(temporary)), file=sys.stderr, flush=True)
        for split in SPLITS:
            known = [picture for picture in data.splits[split] if has_truth(scene, data.subject, picture.frame)]
            pictures = [compared(picture, data.subject, scene, Path(temporary) / REFINED_MASKS) for picture in known]
            drawn = sorted([*drawn, *pictures], key=Compared.change)[-DRAWN:]
            for kind in KINDS if pictures else ():
                rows = [picture.figures(kind) for picture in pictures]
                means = {name: statistics.fmean(row[name] for row in rows) for name in rows[0]}
                row = {"scene": scene.name, "label": f"{label}, {kind}, {split}", "device": device()}
                yield row | {"pictures": len(rows)} | means | {"mask_worst": min(row["mask_iou"] for row in rows)}
    if sheets is not None:
        cells = [cell for picture in drawn for cell in picture.cells()]
        write_image(sheets / f"{folder.name}.png", drawing.sheet(cells, columns=5))


def compared(picture: Picture, subject: Subject, scene: Path, learned: Path) -> Compared:
    """A picture with the mask that the subject gives and the one in the folder `learned`."""
    truth, exact = (read_image(true_path(scene, kind, subject, picture.frame)) for kind in ("images", "mask"))
    name = Path(subject.camera_names[picture.camera]) / f"{picture.image.stem}.png"
    masks = {"given": subject.mask(picture), "learned": read_image(learned / name).astype(np.float32) / 255}
    image, plate = subject.image(picture), subject.plate(picture.camera)
    cuts = {kind: cut_out(image, mask, plate) for kind, mask in masks.items()}
    return Compared(truth, exact.astype(np.float32) / 255, masks, cuts)


def box(mask: np.ndarray, margin: int = 10) -> tuple[slice, slice]:
    """The rows and columns of a person and of some pixels around it."""
    rows, columns = (np.flatnonzero((mask > 0).any(axis)) for axis in (1, 0))
    inside = [slice(max(0, at[0] - margin), at[-1] + margin + 1) for at in (rows, columns)]
    return inside[0], inside[1]


def errors(mask: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Red where a mask has too much, blue where it has too little; the person is grey, on white."""
    more, less = (np.clip(2 * sign * (mask - exact), 0, 1) for sign in (1, -1))
    any_ = np.maximum(more, less)
    return 1 - np.stack([less, any_, more], -1) - 0.2 * (exact * (1 - any_))[..., None]


def main() -> None:
    """Measures all runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--sheets", type=Path)
    parser.add_argument("--label", default="default", help="what the rows are called")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    rows = []
    for folder in options.runs:
        rows += measured(folder, options.scenes / folder.name, options.label, options.sheets)
    print(Book("refined_masks", TITLES, options.results).keep("masks", reproducible(sys.argv[1:]), rows))


if __name__ == "__main__":
    main()
