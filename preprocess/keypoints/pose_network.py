"""BlazePose heavy on one crop: 33 points in the picture and in metres, and the person's mask.

Notation: crop and picture coordinates have pixel centres at integers; `image_from_crop` maps (x, y, 1) between them.
"""

import dataclasses
import queue

import cv2
import numpy as np

from hashhuman.io.threads import cores
from preprocess.assets import BLAZEPOSE_HEAVY
from preprocess.keypoints.litert import Network
from preprocess.keypoints.movenet import Detection
from preprocess.keypoints.points import NAMES

SIDE = 256  # of the network's square input
POINTS = len(NAMES)  # the body's; two more say where the next crop lies
CENTER, RIM = 33, 34  # the middle of the hips, and a point on the circle about it that holds the whole person
MARGIN = 1.25  # side of the crop over the circle's diameter
# Which point each becomes in a mirror. Of the six after the 33, two lie on the body's middle and four are not used.
_EXCHANGED = {"left": "right", "right": "left"}
MIRROR = [NAMES.index("_".join(_EXCHANGED.get(word, word) for word in name.split("_"))) for name in NAMES]
MIRROR += range(len(NAMES), 39)


@dataclasses.dataclass(frozen=True)
class Crop:
    """A square about the person, turned so that the person stands upright in it; pixels of the picture, radians."""

    center: np.ndarray  # (2,)
    side: float
    angle: float  # from the picture's x axis to the crop's, clockwise as seen

    @staticmethod
    def around(center: np.ndarray, rim: np.ndarray) -> "Crop":
        """The crop of a person whose hips' middle is `center` and whose circle passes `rim`, straight overhead."""
        x, y = rim - center
        return Crop(center, 2 * MARGIN * float(np.hypot(x, y)), float(np.arctan2(x, -y)))

    @staticmethod
    def of_detection(detection: Detection) -> "Crop":
        """A first crop: upright about the hips, as wide as the farthest corner of the box in x or y asks for."""
        hips = detection.hips
        reach = np.abs(detection.box.reshape(2, 2) - hips).max()
        return Crop(hips, 2 * MARGIN * float(reach), 0.0)

    def zoomed(self, factor: float) -> "Crop":
        """The crop about the same centre that shows `factor` times the side."""
        return dataclasses.replace(self, side=self.side * factor)

    @property
    def rotation(self) -> np.ndarray:
        """Turns crop directions into picture directions (2, 2)."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.array([[c, -s], [s, c]])

    @property
    def image_from_crop(self) -> np.ndarray:
        """The affine map (3, 3)."""
        linear = self.rotation * (self.side / SIDE)
        matrix = np.eye(3)
        matrix[:2, :2] = linear
        matrix[:2, 2] = self.center - linear @ np.full(2, (SIDE - 1) / 2)
        return matrix


@dataclasses.dataclass(frozen=True)
class Pose:
    """What the network says of one crop."""

    image_points: np.ndarray  # (33, 2) pixels of the picture
    visibility: np.ndarray  # (33,) in [0, 1]: in the picture and not hidden
    presence: np.ndarray  # (33,) in [0, 1]: in the picture
    world_points: np.ndarray  # (33, 3) metres from the hips' middle: x right, y down, z away, as the picture stands
    score: float  # probability that there is a person
    mask_logits: np.ndarray  # (256, 256) of the crop
    crop: Crop
    next_crop: Crop

    def mask(self, height: int, width: int) -> np.ndarray:
        """The person's probability over the picture (H, W) uint8; zero outside the crop."""
        probability = (255 * _sigmoid(self.mask_logits)).astype(np.float32)
        matrix = self.crop.image_from_crop[:2]
        warped = cv2.warpAffine(probability, matrix, (width, height), flags=cv2.INTER_CUBIC)
        return warped.clip(0, 255).round().astype(np.uint8)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.clip(-30, 30)))


def refine(points: np.ndarray, heatmaps: np.ndarray, radius: int = 3, least: float = 0.5) -> np.ndarray:
    """Moves crop points (N, 2) to the mean of their heatmap (h, w, N; logits) near them, where it is sure enough."""
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
            refined[n] = mean * cell - 0.5  # a cell's number is its left edge
    return refined


