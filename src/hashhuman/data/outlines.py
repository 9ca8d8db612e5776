"""How far places in the world lie outside the person's outline in training pictures."""

import dataclasses
import functools
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hashhuman.data.pixels import Crops
from hashhuman.data.spacing import evenly_spaced
from hashhuman.geometry.camera import Camera, project


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

    @functools.cached_property
    def _tables(self) -> tuple[Tensor, ...]:
        """All distances, one after another; of each picture the first one, width, height and corner (x, y)."""
        device = self.distance[0].device
        sizes = torch.tensor([away.shape for away in self.distance])
        first = sizes.prod(1).cumsum(0) - sizes.prod(1)
        numbers = (first, sizes[:, 1], sizes[:, 0], *torch.from_numpy(np.asarray(self.corner)).long().unbind(1))
        return torch.cat([away.flatten() for away in self.distance]), *(each.to(device) for each in numbers)

    @functools.cached_property
    def _cameras(self) -> tuple[Tensor, ...]:
        """Each picture's K, R, T, width and height."""
        sizes = torch.tensor([(camera.width, camera.height) for camera in self.cameras], device=self.distance[0].device)
        stacked = (torch.stack([getattr(camera, name) for camera in self.cameras]) for name in "KRT")
        return *stacked, *sizes.unbind(1)

    def look_up(
        self, pictures: slice, positions: Float[Tensor, "G N 3"]
    ) -> tuple[Float[Tensor, "G N"], Bool[Tensor, "G N"], Float[Tensor, "G N"]]:
        """What each of G consecutive pictures shows of its world positions (m).

        Returns:
            The distance (pixels) from the person's outline, 0 on the person; whether the position lies in the picture;
            and how many pixels a metre has at its depth.
        """
        away, *numbers = self._tables
        first, width, height, left, top = (each[pictures, None] for each in numbers)
        K, R, T, columns, rows = (each[pictures] for each in self._cameras)
        x, y, depth = project(positions, K, R, T[:, None]).unbind(-1)
        columns, rows = columns[:, None], rows[:, None]
        in_picture = (depth > 0) & (x > -0.5) & (x < columns - 0.5) & (y > -0.5) & (y < rows - 0.5)
        column, row = (torch.where(in_picture, values, 0.0) for values in (x - left, y - top))
        inside_x, inside_y = column.clamp_min(0).minimum(width - 1), row.clamp_min(0).minimum(height - 1)
        beyond = torch.hypot(column - inside_x, row - inside_y)  # from the crop, which holds all of the person
        distance = away[first + inside_y.round().long() * width + inside_x.round().long()] + beyond
        return distance, in_picture, K[:, :1, 0] / depth.clamp_min(1e-6)
