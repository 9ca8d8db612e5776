"""What an avatar looks like from all sides: a sheet of its canonical pose."""

import math
from pathlib import Path
from typing import Any

from jaxtyping import Bool
from torch import Tensor

from hashhuman.body import visibility
from hashhuman.body.template import BodyPose
from hashhuman.evaluation import drawing
from hashhuman.evaluation.orbit import orbit
from hashhuman.evaluation.unseen import captioned
from hashhuman.io.files import write_image
from hashhuman.io.progress import track


class CanonicalSheet:
    """The avatar in its canonical pose (legs apart) from all sides, on one sheet.

    Args:
        views: of the sheet, at equal steps; the first is the front.
        height: of each picture (px).
        background: grey level in [0, 1].
    """

    def __init__(self, views: int, height: int, background: float) -> None:
        self.views, self.height, self.background = views, height, background

    def __call__(self, avatar: Any, datamodule: Any, seen: Bool[Tensor, "V"], path: Path) -> list[float]:
        """Writes the sheet; returns each view's unseen share."""
        template = datamodule.subject.template().to(avatar.device)
        # It stands as in the first training picture, not along the world's axes: the learned light knows no other.
        filmed = datamodule.subject.pose(datamodule.splits["train"][0].frame).to(avatar.device)
        pose = BodyPose(template.big_pose(), filmed.orient, filmed.transl)
        vertices = visibility.world_vertices(template, pose)
        _, up, front = pose.world_from_posed()[:3, :3].T
        cameras = orbit(vertices, up, front, self.views, self.height)
        images = avatar.render_images(cameras, pose, background=self.background)
        unseen, cells = [], []
        for i, image in enumerate(track(images, "canonical views", total=len(cameras))):
            share = visibility.unseen_fraction(vertices, template.faces, cameras[i], seen)
            lines = f"{360 * i / self.views:g} degrees from the front to the left"
            cells.append(captioned(drawing.to_uint8(image.rgb), share, lines))
            unseen.append(share)
        write_image(path, drawing.sheet(cells, columns=math.ceil(self.views / 2)))
        return unseen
