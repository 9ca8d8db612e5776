"""Blend shapes of SMPL's family (Loper et al., SIGGRAPH Asia 2015), as pure functions.

A vertex at rest is its place in the template, moved along `shapedirs` by the shape and along `posedirs` by the pose;
then the skeleton skins it (`body/skinning.py`). Notation as there; S shape parameters, P = 9 (J - 1) pose features.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def shaped(
    v_template: Float[Tensor, "V 3"], shapedirs: Float[Tensor, "V 3 S"], betas: Float[Tensor, "*batch S"]
) -> Float[Tensor, "*batch V 3"]:
    """Rest vertices (m) of a shape: T + B_S(beta), equation 8."""
    return v_template + torch.einsum("vcs,...s->...vc", shapedirs, betas)


def pose_features(rotations: Float[Tensor, "*batch J 3 3"]) -> Float[Tensor, "*batch P"]:
    """How far each joint but the root is turned from rest: R - 1, row by row, joint by joint."""
    identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    return (rotations[..., 1:, :, :] - identity).flatten(-3)


def pose_offsets(
    posedirs: Float[Tensor, "V 3 P"], rotations: Float[Tensor, "*batch J 3 3"]
) -> Float[Tensor, "*batch V 3"]:
    """What a pose adds to the rest vertices (m): B_P(theta), equation 9. `rotations` are relative to the parents."""
    return torch.einsum("vcp,...p->...vc", posedirs, pose_features(rotations))