@dataclasses.dataclass(frozen=True)
class _Answer:
    """The network's answer in its crop's own pixels and directions."""

    points: np.ndarray  # (39, 2)
    logits: np.ndarray  # (39, 2) of visibility and presence
    world_points: np.ndarray  # (33, 3)
    score: float
    mask_logits: np.ndarray  # (256, 256)

    def mirrored(self) -> "_Answer":
        """The answer for the mirrored crop: left and right change places."""
        points, world_points = self.points[MIRROR], self.world_points[MIRROR[:POINTS]]
        return _Answer(
            np.stack([SIDE - 1 - points[:, 0], points[:, 1]], 1),
            self.logits[MIRROR],
            world_points * (-1, 1, 1),
            self.score,
            self.mask_logits[:, ::-1],
        )

    def mean(self, other: "_Answer") -> "_Answer":
        """The mean of two answers; the first alone if they take left for right."""
        apart = np.linalg.norm(self.points - other.points, axis=1)[:POINTS].mean()
        exchanged = np.linalg.norm(self.points - other.points[MIRROR], axis=1)[:POINTS].mean()
        if exchanged < apart:
            return self
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in dataclasses.fields(self))
        return _Answer(*((a + b) / 2 for a, b in pairs))


class PoseNetwork:
    """BlazePose heavy, for one caller at a time; `threads` as for `Network`."""

    def __init__(self, threads: int | None = None) -> None:
        self._network = Network(BLAZEPOSE_HEAVY, threads)

    def __call__(self, image: np.ndarray, crop: Crop, mirror: bool = False) -> Pose:
        """The pose of the person in a crop of an 8-bit RGB picture (H, W, 3).

        With `mirror` it is the mean over the crop and its mirror image, which takes twice as long: on rendered people
        the error of the metric points fell by a sixth, their jitter by a quarter.
        """
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        pixels = cv2.warpAffine(image, crop.image_from_crop[:2], (SIDE, SIDE), flags=flags)
        answer = self._ask(pixels)
        if mirror:
            answer = answer.mean(self._ask(pixels[:, ::-1]).mirrored())
        matrix = crop.image_from_crop
        in_image = answer.points @ matrix[:2, :2].T + matrix[:2, 2]
        world_points = answer.world_points.copy()
        world_points[:, :2] = world_points[:, :2] @ crop.rotation.T
        visibility, presence = _sigmoid(answer.logits[:POINTS]).T
        return Pose(
            image_points=in_image[:POINTS],
            visibility=visibility,
            presence=presence,
            world_points=world_points,
            score=answer.score,
            mask_logits=answer.mask_logits,
            crop=crop,
            next_crop=Crop.around(in_image[CENTER], in_image[RIM]),
        )

    def _ask(self, pixels: np.ndarray) -> _Answer:
        landmarks, score, mask, heatmaps, world = self._network(pixels[None].astype(np.float32) / 255)
        landmarks = landmarks.reshape(-1, 5)
        points = refine(landmarks[:, :2] - 0.5, heatmaps[0])
        return _Answer(points, landmarks[:, 3:5], world.reshape(-1, 3)[:POINTS], float(score.item()), mask[0, :, :, 0])


class PoseNetworks:
    """`PoseNetwork` for several callers at once, each of which has a network with its share of the cores to itself.

    One network on all cores takes a quarter more time for the same pictures (on two).
    """

    MOST = 8  # networks, of 0.1 GB each

    def __init__(self) -> None:
        several = min(cores(), self.MOST)
        self._idle: queue.SimpleQueue[PoseNetwork] = queue.SimpleQueue()
        for _ in range(several):
            self._idle.put(PoseNetwork(cores() // several))

    def __call__(self, image: np.ndarray, crop: Crop, mirror: bool = False) -> Pose:
        """What the network says; waits for one that is idle."""
        network = self._idle.get()
        try:
            return network(image, crop, mirror)
        finally:
            self._idle.put(network)
