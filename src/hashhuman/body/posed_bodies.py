"""Posed bodies: the transforms between canonical, posed and world space of F frames, on the device."""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.geometry import skinning

AT_A_TIME = 64  # frames; bounds the memory


@dataclasses.dataclass(frozen=True)
class PosedBodies:
    """F poses of one template with V body points. Metres."""

    world_from_posed: Float[Tensor, "F 4 4"]
    canonical_from_posed: Float[Tensor, "F V 3 4"]  # the affine map of each body point
    vertices: Float[Tensor, "F V 3"]  # posed space
    canonical_vertices: Float[Tensor, "V 3"]
    canonical_normals: Float[Tensor, "V 3"]  # outward unit normals
    uv: Float[Tensor, "V 2"] | None  # texture coordinates of the body points, in [0, 1]
    time: Int[Tensor, "F"]  # index among the training frames; -1 for other poses

    @classmethod
    def from_poses(cls, template: BodyTemplate, poses: Sequence[BodyPose], time: Int[Tensor, "F"]) -> "PosedBodies":
        """Poses the template. Canonical space is that of the template's big pose.

        `world_from_posed` is differentiable with respect to orientation and translation, `canonical_from_posed` and
        `vertices` with respect to joint rotations. The canonical fields depend on the template only.
        """
        bones = template.bone_transforms(torch.stack([pose.body_pose for pose in poses]))
        maps, vertices = [], []
        for some in bones.split(AT_A_TIME):
            posed = torch.einsum("vj,fjab->fvab", template.lbs_weights, some)
            vertices.append(skinning.transform(posed, template.vertices))
            maps.append((template.canonical_from_rest @ skinning.invert_affine(posed))[..., :3, :].contiguous())
        rotation = skinning.axis_angle_to_matrix(torch.stack([pose.orient for pose in poses]))
        return cls(
            world_from_posed=skinning.rigid(rotation, torch.stack([pose.transl for pose in poses])),
            canonical_from_posed=torch.cat(maps),
            vertices=torch.cat(vertices),
            canonical_vertices=template.canonical_vertices,
            canonical_normals=template.canonical_normals,
            uv=template.uv,
            time=time,
        )

    def to_posed(self, points: Float[Tensor, "N 3"], frames: Int[Tensor, "N"]) -> Float[Tensor, "N 3"]:
        """World points (m) in the posed space of their frames: R^T (x - t)."""
        world = self.world_from_posed[frames]
        return ((points - world[:, :3, 3])[:, None] @ world[:, :3, :3])[:, 0]

    def directions_to_posed(self, directions: Float[Tensor, "N 3"], frames: Int[Tensor, "N"]) -> Float[Tensor, "N 3"]:
        """World directions in the posed space of their frames: R^T d."""
        return (directions[:, None] @ self.world_from_posed[frames, :3, :3])[:, 0]

    def to_world(self, points: Float[Tensor, "N 3"], frames: Int[Tensor, "N"]) -> Float[Tensor, "N 3"]:
        """Points (m) of the posed space of their frames in the world: R x + t."""
        world = self.world_from_posed
        return skinning.transform(world if len(world) == 1 else world[frames], points)
