"""BlazePose heavy on one crop: 33 points in the picture and in metres, and the person's mask.

Bazarevsky et al., "BlazePose: On-device Real-time Body Pose tracking", 2020. Coordinates in the crop and in the picture
have pixel centres at integers.
"""

import dataclasses

import cv2
import numpy as np

from preprocess.assets import BLAZEPOSE_HEAVY
from preprocess.keypoints.crop import SIDE, Crop
from preprocess.keypoints.litert import Network, Networks
from preprocess.skeleton import MIRRORED, NAMES

POINTS = len(NAMES)  # the body's own points, the first of the network's 39
CENTER, RIM = 33, 34  # of the other six: the midpoint of the hips, and a point on the circle that holds the person
# The point that each of the 39 becomes in a mirror image. Of the last six, two lie on the body's axis; four are unused.
MIRROR = [*MIRRORED, *range(len(NAMES), 39)]


@dataclasses.dataclass(frozen=True)
class Pose:
    """The network's estimate from one crop."""

    image_points: np.ndarray  # (33, 2) pixels of the picture
    visibility: np.ndarray  # (33,) in [0, 1]: in the picture and not hidden
    presence: np.ndarray  # (33,) in [0, 1]: in the picture, perhaps hidden
    world_points: np.ndarray  # (33, 3) metres from the midpoint of the hips: x right, y down in the picture, z away
    score: float  # probability that there is a person
    mask_logits: np.ndarray  # (256, 256), in the crop
    crop: Crop  # that the estimate comes from
    next_crop: Crop  # around the person as estimated, for the next picture

    def mask(self, height: int, width: int) -> np.ndarray:
        """The probability of the person at each pixel of the picture, (H, W) uint8, 255 for 1; 0 outside the crop."""
        probability = (255 * _sigmoid(self.mask_logits)).astype(np.float32)
        matrix = self.crop.image_from_crop[:2]
        warped = cv2.warpAffine(probability, matrix, (width, height), flags=cv2.INTER_CUBIC)
        return warped.clip(0, 255).round().astype(np.uint8)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.clip(-30, 30)))


def refine(points: np.ndarray, heatmaps: np.ndarray, radius: int = 3, least: float = 0.5) -> np.ndarray:
    """Refines points with their heatmaps: each moves to the heatmap's weighted mean around it.

    Args:
        points: (N, 2), pixels of the crop.
        heatmaps: logits (h, w, N) over the crop.
        radius: of the window around a point, in cells of the heatmap.
        least: a point whose heatmap stays below this probability in the window keeps its position.
    """
    height, width, _ = heatmaps.shape
    cell = np.array([SIDE / width, SIDE / height])
    refined = points.copy()
    for n, point in enumerate(points):
        x, y = np.floor((point + 0.5) / cell).astype(int)
        if not (0 <= x < width and 0 <= y < height):
            continue
        left, top = max(x - radius, 0), max(y - radius, 0)
        weights = _sigmoid(heatmaps[top : y + radius + 1, left : x + radius + 1, n])
        if weights.max() >= least:
            rows, columns = np.mgrid[top : top + weights.shape[0], left : left + weights.shape[1]]
            mean = np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()
            refined[n] = mean * cell - 0.5  # a cell's index marks its left edge
    return refined


@dataclasses.dataclass(frozen=True)
class _Output:
    """The network's output in pixels and directions of the crop."""

    points: np.ndarray  # (39, 2)
    logits: np.ndarray  # (39, 2) of visibility and presence
    world_points: np.ndarray  # (33, 3)
    score: float
    mask_logits: np.ndarray  # (256, 256)

    def mirrored(self) -> "_Output":
        """The output for the crop itself, if this is the output for its mirror image: left and right are exchanged."""
        points, world_points = self.points[MIRROR], self.world_points[MIRROR[:POINTS]]
        return _Output(
            np.stack([SIDE - 1 - points[:, 0], points[:, 1]], 1),
            self.logits[MIRROR],
            world_points * (-1, 1, 1),
            self.score,
            self.mask_logits[:, ::-1],
        )

    def mean(self, other: "_Output") -> "_Output":
        """The mean of two outputs; the first alone if they disagree about which side is left."""
        distance = np.linalg.norm(self.points - other.points, axis=1)[:POINTS].mean()
        exchanged = np.linalg.norm(self.points - other.points[MIRROR], axis=1)[:POINTS].mean()
        if exchanged < distance:
            return self
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in dataclasses.fields(self))
        return _Output(*((a + b) / 2 for a, b in pairs))


class PoseNetwork:
    """BlazePose heavy, for one caller at a time. `threads` as for `Network`."""

    def __init__(self, threads: int | None = None) -> None:
        self._network = Network(BLAZEPOSE_HEAVY, threads)

    def __call__(self, image: np.ndarray, crop: Crop, mirror: bool = False) -> Pose:
        """The pose of the person in a crop of an 8-bit RGB picture (H, W, 3).

        With `mirror` the outputs for the crop and its mirror image are averaged, which takes twice as long. On rendered
        people this lowered the error of the metric points by a sixth and their jitter by a quarter.
        """
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        pixels = cv2.warpAffine(image, crop.image_from_crop[:2], (SIDE, SIDE), flags=flags)
        output = self._infer(pixels)
        if mirror:
            output = output.mean(self._infer(pixels[:, ::-1]).mirrored())
        matrix = crop.image_from_crop
        in_image = output.points @ matrix[:2, :2].T + matrix[:2, 2]
        world_points = output.world_points.copy()
        world_points[:, :2] = world_points[:, :2] @ crop.rotation.T
        visibility, presence = _sigmoid(output.logits[:POINTS]).T
        return Pose(
            image_points=in_image[:POINTS],
            visibility=visibility,
            presence=presence,
            world_points=world_points,
            score=output.score,
            mask_logits=output.mask_logits,
            crop=crop,
            next_crop=Crop.around(in_image[CENTER], in_image[RIM]),
        )

    def _infer(self, pixels: np.ndarray) -> _Output:
        landmarks, score, mask, heatmaps, world = self._network(pixels[None].astype(np.float32) / 255)
        landmarks = landmarks.reshape(-1, 5)
        points = refine(landmarks[:, :2] - 0.5, heatmaps[0])
        return _Output(points, landmarks[:, 3:5], world.reshape(-1, 3)[:POINTS], float(score.item()), mask[0, :, :, 0])


class PoseNetworks:
    """`PoseNetwork` for several callers at once: each call uses a network of its own on a share of the cores.

    On two cores, a single network that uses both takes a quarter more time for the same pictures.
    """

    MOST = 8  # networks, of 0.1 GB each

    def __init__(self) -> None:
        self._networks = Networks(PoseNetwork, self.MOST)

    def __call__(self, image: np.ndarray, crop: Crop, mirror: bool = False) -> Pose:
        """As `PoseNetwork`; waits until a network is idle."""
        with self._networks.idle() as network:
            return network(image, crop, mirror)
