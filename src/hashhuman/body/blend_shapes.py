"""Blend shapes of SMPL's family (Loper et al., SIGGRAPH Asia 2015), as pure functions.

A rest vertex is its position in the template, plus `shapedirs` times the shape, plus `posedirs` times the pose.
Skinning (`hashhuman.geometry.skinning`) then moves it. J joints, V vertices, S shape parameters, P = 9 (J - 1) pose
features.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def shaped(
    v_template: Float[Tensor, "V 3"], shapedirs: Float[Tensor, "V 3 S"], betas: Float[Tensor, "*batch S"]
) -> Float[Tensor, "*batch V 3"]:
    """Rest vertices (m) of a shape: T + B_S(beta), Eq. 8. `betas` are in standard deviations."""
    return v_template + torch.einsum("vcs,...s->...vc", shapedirs, betas)


def pose_features(rotations: Float[Tensor, "*batch J 3 3"]) -> Float[Tensor, "*batch P"]:
    """The pose features R - 1 of all joints but the root, joint by joint, each row by row.

    `rotations` are relative to the parent joints.
    """
    identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    return (rotations[..., 1:, :, :] - identity).flatten(-3)


def pose_offsets(
    posedirs: Float[Tensor, "V 3 P"], rotations: Float[Tensor, "*batch J 3 3"]
) -> Float[Tensor, "*batch V 3"]:
    """Offsets (m) that a pose adds to the rest vertices: B_P(theta), Eq. 9. `rotations` are relative to the parents."""
    return torch.einsum("vcp,...p->...vc", posedirs, pose_features(rotations))
