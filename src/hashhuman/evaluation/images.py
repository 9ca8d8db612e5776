"""The rendered pictures themselves, as 8-bit files."""

from pathlib import Path

from hashhuman.evaluation import drawing
from hashhuman.evaluation.product import (
    Beside,
    Evaluation,
    Made,
    MeasuredPicture,
    Product,
    picture_count,
    remove_other_pictures,
)
from hashhuman.io.files import write_image


class Images(Product):
    """Writes `images/CC/FFFFFF.png` and `mask/CC/FFFFFF.png`, on black, under the names of the true pictures.

    Args:
        pictures: how many of each split, evenly spaced; "all" for all. Raises UserError for anything else.
    """

    def __init__(self, pictures: int | str) -> None:
        self.pictures = picture_count("eval.products.images.pictures", pictures)
        self.written: set[Path] = set()

    def picture(self, evaluation: Evaluation, picture: MeasuredPicture, beside: Beside) -> None:
        """Writes the picture and its mask."""
        if picture.among(self.pictures):
            for kind, image in (("images", picture.comparison.rgb), ("mask", picture.comparison.alpha)):
                path = evaluation.folder / kind / f"{picture.name}.png"
                self.written.add(path)
                beside(write_image, path, drawing.to_uint8(image))

    def make(self, evaluation: Evaluation) -> Made:
        """Removes the pictures that an earlier evaluation has left, if this one has made others."""
        if not self.written:
            return Made()
        written, self.written = self.written, set()
        folders = {kind: evaluation.folder / kind for kind in ("images", "mask")}
        for folder in folders.values():
            remove_other_pictures(folder, written)
        return Made({"rendered pictures": folders["images"], "their masks": folders["mask"]})
