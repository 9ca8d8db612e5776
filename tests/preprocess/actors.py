"""Stand-ins for the two networks: people who are known to be at certain places in certain pictures."""

from collections.abc import Mapping, Sequence

import numpy as np

from preprocess.keypoints.crop import Crop
from preprocess.keypoints.movenet import Detection
from preprocess.keypoints.pose_network import Pose
from preprocess.skeleton import NAMES

HEIGHT, WIDTH = 240, 320
TALL = 100.0  # of everybody, pixels

Script = Sequence[Mapping[str, tuple[float, float]]]  # of each picture: who is where (the hips' middle)


def picture(index: int) -> np.ndarray:
    """A picture (H, W, 3) that says which one it is."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:] = index
    return image


def detection(x: float, y: float, tall: float = TALL) -> Detection:
    """A person whose hips are at x, y."""
    box = np.array([x - tall / 4, y - tall / 2, x + tall / 4, y + tall / 2])
    return Detection(np.full((17, 2), (x, y)), np.ones(17), box, 0.9)


class FakeMoveNet:
    """Finds everybody whom the script has."""

    def __init__(self, script: Script):
        self.script, self.calls = script, 0

    def __call__(self, image: np.ndarray) -> list[Detection]:
        self.calls += 1
        return [detection(*place) for place in self.script[image[0, 0, 0]].values()]


class FakePoseNetwork:
    """Sees whoever is nearest to the crop's centre, if the crop holds anybody."""

    def __init__(self, script: Script):
        self.script = script

    def __call__(self, image: np.ndarray, crop: Crop, mirror: bool = False) -> Pose:
        people = [np.array(place) for place in self.script[image[0, 0, 0]].values()]
        inside = [p for p in people if np.abs(p - crop.center).max() < crop.side / 2]
        center = min(inside, key=lambda p: float(np.linalg.norm(p - crop.center)), default=crop.center)
        count = len(NAMES)
        return Pose(
            image_points=np.tile(center, (count, 1)),
            visibility=np.ones(count),
            presence=np.ones(count),
            world_points=np.zeros((count, 3)),
            score=float(bool(inside)),
            mask_logits=np.full((256, 256), 10.0),
            crop=crop,
            next_crop=Crop.around(center, center - (0, 0.6 * TALL)),
        )
