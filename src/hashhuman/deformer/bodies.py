"""Everything about a set of posed bodies that queries need, computed once and kept on the device."""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.body import skinning
from hashhuman.body.template import BodyPose, BodyTemplate


@dataclasses.dataclass(frozen=True)
class PosedBodies:
    """F frames of one template. Metres."""

    world_from_posed: Float[Tensor, "F 4 4"]
    canonical_from_posed: Float[Tensor, "F V 3 4"]  # each body point's own affine map
    vertices: Float[Tensor, "F V 3"]  # posed space
    canonical_vertices: Float[Tensor, "V 3"]
    canonical_normals: Float[Tensor, "V 3"]  # outward, unit
    time: Int[Tensor, "F"]  # index among the training frames; -1: a pose that training did not see

    @classmethod
    def from_poses(cls, template: BodyTemplate, poses: Sequence[BodyPose], time: Int[Tensor, "F"]) -> "PosedBodies":
        """Poses the template; canonical is the template's big pose."""
        bones = template.bone_transforms(torch.stack([pose.poses for pose in poses]))
        posed = torch.einsum("vj,fjab->fvab", template.lbs_weights, bones)
        canonical = skinning.blend(template.lbs_weights, template.bone_transforms(template.big_pose()))
        normals = (canonical[:, :3, :3] @ template.surface_normals()[..., None])[..., 0]
        return cls(
            world_from_posed=torch.stack([pose.world_from_posed() for pose in poses]),
            canonical_from_posed=(canonical @ skinning.invert_affine(posed))[..., :3, :].contiguous(),
            vertices=skinning.transform(posed, template.vertices),
            canonical_vertices=skinning.transform(canonical, template.vertices),
            canonical_normals=normals / normals.norm(dim=1, keepdim=True).clamp_min(1e-12),
            time=time,
        )

    def to_posed(self, points: Float[Tensor, "N 3"], frames: Int[Tensor, "N"]) -> Float[Tensor, "N 3"]:
        """World points into the posed space of their frames: R^T (x - t)."""
        world = self.world_from_posed[frames]
        return ((points - world[:, :3, 3])[:, None] @ world[:, :3, :3])[:, 0]

    def directions_to_posed(self, directions: Float[Tensor, "N 3"], frames: Int[Tensor, "N"]) -> Float[Tensor, "N 3"]:
        """World directions into the posed space of their frames."""
        return (directions[:, None] @ self.world_from_posed[frames, :3, :3])[:, 0]

    def to_world(self, points: Float[Tensor, "N 3"], frames: Int[Tensor, "N"]) -> Float[Tensor, "N 3"]:
        """Posed points of their frames into the world: R x + t."""
        return skinning.transform(self.world_from_posed[frames], points)
