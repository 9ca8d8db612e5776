"""The canonical sheet: pictures of the avatar in its canonical pose from all sides."""

import math

from hashhuman.body import visibility
from hashhuman.body.template import BodyPose
from hashhuman.evaluation import drawing
from hashhuman.evaluation.orbit import orbit
from hashhuman.evaluation.product import Evaluation, Made, Product
from hashhuman.evaluation.unseen import captioned, reported
from hashhuman.io.files import write_image
from hashhuman.io.progress import track


class CanonicalSheet(Product):
    """`canonical.png`: the avatar in its canonical pose (legs apart) from all sides, on one sheet.

    Args:
        views: number of views, at equal angles; the first one is the front.
        height: height of each picture (pixels).
        background: grey level in [0, 1].
    """

    def __init__(self, views: int, height: int, background: float) -> None:
        self.views, self.height, self.background = views, height, background

    def make(self, evaluation: Evaluation) -> Made:
        """Writes the sheet, and reports the unseen share of each view."""
        avatar, datamodule = evaluation.avatar, evaluation.datamodule
        template = datamodule.subject.template().to(avatar.device)
        # Oriented as in the first training picture, because the light was only learned for such orientations.
        filmed = evaluation.pose(datamodule.splits["train"][0].frame).to(avatar.device)
        pose = BodyPose(template.big_pose(), filmed.orient, filmed.transl)
        vertices = visibility.world_vertices(template, pose)
        _, up, front = pose.world_from_posed()[:3, :3].T
        cameras = orbit(vertices, up, front, self.views, self.height)
        images = avatar.render_images(cameras, pose, background=self.background)
        unseen = visibility.unseen_fractions(vertices, template.faces, cameras, evaluation.seen)
        cells = []
        for i, (image, share) in enumerate(track(zip(images, unseen), "canonical sheet", len(cameras), "views")):
            lines = f"{360 * i / self.views:g} degrees from the front to the left"
            cells.append(captioned(drawing.to_uint8(image.rgb), share, lines))
        path = evaluation.folder / "canonical.png"
        write_image(path, drawing.sheet(cells, columns=math.ceil(self.views / 2)))
        return Made({"canonical avatar": path}, reported(evaluation, "canonical", unseen), images={"canonical": path})
