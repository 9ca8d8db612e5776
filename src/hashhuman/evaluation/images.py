"""The rendered pictures as 8-bit files."""

from pathlib import Path

from hashhuman.evaluation import drawing
from hashhuman.evaluation.product import (
    Evaluation,
    Made,
    MeasuredPicture,
    Product,
    Submit,
    picture_count,
    remove_other_pictures,
)
from hashhuman.io.files import write_image


class Images(Product):
    """Writes `images/CC/FFFFFF.png` on black and `mask/CC/FFFFFF.png`, with the names of the true pictures.

    Args:
        pictures: number of pictures of each split, evenly spaced, or "all".

    Raises:
        UserError: for any other value of `pictures`.
    """

    def __init__(self, pictures: int | str) -> None:
        self.pictures = picture_count("eval.products.images.pictures", pictures)
        self.written: set[Path] = set()

    def picture(self, evaluation: Evaluation, picture: MeasuredPicture, submit: Submit) -> None:
        """Writes the picture and its mask if it is one of the selected ones."""
        if picture.among(self.pictures):
            for kind, image in (("images", picture.comparison.rgb), ("mask", picture.comparison.alpha)):
                path = evaluation.folder / kind / f"{picture.name}.png"
                self.written.add(path)
                submit(write_image, path, drawing.to_uint8(image))

    def make(self, evaluation: Evaluation) -> Made:
        """Removes the pictures of an earlier evaluation, if this one has written any."""
        if not self.written:
            return Made()
        written, self.written = self.written, set()
        folders = {kind: evaluation.folder / kind for kind in ("images", "mask")}
        for folder in folders.values():
            remove_other_pictures(folder, written)
        return Made({"rendered pictures": folders["images"], "their masks": folders["mask"]})
