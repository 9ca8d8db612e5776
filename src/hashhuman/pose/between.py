"""Poses of frames between training frames: those that are held out, and teach nothing.

A frame's own fit, with the correction of its neighbours, keeps the jitter that refinement took from the others. A curve
through the refined poses of its neighbours has none, but knows nothing of this frame. The two err independently, so
that close to its neighbours a frame gets half of each, and less of the curve where joints are thrown.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.body.template import BodyPose
from hashhuman.geometry.skinning import axis_angle_to_matrix
from hashhuman.pose.corrections import Correction, matrix_to_axis_angle

CLOSE = 2.0  # the widest gap, in usual distances of two frames, over which a curve is trusted


class Neighbours(NamedTuple):
    """The training frames that a frame is interpolated between: positions in the list of frames, and weights."""

    positions: list[int]
    weights: list[float]  # of a polynomial in time through these frames; their sum is 1


def neighbours(frames: Sequence[int], frame: int) -> Neighbours | None:
    """The frame itself; or two frames on each side of it, if the gap is narrow; or else one on each side.

    Args:
        frames: numbers of the training frames, ascending.
        frame: number of the frame that is asked for.

    Returns:
        None for a frame before the first or after the last one: what was learned of the others says nothing about it.
    """
    if not frames or not frames[0] <= frame <= frames[-1]:
        return None
    after = next(i for i, number in enumerate(frames) if number >= frame)
    if frames[after] == frame:
        return Neighbours([after], [1.0])
    usual = torch.tensor(frames).diff().float().median().item()
    narrow = frames[after] - frames[after - 1] <= CLOSE * usual
    half = 2 if narrow and 2 <= after <= len(frames) - 2 else 1
    positions = list(range(after - half, after + half))
    return Neighbours(positions, _lagrange([frames[i] for i in positions], frame))


def _lagrange(times: list[int], time: int) -> list[float]:
    weights = [1.0] * len(times)
    for i, own in enumerate(times):
        for other in times[:i] + times[i + 1 :]:
            weights[i] *= (time - other) / (own - other)
    return weights


def correction_between(rotation: Float[Tensor, "F J 3"], transl: Float[Tensor, "F 3"], near: Neighbours) -> Correction:
    """The corrections of a frame's neighbours, interpolated in time."""
    weights = torch.tensor(near.weights)
    return Correction(torch.einsum("k,kjc->jc", weights, rotation[near.positions]), weights @ transl[near.positions])


def beside_curve(own: BodyPose, curve: BodyPose, steady: Float[Tensor, "J"], pelvis: Float[Tensor, "3"]) -> BodyPose:
    """The mean of a frame's own pose and of the curve's, joint by joint.

    Args:
        own, curve: the two poses.
        steady: how far joints move steadily there (`pose/motion.py`). The curve's share is half its root: a curve
            errs as much as it is bent, which `steady` compares in squares.
        pelvis: as for `mean_pose`.
    """
    share = 0.5 * steady.detach().cpu().double().sqrt()
    return mean_pose([own, curve], torch.stack([1 - share, share]), pelvis)


def mean_pose(
    poses: Sequence[BodyPose], weights: Sequence[float] | Float[Tensor, "K J"], pelvis: Float[Tensor, "3"]
) -> BodyPose:
    """The weighted mean of poses, on the CPU; weights may be negative, their sum is 1.

    Of each rotation it is the one nearest to the weighted mean of the matrices (the chordal mean), and of the body's
    place the weighted mean of where the root joint is.

    Args:
        poses: at least one.
        weights: of each, or of each and for each joint.
        pelvis: position of the root joint at rest (m).
    """
    numbers = torch.stack([torch.cat([pose.orient[None], pose.body_pose[1:]]) for pose in poses]).detach().cpu()
    matrices, share = axis_angle_to_matrix(numbers.double()), torch.as_tensor(weights, dtype=torch.float64)
    share = share if share.ndim == 2 else share[:, None].expand(-1, matrices.shape[1])
    u, _, vt = torch.linalg.svd(torch.einsum("kj,kjab->jab", share, matrices))
    u = torch.cat([u[..., :2], u[..., 2:] * torch.det(u @ vt)[:, None, None]], -1)  # no reflections
    turned, center = u @ vt, pelvis.detach().double().cpu()
    transl = torch.stack([pose.transl for pose in poses]).detach().double().cpu()
    place = share[:, 0] @ (matrices[:, 0] @ center + transl) - turned[0] @ center
    mean = matrix_to_axis_angle(turned).to(numbers)
    return BodyPose(torch.cat([poses[0].body_pose[:1].detach().cpu(), mean[1:]]), mean[0], place.to(numbers))
