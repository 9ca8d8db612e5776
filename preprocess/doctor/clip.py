"""Whether a clip is suitable, judged by a few of its pictures and the people found in them."""

import dataclasses
import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from preprocess.doctor import filmed
from preprocess.doctor.inspection import Inspection, Person
from preprocess.findings import Finding, Limits, Verdict, at_least, at_most
from preprocess.masks.background import is_static
from preprocess.skeleton import NAMES

TOPIC = "clip"
GROUPS = {
    "head": ("nose", "eye", "ear"), "arms": ("elbow", "wrist"), "hips": ("hip",), "knees": ("knee",),
    "feet": ("ankle", "heel", "foot_index"),
}  # fmt: skip
_SEEN = 0.5  # least probability that a point lies in the picture
_REACH = 60  # degrees to either side of the side that faces the camera: what a picture shows well
_SHARP_HEIGHT = 500  # pixels: a taller person is shrunk to this, since an avatar does not show finer detail
_SMALL = 480  # pixels: long side of the pictures in which the camera's motion is measured
_APART = 0.4  # seconds from one inspected picture to the next for a background that may not repeat itself
_KERNEL = 9  # pixels: size of the strong blur that the picture is compared with


@dataclasses.dataclass(frozen=True)
class ClipChecks:
    """Judges a clip by some of its pictures.

    Every argument except `pictures` is a pair of limits (`findings.Limits`) of the figure that it names.

    Args:
        pictures: how many pictures to inspect.
        frames: number of pictures of the clip.
        rate: pictures per second.
        size: shorter side of the pictures (pixels).
        found: share of the pictures in which the person is found.
        height: of the person (pixels).
        body_seen: share of the body that lies in the picture.
        sides_seen: share of all directions from which the body is seen.
        blur: of the person, from 0 (sharp) to 1.
        flat: share of the person's pixels that equal their neighbours, as in a drawing.
        unchanged: share of the background that is exactly the same in pictures far apart, as in a rendered scene.
        seams: straight edges across the whole picture, as in a collage.
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
    flat: Limits
    unchanged: Limits
    seams: Limits

    def __call__(
        self,
        inspections: Sequence[Inspection],
        frames: int,
        rate: float | None,
        recorded: tuple[int, int] | None = None,
    ) -> list[Finding]:
        """The findings on a clip.

        Args:
            inspections: some of its pictures, in order.
            frames: number of pictures of the clip.
            rate: pictures per second; None if it is unknown.
            recorded: width and height of the recording's own pictures; None if they are unknown.
        """
        findings = [*self._pictures(inspections, frames, rate, recorded), *self._camera(inspections)]
        findings += self._filmed(inspections, frames, rate)
        people = [each.person for each in inspections if each.person]
        share = len(people) / len(inspections)
        found = f"{len(people)} of {len(inspections)} pictures"
        advice = "leave out pictures without the person: preprocess.frames.start, stop"
        findings.append(Finding(TOPIC, "person found", found, at_least(share, self.found), advice))
        return findings + (self._person(inspections, people) if people else [])

    def _pictures(
        self, inspections: Sequence[Inspection], frames: int, rate: float | None, recorded: tuple[int, int] | None
    ) -> list[Finding]:
        height, width = inspections[0].image.shape[:2]
        size = f"{width} x {height}"
        if recorded is not None and recorded != (width, height):
            size = f"{recorded[0]} x {recorded[1]} as filmed, {size} as used"
        findings = [
            Finding(TOPIC, "pictures", str(frames), at_least(frames, self.frames), "film longer"),
            Finding(
                TOPIC, "size", size, at_least(min(height, width), self.size),
                "film at a higher resolution, or raise preprocess.frames.max_size",
            ),
        ]  # fmt: skip
        if rate is not None:
            verdict = at_least(rate, self.rate)
            advice = "film at a higher rate, or take more of its pictures (preprocess.frames.step)"
            findings.append(Finding(TOPIC, "rate", f"{rate:.3g} per second", verdict, advice))
        return findings

    def _person(self, inspections: Sequence[Inspection], people: Sequence[Person]) -> list[Finding]:
        tall = float(np.median([height(person) for person in people]))
        inside = np.mean([in_picture(each.person, each.image) for each in inspections if each.person], axis=0)
        sides = sides_seen([direction(person) for person in people])
        blurred = float(np.median([blur(each.image, each.person) for each in inspections if each.person]))
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
                "film a whole turn, or expect the other sides to be guessed",
            ),
            Finding(
                TOPIC, "motion blur", f"{blurred:.2f} of 1", at_most(blurred, self.blur),
                "use more light or a shorter exposure, or move more slowly",
            ),
            *_people(inspections),
        ]  # fmt: skip

    def _filmed(self, inspections: Sequence[Inspection], frames: int, rate: float | None) -> list[Finding]:
        """Findings on pictures that do not look as if a camera had filmed them; none if they do."""
        flat = [filmed.flat_share(each.image, each.person) for each in inspections if each.person]
        drawn, still, edges = float(np.median(flat or [0.0])), 0.0, filmed.seams([each.image for each in inspections])
        if rate is None or frames / rate >= _APART * len(inspections):  # a file may repeat what is near in time
            still = filmed.unchanged_share(inspections)
        rows = (
            ("drawn", f"{100 * drawn:.0f} % of the person are flat colours", at_most(drawn, self.flat),
             "film a real person: a drawn figure makes no avatar"),
            ("rendered", f"{100 * still:.0f} % of the background never change", at_most(still, self.unchanged),
             "a rendered scene trains, but if this was filmed, look whether the video stands still"),
            ("collage", f"{edges} straight edges across the whole picture", at_most(edges, self.seams),
             "if it shows several pictures in one, cut out the one of the person"),
        )  # fmt: skip
        return [Finding(TOPIC, f"looks {name}" if name != "collage" else "looks like a collage", value, verdict, advice)
                for name, value, verdict, advice in rows if verdict is not Verdict.OK]  # fmt: skip

    def _camera(self, inspections: Sequence[Inspection]) -> list[Finding]:
        still = stands_still(inspections)
        advice = "put the camera on a stand: a static background makes the masks sharper"
        return [Finding(TOPIC, "camera", "still" if still else "moves", Verdict(not still), advice)]


def recording(notes: Sequence[str]) -> list[Finding]:
    """A finding on each note on the recording (`preprocess.frames.notes`)."""
    return [Finding(TOPIC, "recording", note, Verdict.WARN) for note in notes]


def _people(inspections: Sequence[Inspection]) -> list[Finding]:
    counts = [each.people for each in inspections if each.people is not None]
    if not counts:
        return []
    several = max(counts) > 1
    advice = "check who is followed (people.jpg); choose with preprocess.keypoints.person=0, 1, ... from the left"
    value = f"up to {max(counts)} in a picture"
    if met := sum(each.overlapped for each in inspections):
        value += f", overlapping the person in {met} of {len(inspections)}"
    return [Finding(TOPIC, "people", value, Verdict(several), advice)]


def height(person: Person) -> float:
    """The longer side of the box about the points (pixels)."""
    low, high = person.box()
    return float((high - low).max())


def in_picture(person: Person, image: UInt8[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "L"]:
    """Which of the L points lie in the picture."""
    inside = (person.image_points >= 0) & (person.image_points < image.shape[1::-1])
    return inside.all(1) & (person.presence > _SEEN)


def absent_groups(inside: Float[np.ndarray, "L"]) -> list[str]:
    """Names of the GROUPS that lie outside the picture more often than in it.

    Args:
        inside: share of the pictures in which each of the L points lies in the picture.
    """
    shares = {
        group: np.mean([share for name, share in zip(NAMES, inside) if any(end in name for end in ends)])
        for group, ends in GROUPS.items()
    }
    return [group for group, share in shares.items() if share < 0.5]


def direction(person: Person) -> float:
    """The heading of the body (degrees; 0: towards the camera), from shoulders and hips; NaN if it is unknown."""
    left = np.array([name.startswith("left_") and name.endswith(("shoulder", "hip")) for name in NAMES])
    right = np.array([name.startswith("right_") and name.endswith(("shoulder", "hip")) for name in NAMES])
    x, _, z = person.world_points[left].mean(0) - person.world_points[right].mean(0)
    return float(np.degrees(np.arctan2(z, x)))


def sides_seen(directions: Sequence[float]) -> float:
    """The share of all directions that lie within `_REACH` of one of the given headings (degrees)."""
    around = np.arange(360)
    known = [angle for angle in directions if np.isfinite(angle)]
    apart = [np.abs((around - angle + 180) % 360 - 180) for angle in known]
    return float((np.min(apart, axis=0) <= _REACH).mean()) if known else 0.0


def blur(image: UInt8[np.ndarray, "H W 3"], person: Person) -> float:
    """Blur of the person along the worse axis, from 0 (sharp) to 1: how little a strong blur changes the picture.

    After Crete et al. (SPIE 2007).
    """
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


def stands_still(inspections: Sequence[Inspection]) -> bool:
    """Whether the camera is static: the background stays in place between successive pictures."""
    greys, people = [], []
    for each in inspections:
        scale = min(1.0, _SMALL / max(each.image.shape))
        grey = cv2.cvtColor(each.image, cv2.COLOR_RGB2GRAY)
        greys.append(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        people.append(_person_area(each.person, scale, greys[-1].shape))
    pairs = itertools.pairwise(zip(greys, people))
    return all(is_static([before, after], [there, here]) for (before, there), (after, here) in pairs)


def _person_area(person: Person | None, scale: float, shape: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    """The pixels that may show the person, of a picture scaled by `scale`."""
    inside = np.zeros(shape, bool)
    if person is not None:
        low, high = person.box() * scale
        margin = 0.15 * (high - low).max()
        (left, top), (right, bottom) = np.maximum(low - margin, 0).astype(int), np.maximum(high + margin, 0).astype(int)
        inside[top:bottom, left:right] = True
    return inside
