"""Keeps a motion on the ground: feet that stand neither sink in, nor float, nor slide.

A motion that was carried over to a body of other proportions stands a little above or below the ground, and its feet
slide by some millimetres a frame. Here each ankle is moved by as much as that takes, by bending hip and knee (two-bone
inverse kinematics); the foot keeps its orientation. Between two stands the correction fades out and in again.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.spatial.transform import Rotation

from hashhuman.animate.anatomy import anatomy_of
from hashhuman.animate.heights import on_ground
from hashhuman.animate.rotations import smallest_rotation
from hashhuman.body.template import BodyTemplate
from hashhuman.export.motion import Motion, Skeleton, continuous

LEG = ("hip", "knee", "ankle", "toes")
SLIP = 0.1  # metres; a foot that strays farther while it stands is meant to glide, and is only kept on the ground
LOWERED = 0.15  # metres; hips are lowered by no more
AHEAD = 0.005  # metres; a knee lies at least so far before the line from hip to ankle
REACH = 0.998  # of a leg's length; a knee never becomes quite straight


@dataclasses.dataclass(frozen=True)
class Ground:
    """Puts motions on the ground, y = 0.

    Args:
        plant: correct the legs; otherwise, the motion is only moved up or down as a whole.
        still: a foot stands while its toes are slower (m/s) ...
        low: ... and at most so far (m) above their lowest place of the motion ...
        least: ... for at least so long (s).
        fade: time (s) in which a correction fades.
    """

    plant: bool
    still: float
    low: float
    least: float
    fade: float

    def __call__(self, motion: Motion, template: BodyTemplate) -> Motion:
        """The motion of a body on the ground.

        Feet that stand are on the ground in the mean. Without any, or without legs that are known by name, the lowest
        vertex of the motion is.
        """
        skeleton = Skeleton.of(template)
        feet = _feet(skeleton, template)
        stands = [self._stands(motion, foot, skeleton) for foot in feet]
        below = [foot.heights(motion, skeleton)[standing] for foot, standing in zip(feet, stands)]
        if not sum(map(len, below)):
            return on_ground(motion, template)
        motion = _moved(motion, float(np.median(np.concatenate(below))))
        if not self.plant:
            return motion
        motion = _flat_toes(motion, feet, skeleton, self.low)
        targets = [
            motion.joints(skeleton)[:, foot.ankle] + self._shift(motion, foot, standing, skeleton)
            for foot, standing in zip(feet, stands)
        ]
        return _bent(_within_reach(motion, feet, targets, skeleton), feet, targets, skeleton)

    def _stands(self, motion: Motion, foot: "_Foot", skeleton: Skeleton) -> Bool[np.ndarray, "F"]:
        """In which frames a foot stands."""
        toes = motion.joints(skeleton)[:, foot.toes]
        if len(toes) == 1:
            return np.ones(1, bool)
        speed = np.linalg.norm(np.gradient(toes, motion.times, axis=0), axis=1)
        standing = (speed < self.still) & (toes[:, 1] < np.percentile(toes[:, 1], 5) + self.low)
        for begin, end in _runs(standing):
            if (end - begin) * motion.frame_time() < self.least:
                standing[begin:end] = False
        return standing

    def _shift(
        self, motion: Motion, foot: "_Foot", standing: Bool[np.ndarray, "F"], skeleton: Skeleton
    ) -> Float[np.ndarray, "F 3"]:
        """How far the foot must move (m)."""
        height = foot.heights(motion, skeleton)
        toes = motion.joints(skeleton)[:, foot.toes]
        shift = np.zeros((len(height), 3))
        for begin, end in _runs(standing):
            away = (toes[begin:end].mean(0) - toes[begin:end]) * [1, 0, 1]
            if np.linalg.norm(away, axis=1).max() < SLIP:
                shift[begin:end] = away
            shift[begin:end, 1] = -height[begin:end]
        self._fade_between(shift, standing, motion.frame_time())
        shift[:, 1] = np.maximum(shift[:, 1], -height)  # no foot below the ground
        return shift

    def _fade_between(
        self, shift: Float[np.ndarray, "F 3"], standing: Bool[np.ndarray, "F"], frame_time: float
    ) -> None:
        """Fills in the shifts of the frames in which a foot does not stand."""
        for begin, end in _runs(~standing):
            before = shift[begin - 1] if begin > 0 else np.zeros(3)
            after = shift[end] if end < len(shift) else np.zeros(3)
            away = np.arange(1, end - begin + 1) * frame_time
            fade = min(self.fade, (end - begin + 1) * frame_time / 2)
            out, into = (_smooth(1 - distance / fade)[:, None] for distance in (away, away[::-1]))
            if fade < self.fade:  # a short step: from one stand to the next
                into = _smooth(away / (2 * fade))[:, None]
                out = 1 - into
            shift[begin:end] = out * before + into * after


def _smooth(share: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    share = share.clip(0, 1)
    return share**2 * (3 - 2 * share)


@dataclasses.dataclass(frozen=True, eq=False)
class _Foot:
    """A leg's joints, and the vertices of its foot."""

    hip: int
    knee: int
    ankle: int
    toes: int
    vertices: Float[np.ndarray, "V 3"]  # at rest (m)
    weights: Float[np.ndarray, "V J"]

    def lengths(self, skeleton: Skeleton) -> Float[np.ndarray, "2"]:
        """Of thigh and shin (m)."""
        return np.linalg.norm(np.diff(skeleton.joints[[self.hip, self.knee, self.ankle]], axis=0), axis=1)

    def heights(self, motion: Motion, skeleton: Skeleton) -> Float[np.ndarray, "F"]:
        """The height of its lowest vertex (m)."""
        bones = motion.transforms(skeleton)[:, :, 1]  # the row that gives y
        bones[..., 3] -= (bones[..., :3] * skeleton.joints).sum(-1)
        places = np.pad(self.vertices, ((0, 0), (0, 1)), constant_values=1)
        joints = np.flatnonzero(self.weights.any(0))
        weighted = np.einsum("vj,va->vja", self.weights[:, joints], places).reshape(len(places), -1)
        return np.array([(weighted @ frame[joints].ravel()).min() for frame in bones])


