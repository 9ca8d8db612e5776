"""A red person walks past a blue one; the network's mask of the one behind includes much of the one in front."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress

from hashhuman.io.files import read_image, write_image
from preprocess.keypoints import points
from preprocess.keypoints.crop import Crop
from preprocess.keypoints.movenet import Detection
from preprocess.keypoints.others import Colours, OtherPeople
from preprocess.keypoints.points import Keypoints
from preprocess.keypoints.pose_network import Pose
from preprocess.keypoints.tracks import link
from preprocess.skeleton import NAMES

HEIGHT, WIDTH, PICTURES, EVERY = 120, 200, 21, 5
BLUE, RED = (30, 40, 200), (200, 40, 30)
PLACE = 100.0  # of the blue one


def body(x: float) -> np.ndarray:
    """The pixels of a person whose middle is at x."""
    columns = np.abs(np.arange(WIDTH) - x) <= 12
    rows = (np.arange(HEIGHT) >= 20) & (np.arange(HEIGHT) < 100)
    return rows[:, None] & columns


def spread(x: float) -> np.ndarray:
    """The points (33, 2) of a person."""
    down = np.linspace(20, 99, len(NAMES))
    return np.stack([x + 12 * np.sin(down), down], 1)


class FakePose(Pose):
    def mask(self, height: int, width: int) -> np.ndarray:
        return self.mask_logits


@dataclasses.dataclass
class Actors:
    """Both networks. The pictures' first pixel says which one it is."""

    red: dict[int, float]
    front: bool = True  # the red one
    hidden: tuple[int, ...] = ()  # pictures in which the detector misses the red one

    def detect(self, image: np.ndarray) -> list[Detection]:
        index = int(image[0, 0, 0])
        seen = [PLACE, *([self.red[index]] if index in self.red and index not in self.hidden else [])]
        return [Detection(spread(x)[:17], np.ones(17), np.array([x - 12, 20, x + 12, 99]), 0.9) for x in seen]

    def estimate(self, image: np.ndarray, crop: Crop, mirror: bool = False) -> Pose:
        index = int(image[0, 0, 0])
        people = [PLACE, *([self.red[index]] if index in self.red else [])]
        x = min(people, key=lambda place: abs(place - crop.center[0]))
        image_points, count = spread(x), len(NAMES)
        around = Crop.around(np.array([x, 60]), np.array([x, 10]))
        ones, mask = np.ones(count), self.segment(index, x)
        return FakePose(image_points, ones, ones, np.zeros((count, 3)), 1.0, mask, crop, around)

    def segment(self, index: int, x: float) -> np.ndarray:
        """The mask of the person at x, with much of whoever covers them."""
        mask, behind = body(x), (x == PLACE) == self.front
        for other in (PLACE, *([self.red[index]] if index in self.red else [])):
            if behind and abs(other - x) < 24:
                mask = mask | (body(other) & (np.abs(np.arange(WIDTH) - x) < 18))
        return np.where(mask, 250, 5).astype(np.uint8)


def walk(root: Path, actors: Actors) -> tuple[list[int], list[np.ndarray]]:
    """Separates the two; returns the overlapped rows, and what is really to be seen of the blue one."""
    files, truth, tracks = [], [], []
    keypoints = Keypoints.empty(list(range(PICTURES)))
    keypoints.detected[:], keypoints.image_points[:] = True, spread(PLACE)
    for i in range(PICTURES):
        image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        red = body(actors.red[i]) if i in actors.red else np.zeros((HEIGHT, WIDTH), bool)
        image[body(PLACE)] = BLUE
        image[red if actors.front else red & ~body(PLACE)] = RED
        image[0, 0] = i
        files.append(root / f"images/{i:06d}.png")
        write_image(files[-1], image)
        write_image(points.segmentation_folder(root) / f"{i:06d}.png", actors.segment(i, PLACE))
        truth.append(body(PLACE) & ~(red & actors.front))
        if i % EVERY == 0:
            link(tracks, i, actors.detect(image))
    others = [track for track in tracks if track.detections[min(track.detections)].center[0] != PLACE]
    stage = OtherPeople(actors.detect, actors.estimate, others, EVERY)  # type: ignore[arg-type]
    with Progress(disable=True) as progress:
        masks, folder = points.segmentation_folder(root), points.others_folder(root)
        return stage.separate(files, keypoints, masks, folder, progress), truth


def own(root: Path, row: int) -> np.ndarray:
    return read_image(points.segmentation_folder(root) / f"{row:06d}.png") > 127


PASSING = {i: 40 + 6.0 * i for i in range(PICTURES)}
MEETING = [i for i, x in PASSING.items() if abs(x - PLACE) < 24]


@pytest.mark.parametrize("hidden", [(), (6, 7)])
def test_somebody_walks_past_in_front(tmp_path: Path, hidden: tuple[int, ...]):
    rows, truth = walk(tmp_path, Actors(PASSING, hidden=hidden))
    assert rows == points.overlapped_frames(tmp_path)
    assert set(rows) >= {i for i in MEETING if abs(PASSING[i] - PLACE) > 12} | set(hidden)
    for row in set(MEETING) & set(rows):
        assert not (own(tmp_path, row) & body(PASSING[row])).any()  # none of the red one
        assert (own(tmp_path, row) | ~truth[row]).all()  # all of the blue one
        theirs = read_image(points.others_folder(tmp_path) / f"{row:06d}.png") > 127
        assert theirs[body(PASSING[row])].mean() > 0.9


def test_somebody_walks_past_behind(tmp_path: Path):
    rows, _ = walk(tmp_path, Actors(PASSING, front=False))
    assert rows
    for row in rows:
        theirs = read_image(points.others_folder(tmp_path) / f"{row:06d}.png") > 127
        assert own(tmp_path, row)[body(PLACE)].all() and not theirs[body(PLACE)].any()


def test_somebody_who_stays_away_is_no_overlap(tmp_path: Path):
    rows, _ = walk(tmp_path, Actors(dict.fromkeys(range(PICTURES), 30.0)))
    assert rows == [] and points.overlapped_frames(tmp_path) == []


def test_the_followed_person_is_looked_at_once_a_picture(tmp_path: Path):
    actors, looks = Actors(PASSING), []
    estimate = actors.estimate

    def counted(image: np.ndarray, crop: Crop, mirror: bool = False) -> Pose:
        pose = estimate(image, crop, mirror)
        looks.append((int(image[0, 0, 0]), pose.next_crop.center[0] == PLACE))
        return pose

    actors.estimate = counted  # type: ignore[method-assign]
    walk(tmp_path, actors)
    apart = {row for row, _ in looks if abs(PASSING[row] - PLACE) > 30}
    assert apart and all((looks.count((row, True)), looks.count((row, False))) == (1, 2) for row in apart)


def test_nobody_else(tmp_path: Path):
    rows, _ = walk(tmp_path, Actors({}))
    assert rows == [] and points.overlapped_frames(tmp_path) == []


def test_colours():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2], image[2:] = BLUE, RED
    colours = Colours.of([(image, np.arange(16).reshape(4, 4) < 12)])  # 8 blue pixels, 4 red
    blue, red, green = colours.log(np.array([BLUE, RED, (0, 255, 0)], np.uint8))
    assert blue - red == pytest.approx(np.log(2), abs=0.01) and red - green > 3
    assert colours.share.sum() == pytest.approx(1)
