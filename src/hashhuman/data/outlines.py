"""How far places in the world lie outside the person's outline in training pictures."""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.data.pixels import Crops
from hashhuman.data.spacing import evenly_spaced
from hashhuman.geometry.camera import Camera


@dataclasses.dataclass(frozen=True)
class Outlines:
    """For K pictures, the distance of each pixel of their crops to the outline."""

    distance: list[Float[Tensor, "_ _"]]  # pixels to the nearest pixel of the person; 0 on the person
    corner: Int[np.ndarray, "K 2"]  # x, y of each crop's first pixel
    cameras: Sequence[Camera]
    frames: Sequence[int]  # positions among the training frames

    @classmethod
    def of(
        cls, crops: Crops, cameras: Sequence[Camera], frames: Sequence[int], most: int, device: torch.device | str
    ) -> "Outlines":
        """Measures the outlines of at most `most` of the pictures, evenly spaced; those without a person are left out.

        Args:
            crops: the cropped pictures. What lies beyond a crop is not the person.
            cameras: each picture's camera.
            frames: each picture's position among the training frames.
            most: the most pictures.
            device: where places are looked up.
        """
        start = np.concatenate([[0], crops.size.prod(1).cumsum()])
        masks = [crops.mask[a:b].reshape(h, w) for a, b, (w, h) in zip(start, start[1:], crops.size)]
        shown = [index for index, mask in enumerate(masks) if (mask >= 128).any()]
        kept = evenly_spaced(shown, most)
        away = [cv2.distanceTransform((masks[i] < 128).astype(np.uint8), cv2.DIST_L2, 5) for i in kept]
        return cls(
            [torch.from_numpy(picture).to(device) for picture in away],
            crops.corner[kept],
            [cameras[i].to(device) for i in kept],
            [frames[i] for i in kept],
        )

    def __len__(self) -> int:
        return len(self.distance)

    def look_up(
        self, picture: int, positions: Float[Tensor, "N 3"]
    ) -> tuple[Float[Tensor, "N"], Bool[Tensor, "N"], Float[Tensor, "N"]]:
        """What a picture shows of world positions (m).

        Returns:
            The distance (pixels) from the person's outline, 0 on the person; whether the position lies in the picture;
            and how many pixels a metre has at its depth.
        """
        camera, away = self.cameras[picture], self.distance[picture]
        x, y, depth = camera.project(positions).unbind(1)
        in_picture = (depth > 0) & (x > -0.5) & (x < camera.width - 0.5) & (y > -0.5) & (y < camera.height - 0.5)
        height, width = away.shape
        column, row = x - float(self.corner[picture, 0]), y - float(self.corner[picture, 1])
        column, row = (torch.where(in_picture, values, 0.0) for values in (column, row))
        inside_x, inside_y = column.clamp(0, width - 1), row.clamp(0, height - 1)
        beyond = torch.hypot(column - inside_x, row - inside_y)  # from the crop, which holds all of the person
        distance = away[inside_y.round().long(), inside_x.round().long()] + beyond
        return distance, in_picture, camera.K[0, 0] / depth.clamp_min(1e-6)
