"""Skinning weights of a surface, carried over from the body, and the surface at rest."""

import dataclasses

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.body.nearest import nearest
from hashhuman.body.template import BodyTemplate
from hashhuman.export.motion import Skeleton
from hashhuman.export.surface import Surface
from hashhuman.geometry import skinning

INFLUENCES = 4  # joints of a vertex: glTF's number; more are drawn differently by each program


@dataclasses.dataclass(frozen=True)
class Skin:
    """The joints that move each vertex."""

    joints: Int[np.ndarray, "V 4"]  # indices; 0 where the weight is 0
    weights: Float[np.ndarray, "V 4"]  # float32, descending; their float64 sum is one within 1e-7

    def dense(self, n_joints: int) -> Float[Tensor, "V J"]:
        """The weights of all joints."""
        full = torch.zeros(len(self.joints), n_joints)
        return full.scatter_add(1, torch.from_numpy(self.joints).long(), torch.from_numpy(self.weights))


def carried_over(surface: Surface, template: BodyTemplate, neighbors: int, smoothness: float) -> Skin:
    """The weights of the nearest body vertices, blended as the deformer blends them (`InverseSkinning`).

    Args:
        surface: in canonical space.
        template: the body.
        neighbors: number of nearest vertices.
        smoothness: s (m) of their weights exp(-(d^2 - d_min^2) / 2 s^2).
    """
    found = nearest(surface.vertices.double(), template.canonical_vertices, neighbors)
    distance, index = (values.cpu().numpy() for values in found)
    share = np.exp((distance[:, :1] ** 2 - distance**2) / (2 * smoothness**2))
    share /= share.sum(1, keepdims=True)
    weights = np.einsum("vk,vkj->vj", share, template.lbs_weights.cpu().numpy()[index].astype(float))
    return Skin(*strongest(weights))


def strongest(weights: Float[np.ndarray, "V J"]) -> tuple[Int[np.ndarray, "V 4"], Float[np.ndarray, "V 4"]]:
    """Each vertex's four largest weights as float32, with their joints.

    The largest one takes what rounding leaves over, so that the sum is one.
    """
    if weights.shape[1] < INFLUENCES:
        weights = np.pad(weights, ((0, 0), (0, INFLUENCES - weights.shape[1])))
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    four = np.take_along_axis(weights, joints, 1)
    four = (four / four.sum(1, keepdims=True)).astype(np.float32)
    four[four < 1e-4] = 0  # such a weight moves nothing by a millimetre
    four[:, 0] = 1 - four[:, 1:].astype(float).sum(1)
    return np.where(four > 0, joints, 0), four


def posed(
    vertices: Float[np.ndarray, "V 3"], skin: Skin, skeleton: Skeleton, bones: Float[np.ndarray, "J 4 4"]
) -> Float[np.ndarray, "V 3"]:
    """Vertices at rest (m) moved by linear blend skinning; `bones` are global transforms (`Motion.transforms`)."""
    bones = bones.copy()
    bones[:, :3, 3] -= (bones[:, :3, :3] @ skeleton.joints[..., None])[..., 0]
    maps = np.einsum("vk,vkab->vab", skin.weights, bones[skin.joints])
    return np.einsum("vab,vb->va", maps[:, :3, :3], vertices) + maps[:, :3, 3]


def at_rest(positions: Float[Tensor, "V 3"], skin: Skin, template: BodyTemplate) -> Float[Tensor, "V 3"]:
    """Canonical positions (m) carried to the rest pose.

    This is the inverse of the deformer's map, so that linear blend skinning of the result gives what the field shows
    in every pose. A mesh that stayed in the canonical pose would not: skinning from there blends the inverse maps of
    the joints instead of inverting their blend, which differs between the legs.
    """
    bones = template.bone_transforms(template.big_pose()).cpu()
    blended = skinning.blend(skin.dense(len(bones)), bones)
    return skinning.transform(skinning.invert_affine(blended), positions)