def _feet(skeleton: Skeleton, template: BodyTemplate) -> list[_Foot]:
    """The feet whose legs are a chain of hip, knee, ankle and toes; none if one of them is not."""
    anatomy = anatomy_of(skeleton.names, skeleton.parents)
    found = []
    weights = template.lbs_weights.cpu().double().numpy()
    vertices = template.vertices.cpu().double().numpy() + skeleton.offset
    for side in ("left", "right"):
        leg = [None if anatomy is None else anatomy.get(f"{side}_{joint}") for joint in LEG]
        if None in leg or [skeleton.parents[joint] for joint in leg[1:]] != leg[:-1]:  # type: ignore[index]
            return []
        hip, knee, ankle, toes = (int(joint) for joint in leg)  # type: ignore[arg-type]
        own = weights[:, [ankle, toes]].sum(1) > 0.5
        if not own.any():
            return []
        found.append(_Foot(hip, knee, ankle, toes, vertices[own], weights[own]))
    return found


def _runs(flags: Bool[np.ndarray, "F"]) -> list[tuple[int, int]]:
    """First and last + 1 index of each stretch of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]


def _moved(motion: Motion, height: Float[np.ndarray, "F"] | float) -> Motion:
    """The motion lowered (m)."""
    root = motion.root.copy()
    root[:, 1] -= height
    return dataclasses.replace(motion, root=root)


def _flat_toes(motion: Motion, feet: Sequence[_Foot], skeleton: Skeleton, low: float) -> Motion:
    """The motion with toes that do not point into the ground while their joint is near to it, as when a heel rises."""
    rotations = motion.rotations.copy()
    bones = motion.transforms(skeleton)
    for foot in feet:
        world = Rotation.from_matrix(bones[:, foot.toes, :3, :3])
        ahead = world.apply([0.0, 0.0, 1.0])
        down = np.arcsin((-ahead[:, 1]).clip(0, 1))
        near = (1 - (bones[:, foot.toes, 1, 3] - skeleton.joints[foot.toes, 1]) / low).clip(0, 1)
        axis = np.cross(ahead, [0.0, 1.0, 0.0])
        axis /= np.linalg.norm(axis, axis=1, keepdims=True).clip(1e-6)
        raised = Rotation.from_rotvec(axis * (near * down)[:, None]) * world
        rotations[:, foot.toes] = (Rotation.from_matrix(bones[:, foot.ankle, :3, :3]).inv() * raised).as_quat()
    return dataclasses.replace(motion, rotations=continuous(rotations))


def _within_reach(
    motion: Motion, feet: Sequence[_Foot], targets: Sequence[Float[np.ndarray, "F 3"]], skeleton: Skeleton
) -> Motion:
    """The motion with hips lowered where a leg is too short for its ankle's target."""
    joints, lowered = motion.joints(skeleton), np.zeros(len(motion.times))
    for foot, target in zip(feet, targets):
        reach = REACH * foot.lengths(skeleton).sum()
        apart = joints[:, foot.hip] - target
        highest = np.sqrt((reach**2 - apart[:, 0] ** 2 - apart[:, 2] ** 2).clip(0))
        lowered = np.maximum(lowered, apart[:, 1] - highest)
    return _moved(motion, gaussian_filter1d(maximum_filter1d(lowered, 5), 2.0).clip(0, LOWERED))


