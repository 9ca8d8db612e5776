"""Whether a clip suits: looks at a few pictures of it, by points that somebody has found there."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from hashhuman.io.files import read_rgb
from preprocess.findings import Finding, Limits, Verdict, at_least, at_most
from preprocess.frames.images import image_paths
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.masks.background import is_static
from preprocess.skeleton import NAMES

TOPIC = "clip"
GROUPS = {
    "head": ("nose", "eye", "ear"), "arms": ("elbow", "wrist"), "hips": ("hip",), "knees": ("knee",),
    "feet": ("ankle", "heel", "foot_index"),
}  # fmt: skip
_SEEN = 0.5  # least probability that a point lies in the picture
_REACH = 60  # degrees to either side of where the body faces the camera that a picture shows well
_SHARP_HEIGHT = 500  # pixels: what a larger person loses by blur, the avatar would not show either
_SMALL = 480  # pixels: long side at which the camera's motion is looked for
_KERNEL = 9  # pixels: of the strong blur that a picture's sharpness is compared with


@dataclasses.dataclass(frozen=True)
class Person:
    """The points of one person in one picture."""

    image_points: Float[np.ndarray, "L 2"]  # pixels
    presence: Float[np.ndarray, "L"]  # in [0, 1]: in the picture, perhaps hidden
    world_points: Float[np.ndarray, "L 3"]  # metres: x right, y down, z away

    def box(self) -> Float[np.ndarray, "2 2"]:
        """Lowest and highest x, y of the points (pixels)."""
        return np.stack([self.image_points.min(0), self.image_points.max(0)])


@dataclasses.dataclass(frozen=True)
class Look:
    """One picture, and who is in it."""

    image: UInt8[np.ndarray, "H W 3"]
    person: Person | None
    people: int | None  # how many in all, if that is known


@dataclasses.dataclass(frozen=True)
class ClipChecks:
    """Judges a clip by looks at some of its pictures. Each argument but `pictures` is a pair: fine, bad.

    Args:
        pictures: how many to look at.
        frames: how many pictures the clip has.
        rate: pictures a second.
        size: the shorter side (pixels).
        found: share of the pictures in which the person is found.
        height: the person's (pixels).
        body_seen: share of the body that lies in the picture.
        sides_seen: share of all directions from which the body is seen.
        blur: of the person, from 0 (sharp) to 1.
    """

    pictures: int
    frames: Limits
    rate: Limits
    size: Limits
    found: Limits
    height: Limits
    body_seen: Limits
    sides_seen: Limits
    blur: Limits

    def __call__(self, looks: Sequence[Look], frames: int, rate: float | None) -> list[Finding]:
        """The findings on a clip of so many pictures, at so many a second (None: not known)."""
        findings = [*self._film(looks, frames, rate), *self._camera(looks)]
        people = [look.person for look in looks if look.person]
        share = len(people) / len(looks)
        found = f"{len(people)} of {len(looks)} pictures"
        advice = "leave out what does not show the person: preprocess.frames.start, stop"
        findings.append(Finding(TOPIC, "person found", found, at_least(share, self.found), advice))
        return findings + (self._person(looks, people) if people else [])

    def _film(self, looks: Sequence[Look], frames: int, rate: float | None) -> list[Finding]:
        height, width = looks[0].image.shape[:2]
        findings = [
            Finding(TOPIC, "pictures", str(frames), at_least(frames, self.frames), "film longer"),
            Finding(
                TOPIC, "size", f"{width} x {height}", at_least(min(height, width), self.size),
                "film at a higher resolution, or raise preprocess.frames.max_size",
            ),
        ]  # fmt: skip
        if rate is not None:
            verdict = at_least(rate, self.rate)
            findings.append(Finding(TOPIC, "rate", f"{rate:.3g} a second", verdict, "film at a higher rate"))
        return findings

    def _person(self, looks: Sequence[Look], people: Sequence[Person]) -> list[Finding]:
        tall = float(np.median([height(person) for person in people]))
        inside = np.mean([in_picture(look.person, look.image) for look in looks if look.person], axis=0)
        sides = sides_seen([direction(person) for person in people])
        blurred = float(np.median([blur(look.image, look.person) for look in looks if look.person]))
        lost = absent_groups(inside)
        seen = f"{100 * inside.mean():.0f} %" + (f", mostly without {', '.join(lost)}" if lost else "")
        return [
            Finding(TOPIC, "person's height", f"{tall:.0f} px", at_least(tall, self.height), "film from nearer"),
            Finding(
                TOPIC, "body in the picture", seen, at_least(float(inside.mean()), self.body_seen),
                "film the whole person, head and feet included",
            ),
            Finding(
                TOPIC, "sides seen", f"{100 * sides:.0f} % of a turn", at_least(sides, self.sides_seen),
                "film a whole turn, or expect unseen sides to be guessed",
            ),
            Finding(
                TOPIC, "motion blur", f"{blurred:.2f} of 1", at_most(blurred, self.blur),
                "more light, a shorter exposure, slower movements",
            ),
            *_others(looks),
        ]  # fmt: skip

    def _camera(self, looks: Sequence[Look]) -> list[Finding]:
        still = stands_still(looks)
        advice = "put the camera on a stand: the background then sharpens masks"
        return [Finding(TOPIC, "camera", "still" if still else "moves", Verdict(not still), advice)]


def _others(looks: Sequence[Look]) -> list[Finding]:
    counts = [look.people for look in looks if look.people is not None]
    if not counts:
        return []
    several = max(counts) > 1
    advice = "see that the right one is followed (people.jpg), else preprocess.keypoints.person=0, 1, ... from the left"
    return [Finding(TOPIC, "people", f"up to {max(counts)} in a picture", Verdict(several), advice)]


def finished_looks(subject: Path, count: int) -> list[Look]:
    """Looks at about `count` pictures of a subject whose points are known."""
    keypoints, paths = Keypoints.load(points_path(subject)), image_paths(subject)
    looks = []
    for row in np.unique(np.linspace(0, len(keypoints.frames) - 1, count).round().astype(int)):
        person = None
        if keypoints.detected[row]:
            person = Person(keypoints.image_points[row], keypoints.presence[row], keypoints.world_points[row])
        looks.append(Look(read_rgb(paths[int(keypoints.frames[row])]), person, None))
    return looks


def height(person: Person) -> float:
    """The longer side of the box about the points (pixels)."""
    low, high = person.box()
    return float((high - low).max())


def in_picture(person: Person, image: UInt8[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "L"]:
    """Which points lie in the picture."""
    inside = (person.image_points >= 0) & (person.image_points < image.shape[1::-1])
    return inside.all(1) & (person.presence > _SEEN)


def absent_groups(inside: Float[np.ndarray, "L"]) -> list[str]:
    """Which groups of points lie outside the picture more often than in it."""
    shares = {
        group: np.mean([share for name, share in zip(NAMES, inside) if any(end in name for end in ends)])
        for group, ends in GROUPS.items()
    }
    return [group for group, share in shares.items() if share < 0.5]


def direction(person: Person) -> float:
    """Where the body faces about the vertical (degrees; 0: the camera), by shoulders and hips; NaN if unknown."""
    left = np.array([name.startswith("left_") and name.endswith(("shoulder", "hip")) for name in NAMES])
    right = np.array([name.startswith("right_") and name.endswith(("shoulder", "hip")) for name in NAMES])
    x, _, z = person.world_points[left].mean(0) - person.world_points[right].mean(0)
    return float(np.degrees(np.arctan2(z, x)))


def sides_seen(directions: Sequence[float]) -> float:
    """The share of all directions that lie within `_REACH` of one of these (degrees)."""
    around = np.arange(360)
    known = [angle for angle in directions if np.isfinite(angle)]
    apart = [np.abs((around - angle + 180) % 360 - 180) for angle in known]
    return float((np.min(apart, axis=0) <= _REACH).mean()) if known else 0.0


def blur(image: UInt8[np.ndarray, "H W 3"], person: Person) -> float:
    """How little a strong blur changes the person, from 0 (sharp) to 1 (Crete et al., SPIE 2007), the worse axis."""
    low, high = person.box()
    margin = 0.05 * (high - low).max()
    left, top = np.maximum(low - margin, 0).astype(int)
    right, bottom = np.ceil(np.clip(high + margin, 2, image.shape[1::-1])).astype(int)
    crop = cv2.cvtColor(image[min(top, bottom - 2) : bottom, min(left, right - 2) : right], cv2.COLOR_RGB2GRAY)
    scale = min(1.0, _SHARP_HEIGHT / max(crop.shape))
    grey = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)
    kept = []
    for axis, kernel in ((0, (1, _KERNEL)), (1, (_KERNEL, 1))):
        before = np.abs(np.diff(grey, axis=axis))
        after = np.abs(np.diff(cv2.blur(grey, kernel), axis=axis))
        if before.any():
            kept.append(1 - np.maximum(before - after, 0).sum() / before.sum())
    return float(max(kept, default=1.0))


def stands_still(looks: Sequence[Look]) -> bool:
    """Whether the camera does: what is not the person stays in its place between successive looks."""
    greys, people = [], []
    for look in looks:
        scale = min(1.0, _SMALL / max(look.image.shape))
        grey = cv2.cvtColor(look.image, cv2.COLOR_RGB2GRAY)
        greys.append(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        people.append(_around(look.person, scale, greys[-1].shape))
    pairs = itertools.pairwise(zip(greys, people))
    return all(is_static([before, after], [there, here]) for (before, there), (after, here) in pairs)


def _around(person: Person | None, scale: float, shape: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    """The pixels of a picture shrunk by `scale` that may show the person."""
    inside = np.zeros(shape, bool)
    if person is not None:
        low, high = person.box() * scale
        margin = 0.15 * (high - low).max()
        (left, top), (right, bottom) = np.maximum(low - margin, 0).astype(int), np.maximum(high + margin, 0).astype(int)
        inside[top:bottom, left:right] = True
    return inside
