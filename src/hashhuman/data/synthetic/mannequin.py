"""The mannequin's capsules and their mesh, at rest."""

import dataclasses
import functools

import numpy as np
import torch
from jaxtyping import Float, Int

from hashhuman.body.template import SMPL_JOINTS, BodyTemplate

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
_CENTRE = {
    "pelvis": (0.0, 0.0, 0.0), "spine1": (0.0, 0.11, 0.0), "spine2": (0.0, 0.24, 0.0), "spine3": (0.0, 0.34, 0.0),
    "neck": (0.0, 0.51, -0.01), "head": (0.0, 0.60, 0.01),
}  # fmt: skip
_LEFT = {
    "hip": (0.09, -0.08, 0.0), "knee": (0.10, -0.47, 0.0), "ankle": (0.10, -0.86, -0.02), "foot": (0.11, -0.91, 0.09),
    "collar": (0.07, 0.44, 0.0), "shoulder": (0.19, 0.45, 0.0), "elbow": (0.45, 0.45, 0.0), "wrist": (0.69, 0.45, 0.0),
    "hand": (0.77, 0.45, 0.0),
}  # fmt: skip
_AROUND = 12  # vertices of a ring around a capsule
_RINGS = 4  # steps from a capsule's side to its tip
_SPACING = 0.03  # metres between rings along a capsule