def _bent(
    motion: Motion, feet: Sequence[_Foot], targets: Sequence[Float[np.ndarray, "F 3"]], skeleton: Skeleton
) -> Motion:
    """The motion with ankles at their targets, as far as legs reach; the feet keep their orientation."""
    rotations = motion.rotations.copy()
    bones = motion.transforms(skeleton)
    for foot, target in zip(feet, targets):
        hip, knee, ankle = (bones[:, joint, :3, 3] for joint in (foot.hip, foot.knee, foot.ankle))
        thigh, shin = foot.lengths(skeleton)
        old, new = ankle - hip, target - hip
        distance = np.linalg.norm(new, axis=1).clip(abs(thigh - shin) + 1e-4, REACH * (thigh + shin))[:, None]
        way = _knee_way(knee - hip, old, bones[:, foot.hip, :3, 2])
        swing, normal = smallest_rotation(old, new), np.cross(old, way)
        new = _unit(new)
        along = (thigh**2 - shin**2 + distance**2) / (2 * distance)
        bent = hip + new * along + _unit(swing.apply(way)) * np.sqrt((thigh**2 - along**2).clip(0))
        world = {joint: Rotation.from_matrix(bones[:, joint, :3, :3]) for joint in (foot.hip, foot.knee, foot.ankle)}
        world[foot.hip] = _hinged(knee - hip, normal, bent - hip, swing.apply(normal)) * world[foot.hip]
        reached = hip + new * distance
        world[foot.knee] = _hinged(ankle - knee, normal, reached - bent, swing.apply(normal)) * world[foot.knee]
        above = Rotation.from_matrix(bones[:, skeleton.parents[foot.hip], :3, :3])
        rotations[:, foot.hip] = (above.inv() * world[foot.hip]).as_quat()
        rotations[:, foot.knee] = (world[foot.hip].inv() * world[foot.knee]).as_quat()
        rotations[:, foot.ankle] = (world[foot.knee].inv() * world[foot.ankle]).as_quat()
    return dataclasses.replace(motion, rotations=continuous(rotations))


def _knee_way(
    thigh: Float[np.ndarray, "F 3"], leg: Float[np.ndarray, "F 3"], front: Float[np.ndarray, "F 3"]
) -> Float[np.ndarray, "F 3"]:
    """Where the knee lies beside the line from hip to ankle; of straight legs, where it will go: to the front."""
    way, front = _across(thigh, leg), _unit(_across(front, leg))
    ahead = (way * front).sum(1, keepdims=True)
    return way + front * np.maximum(ahead, AHEAD) - front * ahead


def _hinged(
    before: Float[np.ndarray, "F 3"],
    normal: Float[np.ndarray, "F 3"],
    after: Float[np.ndarray, "F 3"],
    new_normal: Float[np.ndarray, "F 3"],
) -> Rotation:
    """The rotation that takes a bone to its new direction, and the normal of its plane to that plane's."""
    frames = []
    for bone, across in ((before, normal), (after, new_normal)):
        x, y = _unit(bone), _unit(_across(across, bone))
        frames.append(np.stack([x, y, np.cross(x, y)], -1))
    return Rotation.from_matrix(frames[1] @ frames[0].swapaxes(1, 2))


def _across(vectors: Float[np.ndarray, "F 3"], axis: Float[np.ndarray, "F 3"]) -> Float[np.ndarray, "F 3"]:
    """The components of vectors at right angles to an axis."""
    axis = _unit(axis)
    return vectors - (vectors * axis).sum(1, keepdims=True) * axis


def _unit(vectors: Float[np.ndarray, "F 3"]) -> Float[np.ndarray, "F 3"]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
