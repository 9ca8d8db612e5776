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

FITTED = "_fitted"  # the folders of pictures in fitted poses end so, as the columns of their figures do


class Images(Product):
    """Writes `images/CC/FFFFFF.png` on black and `mask/CC/FFFFFF.png`, with the names of the true pictures.

    With `eval.fit_poses` also `images_fitted/` and `mask_fitted/`, in poses that were fitted to the true pictures.

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
            for suffix, shown in (("", picture.comparison), (FITTED, picture.fitted)):
                for kind, image in (("images", shown.rgb), ("mask", shown.alpha)) if shown else ():
                    path = evaluation.folder / f"{kind}{suffix}" / f"{picture.name}.png"
                    self.written.add(path)
                    submit(write_image, path, drawing.to_uint8(image))

    def make(self, evaluation: Evaluation) -> Made:
        """Removes the pictures of an earlier evaluation, if this one has written any."""
        if not self.written:
            return Made()
        written, self.written = self.written, set()
        for kind in ("images", "mask"):
            for suffix in ("", FITTED):
                remove_other_pictures(evaluation.folder / f"{kind}{suffix}", written)
        folders = {"rendered pictures": "images", "their masks": "mask", "pictures in fitted poses": f"images{FITTED}"}
        paths = {label: evaluation.folder / name for label, name in folders.items()}
        return Made({label: path for label, path in paths.items() if path.exists() or FITTED not in path.name})
