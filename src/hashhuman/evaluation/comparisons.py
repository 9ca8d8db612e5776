"""Pictures of truth, render and error side by side."""

from pathlib import Path

from hashhuman.evaluation import drawing
from hashhuman.evaluation.metrics.protocols import Comparison
from hashhuman.evaluation.product import (
    TITLES,
    Evaluation,
    Made,
    MeasuredPicture,
    Product,
    Submit,
    picture_count,
    remove_other_pictures,
)
from hashhuman.io.files import write_image


class Comparisons(Product):
    """Writes `comparisons/SPLIT/CC_FFFFFF.png`.

    Args:
        pictures: number of pictures of each split, evenly spaced, or "all".

    Raises:
        UserError: for any other value of `pictures`.
    """

    def __init__(self, pictures: int | str) -> None:
        self.pictures = picture_count("eval.products.comparisons.pictures", pictures)
        self.written: dict[str, Path] = {}  # name for loggers: file

    def picture(self, evaluation: Evaluation, picture: MeasuredPicture, submit: Submit) -> None:
        """Writes the comparison if the picture is one of the selected ones."""
        if picture.among(self.pictures):
            column = next(iter(picture.figures))
            title = f"{TITLES[picture.split]} {picture.name}: {column} {picture.figures[column]:.2f}"
            name = f"{picture.split}/{picture.name.replace('/', '_')}"
            self.written[name] = evaluation.folder / "comparisons" / f"{name}.png"
            submit(_write, picture.comparison, title, self.written[name])

    def make(self, evaluation: Evaluation) -> Made:
        """Removes the pictures of an earlier evaluation, if this one has written any."""
        if not self.written:
            return Made()
        images, self.written, folder = self.written, {}, evaluation.folder / "comparisons"
        remove_other_pictures(folder, images.values())
        return Made({"comparisons": folder}, images=images)


def _write(comparison: Comparison, title: str, path: Path) -> None:
    covered = (comparison.mask > 0) | (comparison.alpha > 0.5)
    write_image(path, drawing.side_by_side(comparison.rgb, comparison.truth, covered, title))
