"""The parameters that a fit optimises: one shape for the sequence, and for every frame a pose and a position."""

import dataclasses
import functools
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hashhuman.body.model import BodyModel
from hashhuman.geometry import skinning
from preprocess.body_fit.geometry import matrix_from_6d

if TYPE_CHECKING:
    from preprocess.body_fit.posing_loops import SparseWeights  # imports Numba, which takes half a second


@dataclasses.dataclass(frozen=True)
class Posed:
    """The posed body of F frames in camera axes (m; x right, y down, z forward): J joints, L landmarks, M vertices."""

    bone_transforms: Float[Tensor, "F J 4 4"]
    """camera_from_rest of every joint."""
    joints: Float[Tensor, "F J 3"]
    landmarks: Float[Tensor, "F L 3"]
    vertices: Float[Tensor, "F M 3"]
    """The chosen vertices, on the surface of the clothes."""
    normals: Float[Tensor, "F M 3"]
    """Outward normals of the vertices, of about unit length; no gradient passes through them to the pose."""
    size: Float[Tensor, ""]
    """Size of the body: the extent of its rest joints over that of the mean shape, about one."""


class BodySequence(nn.Module):
    """The parameters of F frames, and the points of the body that the objective needs.

    Parameters, all in camera axes (x right, y down, z forward):
        shape: (S,) of the sequence, in prior deviations from the prior mean.
        pose: (F, J, 3) axis-angle of each joint against its parent (radians); the root's row stays zero.
        root: (F, 6) the root's rotation, camera from rest, as the first two columns of its matrix.
        pelvis: (F, 3) the pelvis joint, in units of the body's size. A body that grows thereby moves back, its picture
            stays nearly the same, and the shape can change without the pelvis having to follow step by step.
        offset: (J,) thickness of the clothes over the skin of each joint (m): moves the vertices along their normals.

    Args:
        body: the body model, which stays on the CPU.
        landmarks: names of the L landmarks.
        landmark_offsets: shift of each landmark in the rest frame (m).
        surface: indices of the M vertices that represent the skin.
        frames: F.
    """

    PER_FRAME = ("root", "pose", "pelvis")
    joint_basis: Float[Tensor, "K J 3"]
    landmark_basis: Float[Tensor, "K L J 4"]
    vertex_basis: Float[Tensor, "K M 3"]
    surface_weights: Float[Tensor, "M J"]
    mean_extent: Float[Tensor, ""]
    normals: Float[Tensor, "M 3"]

    def __init__(
        self, body: BodyModel, landmarks: tuple[str, ...], landmark_offsets: Float[Tensor, "L 3"],
        surface: Int[Tensor, "M"], frames: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.body, self.surface = body, surface
        landmark_basis = body.landmark_basis(landmarks).clone()
        # the fourth column is each joint's weight: its share of a landmark moves by that part of the offset
        landmark_basis[0, :, :, :3] += landmark_basis[0, :, :, 3:] * landmark_offsets[:, None]
        mean = torch.einsum("k,kjc->jc", body.basis(body.shape_mean), body.joint_basis())
        constants = {
            "joint_basis": body.joint_basis(),
            "landmark_basis": landmark_basis,
            "vertex_basis": body.vertex_basis(surface),
            "surface_weights": body.lbs_weights[surface],
            "mean_extent": (mean - mean.mean(0)).square().mean().sqrt(),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)
        joints = len(body.joint_names)
        self.shape = nn.Parameter(torch.zeros_like(body.shape_mean))
        self.pose = nn.Parameter(torch.zeros(frames, joints, 3))
        self.root = nn.Parameter(torch.tensor([1.0, 0, 0, 0, -1, 0]).repeat(frames, 1))  # facing the camera
        self.pelvis = nn.Parameter(torch.tensor([0.0, 0, 3]).repeat(frames, 1))
        self.offset = nn.Parameter(torch.zeros(joints))
        self.register_buffer("normals", self._rest_normals(), persistent=False)

    def shape_vector(self) -> Float[Tensor, "S"]:
        """The body model's shape parameters, on the CPU like the body model."""
        return self.body.shape_mean + self.shape.cpu() * self.body.shape_deviation

    @torch.no_grad()
    def _rest_normals(self) -> Float[Tensor, "M 3"]:
        template = self.body.template(self.shape_vector())
        return vertex_normals(template.vertices, template.faces)[self.surface].to(self.pose.device)

    def refresh_normals(self) -> None:
        """Recomputes the rest normals for the current shape; between calls they are constant."""
        self.normals.copy_(self._rest_normals())

    def basis(self) -> Float[Tensor, "K"]:
        """The basis coefficients of the current shape, on the CPU like the body model."""
        return self.body.basis(self.shape_vector())

    def forward(self, basis: Float[Tensor, "K"] | None = None) -> Posed:
        """Poses the body in every frame.

        Args:
            basis: the result of `basis()` on the parameters' device; None computes it.
        """
        basis = self.basis().to(self.pose.device) if basis is None else basis
        rest = torch.einsum("k,kjc->jc", basis, self.joint_basis)
        rotations = torch.cat([matrix_from_6d(self.root)[:, None], skinning.axis_angle_to_matrix(self.pose[:, 1:])], 1)
        transforms = self._kinematics(rotations, rest)
        shift = torch.zeros_like(transforms)
        size = (rest - rest.mean(0)).square().mean().sqrt() / self.mean_extent
        shift[:, :, :3, 3] = (self.pelvis * size - rest[0])[:, None]
        transforms = transforms + shift
        moments = torch.einsum("k,kljc->ljc", basis, self.landmark_basis)
        skin = torch.einsum("k,kvc->vc", basis, self.vertex_basis)
        skin = skin + (self.surface_weights @ self.offset)[:, None] * self.normals
        vertices, normals = self._skinned(transforms, skin)
        return Posed(
            bone_transforms=transforms,
            joints=skinning.transform(transforms, rest),
            landmarks=torch.einsum("fjab,ljb->fla", transforms[:, :, :3], moments),
            vertices=vertices,
            size=size,
            normals=normals,
        )

    def _kinematics(self, rotations: Float[Tensor, "F J 3 3"], rest: Float[Tensor, "J 3"]) -> Float[Tensor, "F J 4 4"]:
        """The bone transforms, of a root that stays at its place."""
        if rest.is_cuda:
            return skinning.forward_kinematics(rotations, rest, list(self.body.parents))
        from preprocess.body_fit import posing_loops

        return posing_loops.forward_kinematics(rotations, rest, self.body.parents)

    @functools.cached_property
    def _sparse_weights(self) -> "SparseWeights":
        from preprocess.body_fit.posing_loops import SparseWeights

        return SparseWeights.of(self.surface_weights)

    def _skinned(
        self, transforms: Float[Tensor, "F J 4 4"], skin: Float[Tensor, "M 3"]
    ) -> tuple[Float[Tensor, "F M 3"], Float[Tensor, "F M 3"]]:
        """The vertices, and their normals, which carry no gradient."""
        if not skin.is_cuda:
            from preprocess.body_fit import posing_loops

            return posing_loops.skinned(transforms, skin, self.normals, self._sparse_weights)
        blended = (transforms.flatten(2).transpose(1, 2) @ self.surface_weights.T).unflatten(1, (4, 4))  # F 4 4 M
        blended = blended[:, :3]
        vertices = (torch.einsum("fabm,mb->fam", blended[:, :, :3], skin) + blended[:, :, 3]).transpose(1, 2)
        return vertices, torch.einsum("fabm,mb->fma", blended[:, :, :3].detach(), self.normals)


def vertex_normals(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "V 3"]:
    """Unit normals, outward for counter-clockwise faces, weighted by face area."""
    a, b, c = vertices[faces].unbind(1)
    face = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for k in range(3):
        total.index_add_(0, faces[:, k], face)
    return nn.functional.normalize(total, dim=-1)


def spread_vertices(vertices: Float[Tensor, "V 3"], count: int) -> Int[Tensor, "count"]:
    """Farthest-point sampling: indices of `count` vertices, spread evenly over the mesh, starting with vertex 0."""
    chosen = torch.zeros(count, dtype=torch.long)
    distance = torch.full((len(vertices),), torch.inf)
    for i in range(1, count):
        distance = torch.minimum(distance, (vertices - vertices[chosen[i - 1]]).square().sum(1))
        chosen[i] = distance.argmax()
    return chosen
