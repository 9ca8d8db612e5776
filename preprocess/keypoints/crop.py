"""The square region of a picture that the pose network sees.

Pixel centres are at integers, in the picture and in the crop.
"""

import dataclasses

import numpy as np

from preprocess.keypoints.movenet import Detection

SIDE = 256  # pixels: the side of the network's square input
MARGIN = 1.25  # side of the crop over the diameter of the circle around the person


@dataclasses.dataclass(frozen=True)
class Crop:
    """A square around the person, rotated so that the person stands upright in it; pixels of the picture, radians."""

    center: np.ndarray  # (2,)
    side: float
    angle: float  # from the picture's x axis to the crop's, clockwise as seen

    @staticmethod
    def around(center: np.ndarray, rim: np.ndarray) -> "Crop":
        """The crop of a person, as BlazePose defines it.

        Args:
            center: the midpoint of the hips (2,).
            rim: the point (2,) straight above it, in the person's own direction, of the circle that holds the person.
        """
        x, y = rim - center
        return Crop(center, 2 * MARGIN * float(np.hypot(x, y)), float(np.arctan2(x, -y)))

    @staticmethod
    def of_detection(detection: Detection) -> "Crop":
        """A first crop: upright, centred at the hips, and wide enough for the farthest side of the detection's box."""
        hips = detection.hips
        reach = np.abs(detection.box.reshape(2, 2) - hips).max()
        return Crop(hips, 2 * MARGIN * float(reach), 0.0)

    def to_array(self) -> np.ndarray:
        """Centre, side and angle (4,) as float64, from which `from_array` makes the same crop."""
        return np.array([*self.center, self.side, self.angle])

    @staticmethod
    def from_array(values: np.ndarray) -> "Crop":
        """The crop of `to_array`."""
        return Crop(values[:2], float(values[2]), float(values[3]))

    def zoomed(self, factor: float) -> "Crop":
        """The crop with the same centre and `factor` times the side."""
        return dataclasses.replace(self, side=self.side * factor)

    @property
    def rotation(self) -> np.ndarray:
        """The rotation (2, 2) from directions in the crop to directions in the picture."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.array([[c, -s], [s, c]])

    @property
    def image_from_crop(self) -> np.ndarray:
        """The affine map (3, 3) from (x, y, 1) in pixels of the crop (`SIDE` a side) to pixels of the picture."""
        return self.image_from(SIDE)

    def image_from(self, pixels: int) -> np.ndarray:
        """`image_from_crop` for a crop that is resampled to another number of pixels a side."""
        linear = self.rotation * (self.side / pixels)
        matrix = np.eye(3)
        matrix[:2, :2] = linear
        matrix[:2, 2] = self.center - linear @ np.full(2, (pixels - 1) / 2)
        return matrix
