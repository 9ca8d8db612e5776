"""How the hands are turned. The body's points tell little of it, so that forearms would twist at will.

The palm is rigid: the rotation that takes its points at rest to where the network sees them is the wrist's.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.io.assets import Asset
from preprocess.assets import HAND_LANDMARKS
from preprocess.body_fit.evidence.observe import Observations
from preprocess.body_fit.geometry import rigid_rotation
from preprocess.keypoints.camera_axes import axes_at
from preprocess.keypoints.hand_network import MIDDLE
from preprocess.keypoints.hands import SIDES, find_hands

TURNED = tuple(f"{side}_wrist" for side in SIDES)
"""The joints whose rotation is measured."""

# The palm of a left hand in the body's rest frame (x to the person's left, y up, z forward; relative to its mean, at
# any scale): wrist, root of the thumb, and the knuckles from the index to the little finger.
# `benchmarks/turns.py --palm` measured it.
PALM = {
    0: (-2.3, 3.7, -5.0), 1: (-3.5, 3.0, -1.4), 5: (0.2, -0.4, 3.8), 9: (1.4, -1.4, 2.6), 13: (2.3, -2.2, 1.0),
    17: (1.9, -2.6, -1.1),
}  # fmt: skip
MIRROR = torch.tensor([-1.0, 1, 1], dtype=torch.float64)  # of a point, to the other side of the body

REACH = 3  # pictures before and after one that must agree with it
AGREEMENT = 0.6  # radians between a picture and the next; a quarter more for each further picture


@dataclasses.dataclass(frozen=True)
class Turns:
    """Measured rotations of the joints TURNED in F pictures."""

    rotation: Float[Tensor, "F T 3 3"]
    """camera_from_rest."""
    trust: Float[Tensor, "F T"]
    """In [0, 1]; zero where nothing was found."""

    @classmethod
    def untrusted(cls, frames: int) -> "Turns":
        """A placeholder for pictures that were not examined."""
        return cls(torch.eye(3).expand(frames, len(TURNED), 3, 3), torch.zeros(frames, len(TURNED)))


class HandTurns:
    """Measures how the hands are turned, with a network for hands."""

    def assets(self) -> list[Asset]:
        """The network, which is fetched unless it is cached."""
        return [HAND_LANDMARKS]

    def __call__(self, paths: Sequence[Path], observations: Observations, K: Float[np.ndarray, "3 3"]) -> Turns:
        """Measures them in F pictures.

        Args:
            paths: the pictures.
            observations: the body's points in them.
            K: the camera's intrinsics (pixels).
        """
        hands = find_hands(paths, observations.image, observations.visibility)
        rotations, trusts = [], []
        for side in range(len(SIDES)):
            seen = torch.from_numpy(hands.world_points[:, side, list(PALM)])
            towards = torch.from_numpy(axes_at(hands.image_points[:, side, MIDDLE], K))
            rotation = towards @ palm_rotation(seen, SIDES[side])
            rotations.append(rotation.float())
            trusts.append(agreeing(rotation, torch.from_numpy(hands.trust[:, side])).float())
        return Turns(torch.stack(rotations, 1), torch.stack(trusts, 1))


def palm_rotation(points: Float[Tensor, "F P 3"], side: str) -> Float[Tensor, "F 3 3"]:
    """The rotation of a hand from rest, from where the points of PALM are seen."""
    rest = torch.tensor(list(PALM.values()), dtype=points.dtype)
    if side == "right":
        rest = rest * MIRROR.to(points)
    return rigid_rotation(rest.expand(len(points), -1, -1), points)


def agreeing(rotation: Float[Tensor, "F 3 3"], trust: Float[Tensor, "F"]) -> Float[Tensor, "F"]:
    """Trust times the share of the neighbouring pictures that agree: the network takes a palm for a back at times.

    A picture with fewer than three neighbours that have a hand is trusted less, and one with none is not trusted.
    """
    supported = torch.zeros_like(trust)
    for f in range(len(trust)):
        near = [k for k in range(max(f - REACH, 0), min(f + REACH + 1, len(trust))) if k != f and trust[k] > 0]
        if not near or trust[f] <= 0:
            continue
        cosine = ((rotation[f] * rotation[near]).sum((-1, -2)) - 1) / 2
        angle = torch.arccos(cosine.clamp(-1, 1))
        limit = AGREEMENT * (1 + (torch.tensor(near) - f).abs() / 4)
        share = (trust[near] * (angle < limit)).sum() / trust[near].sum()
        supported[f] = trust[f] * share * min(len(near), 3) / 3
    return supported
