"""The report as a product of the evaluation."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hashhuman.evaluation import drawing
from hashhuman.evaluation.metrics.protocols import Comparison
from hashhuman.evaluation.product import Evaluation, Made, MeasuredPicture, Product, Submit, picture_count
from hashhuman.io.files import atomic_path, write_image
from hashhuman.io.inside import check_inside
from hashhuman.report.environment import environment
from hashhuman.report.page import run_page
from hashhuman.report.pictures import FOLDER, KINDS, Pictures
from hashhuman.report.record import ENTRY, Record


class Report(Product):
    """`report.html`, one page that opens offline, and the pictures in it, which `python -m hashhuman.compare` reads.

    The page shows what the products before this one in the config have made. What would make it too large is left out,
    and named on it.

    Args:
        pictures: number of pictures of each split, evenly spaced, or "all".
        megabytes: the most that the page may have (MB).

    Raises:
        UserError: for any other value of `pictures`, and, from all methods, for a file that cannot be written.
    """

    def __init__(self, pictures: int | str, megabytes: int | float) -> None:
        self.pictures = picture_count("eval.products.report.pictures", pictures)
        self.megabytes = megabytes
        self.shown: dict[tuple[str, str], Pictures] = {}
        self.truths: dict[str, dict[str, str]] = {}  # split: {picture: digest of its truth}
        self.written: set[Path] = set()

    def picture(self, evaluation: Evaluation, picture: MeasuredPicture, submit: Submit) -> None:
        """Writes truth, render and error of the selected pictures. Notes by what truth each picture was measured."""
        submit(self._note_truth, picture.split, picture.name, picture.comparison)
        if picture.among(self.pictures):
            shown = Pictures.of(picture)
            self.shown[picture.split, picture.name] = shown
            paths = {kind: evaluation.folder / shown.path(kind) for kind in KINDS}
            check_inside(evaluation.folder, paths.values())
            self.written |= set(paths.values())
            submit(_write, picture.comparison, paths)

    def _note_truth(self, split: str, name: str, comparison: Comparison) -> None:
        self.truths.setdefault(split, {})[name] = digest(comparison.truth, comparison.mask)

    def make(self, evaluation: Evaluation) -> Made:
        """Removes the pictures of an earlier evaluation. Reports what the page and comparisons of runs need."""
        check_inside(evaluation.folder, [evaluation.folder / FOLDER])
        for path in set((evaluation.folder / FOLDER).rglob("*.jpg")) - self.written:
            path.unlink()
        inside = evaluation.folder.absolute()
        images, videos = {}, {}
        for name, made in evaluation.made.items():
            if name != "comparisons":  # the page has sliders instead
                images |= {label: _relative(path, inside) for label, path in made.images.items()}
            videos |= {label: _relative(path, inside) for label, path in made.videos.items()}
        entry: dict[str, Any] = {
            "environment": environment(evaluation.avatar.device),
            "pictures": [shown.entry for shown in self.shown.values()],
            "truths": {split: dict(sorted(found.items())) for split, found in self.truths.items()},
            "images": images,
            "videos": videos,
        }
        self.shown, self.truths, self.written = {}, {}, set()
        path = evaluation.folder / "report.html"
        return Made({"report": path}, {ENTRY: entry}, pages={"report": path})

    def finish(self, evaluation: Evaluation) -> None:
        """Writes the page."""
        record = Record.of(evaluation.folder, evaluation.report, evaluation.run)
        findings = evaluation.datamodule.subject.findings
        with atomic_path(evaluation.folder / "report.html") as path:
            path.write_text(run_page(record, findings, int(1e6 * self.megabytes)), encoding="utf-8")


def digest(truth: Tensor, mask: Tensor) -> str:
    """What tells whether two runs were measured by the same truth: a digest of the true picture and its mask.

    Args:
        truth: (H, W, 3) in [0, 1], as it was compared.
        mask: its coverage (H, W) in [0, 1].
    """
    pixels = torch.cat([truth, mask[..., None]], -1)
    content = repr(tuple(pixels.shape)).encode() + drawing.to_uint8(pixels).tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


def _write(comparison: Comparison, paths: dict[str, Path]) -> None:
    truth, render = drawing.to_uint8(comparison.truth), drawing.to_uint8(comparison.rgb)
    images = {"truth": truth, "render": render, "error": drawing.error_map(render, truth)}
    for kind, path in paths.items():
        write_image(path, images[kind])


def _relative(path: Path, folder: Path) -> str:
    return path.absolute().relative_to(folder).as_posix()