@dataclasses.dataclass(frozen=True)
class Capsule:
    """All points within `radius` of a segment, at rest (m)."""

    joint: str  # the joint that moves it
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float
    cloth: str  # see `Wardrobe.colours`

    @functools.cached_property
    def frame(self) -> Float[np.ndarray, "3 3"]:
        """An orthonormal frame: two rows across the axis, then the axis from start to end."""
        axis = np.subtract(self.end, self.start)
        axis /= np.linalg.norm(axis)
        ahead = np.array([0.0, 0.0, 1.0]) if abs(axis[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
        across = np.cross(ahead, axis)
        across /= np.linalg.norm(across)
        return np.stack([across, np.cross(axis, across), axis])


def rest_joints() -> Float[np.ndarray, "24 3"]:
    """Positions of SMPL's joints at rest (m): a T-pose of a person 1.75 m tall."""
    sides = {
        f"{side}_{name}": (sign * x, y, z)
        for side, sign in (("left", 1), ("right", -1))
        for name, (x, y, z) in _LEFT.items()
    }
    return np.array([(_CENTRE | sides)[name] for name in SMPL_JOINTS])


def mannequin() -> list[Capsule]:
    """The body's capsules, from the pelvis outwards."""
    at: dict[str, np.ndarray] = dict(zip(SMPL_JOINTS, rest_joints()))

    def across(joint: str, height: float, half: float, radius: float, cloth: str) -> Capsule:
        return Capsule(joint, (-half, height, 0.0), (half, height, 0.0), radius, cloth)

    capsules = [
        across("pelvis", -0.04, 0.07, 0.115, "trousers"), across("spine1", 0.10, 0.06, 0.112, "shirt"),
        across("spine2", 0.22, 0.07, 0.115, "shirt"), across("spine3", 0.36, 0.10, 0.115, "shirt"),
        Capsule("neck", (0.0, 0.46, -0.01), (0.0, 0.60, 0.0), 0.055, "skin"),
        Capsule("head", (0.0, 0.65, 0.015), (0.0, 0.74, 0.0), 0.095, "face"),
    ]  # fmt: skip
    limbs = (
        ("collar", "shoulder", 0.075, "shirt"), ("shoulder", "elbow", 0.055, "shirt"),
        ("elbow", "wrist", 0.042, "skin"), ("wrist", "hand", 0.036, "skin"),
        ("hip", "knee", 0.085, "trousers"), ("knee", "ankle", 0.06, "trousers"), ("ankle", "foot", 0.048, "shoe"),
    )  # fmt: skip
    ends = (("hand", (0.07, 0.0, 0.0), 0.03, "skin"), ("foot", (0.0, 0.0, 0.07), 0.042, "shoe"))
    for side, sign in (("left", 1), ("right", -1)):
        for start, end, radius, cloth in limbs:
            joint = f"{side}_{start}"
            capsules.append(Capsule(joint, _point(at[joint]), _point(at[f"{side}_{end}"]), radius, cloth))
        for name, reach, radius, cloth in ends:
            joint = f"{side}_{name}"
            tip = at[joint] + np.array(reach) * (sign, 1, 1)
            capsules.append(Capsule(joint, _point(at[joint]), _point(tip), radius, cloth))
    return capsules


def _point(position: Float[np.ndarray, "3"]) -> tuple[float, float, float]:
    x, y, z = position.tolist()
    return x, y, z


def mesh(capsules: list[Capsule]) -> BodyTemplate:
    """The body: a closed mesh of each capsule's surface, which follows the capsule's joint rigidly.

    Each capsule has a texture chart of its own, in a square of tiles.
    """
    vertices, faces, joints, uv = [], [], [], []
    tiles = int(np.ceil(len(capsules) ** 0.5))
    for index, capsule in enumerate(capsules):
        first = sum(map(len, vertices))
        points, chart, triangles = _capsule_mesh(capsule)
        vertices.append(points)
        uv.append((np.array([index % tiles, index // tiles]) + 0.05 + 0.9 * chart) / tiles)
        faces.append(triangles + first)
        joints.append(np.full(len(points), SMPL_JOINTS.index(capsule.joint)))
    return BodyTemplate(
        vertices=torch.from_numpy(np.concatenate(vertices)).float(),
        faces=torch.from_numpy(np.concatenate(faces)),
        lbs_weights=torch.eye(len(SMPL_JOINTS))[np.concatenate(joints)],
        joints=torch.from_numpy(rest_joints()).float(),
        parents=PARENTS,
        joint_names=SMPL_JOINTS,
        uv=torch.from_numpy(np.concatenate(uv)).float(),
    )


def _capsule_mesh(
    capsule: Capsule,
) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, "N 2"], Int[np.ndarray, "M 3"]]:
    """Vertices (m), texture coordinates in [0, 1] and outward faces; rings of vertices run from tip to tip."""
    length = float(np.linalg.norm(np.subtract(capsule.end, capsule.start)))
    cap = np.deg2rad(np.arange(1, _RINGS) * 90 / _RINGS)
    n_between = max(2, round(length / _SPACING) + 1)
    radius = capsule.radius * np.concatenate([np.sin(cap), np.ones(n_between), np.sin(cap)[::-1]])
    past = capsule.radius * np.cos(cap)
    height = np.concatenate([-past, np.linspace(0, length, n_between), length + past[::-1]])
    angle = 2 * np.pi * np.arange(_AROUND) / _AROUND
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    rings = np.concatenate([radius[:, None, None] * circle, np.repeat(height, _AROUND).reshape(-1, _AROUND, 1)], 2)
    tips = np.array([[0, 0, -capsule.radius], [0, 0, length + capsule.radius]])
    local = np.concatenate([rings.reshape(-1, 3), tips])
    around = np.append(np.tile(np.arange(_AROUND) / (_AROUND - 1), len(rings)), [0.5, 0.5])
    chart = np.stack([around, (local[:, 2] + capsule.radius) / (length + 2 * capsule.radius)], 1)

    here = np.arange(_AROUND)
    after = (here + 1) % _AROUND
    bottom, top = np.full_like(here, len(local) - 2), np.full_like(here, len(local) - 1)
    triangles = [np.stack([after, here, bottom], 1)]
    for low in range(0, (len(rings) - 1) * _AROUND, _AROUND):
        high = low + _AROUND
        triangles.append(np.stack([low + here, low + after, high + after], 1))
        triangles.append(np.stack([low + here, high + after, high + here], 1))
    last = (len(rings) - 1) * _AROUND
    triangles.append(np.stack([last + here, last + after, top], 1))
    return np.array(capsule.start) + local @ capsule.frame, chart, np.concatenate(triangles)
