"""How bodies move: accelerations, and how much of those of a fit is motion rather than jitter.

A fit trembles, so that refined poses are held to be smooth. How smooth they can be is not the same for a person who
turns slowly and for arms that are thrown up: what a weak prior leaves of the tremble in the one is, squared, a
hundredth of the other's motion, which a prior of the same weight would forbid. So the prior asks for small
accelerations only as far as the fit, averaged over a few frames, has small ones there.
"""

import torch
from jaxtyping import Float
from torch import Tensor

LEVER = 0.1  # metres, length of a joint's axes, whose ends show how it turns
WINDOW = (1.0, 4.0, 6.0, 4.0, 1.0)  # weights of a frame and its neighbours; tremble changes within two frames


def accelerations(
    chain: Float[Tensor, "F J 3 4"],
    world_from_posed: Float[Tensor, "F 4 4"],
    times: Float[Tensor, "F"],
    lever: float = LEVER,
) -> Float[Tensor, "F-2 J 3 4"]:
    """The accelerations of each joint in the world, in the last column, and of the ends of its axes relative to it.

    Args:
        chain: rotations and positions (m) of the joints.
        world_from_posed: places of the bodies (m).
        times: at least three, ascending.
        lever: metres, length of the axes.

    Returns:
        Metres per squared unit of time.
    """
    joints = torch.cat([lever * chain[..., :3], chain[..., 3:]], -1)
    world = world_from_posed[:, None, :3]
    moved = world[..., :3] @ joints
    moved = torch.cat([moved[..., :3], moved[..., 3:] + world[..., 3:]], -1)
    spacing = times.diff()[:, None, None, None]
    velocity = moved.diff(dim=0) / spacing
    return velocity.diff(dim=0) * (2 / (spacing[1:] + spacing[:-1]))


def steadiness(accelerations: Float[Tensor, "A J 3 4"], tremble: float) -> Float[Tensor, "A J"]:
    """How far small accelerations may be asked for, from 1 for a joint that rests to 0 for one that is thrown.

    Args:
        accelerations: of the fit, as of `accelerations`.
        tremble: root mean square of accelerations that are no motion (m per squared unit of time).
    """
    motion = _averaged(_averaged(accelerations).square().sum((2, 3)))
    return 1 / (1 + (motion.sqrt() / tremble).square())


def _averaged(values: Float[Tensor, "A ..."]) -> Float[Tensor, "A ..."]:
    """The mean over `WINDOW`, for which the first and the last value go on."""
    weights, half = torch.tensor(WINDOW, device=values.device), len(WINDOW) // 2
    padded = torch.cat(
        [values[:1].expand(half, *values.shape[1:]), values, values[-1:].expand(half, *values.shape[1:])]
    )
    return padded.unfold(0, len(WINDOW), 1) @ (weights / weights.sum())
