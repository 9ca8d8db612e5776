"""A body in motion with free parameters: one shape, and for every frame a pose and a place before the camera."""

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hashhuman.body.model import BodyModel
from hashhuman.geometry import skinning


@dataclasses.dataclass(frozen=True)
class Posed:
    """The body in camera space (m; x right, y down, z forward), F frames."""

    bone_transforms: Float[Tensor, "F J 4 4"]  # camera_from_rest
    joints: Float[Tensor, "F J 3"]
    landmarks: Float[Tensor, "F L 3"]
    vertices: Float[Tensor, "F M 3"]
    normals: Float[Tensor, "F M 3"]
    size: Float[Tensor, ""]  # of the body, about one: the extent of its rest joints over that of the mean shape


def matrix_from_6d(x: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation whose first two columns span those of the 3 x 2 matrix x (Zhou et al., CVPR 2019): no singularity."""
    a = nn.functional.normalize(x[..., :3], dim=-1)
    b = nn.functional.normalize(x[..., 3:] - (a * x[..., 3:]).sum(-1, keepdim=True) * a, dim=-1)
    return torch.stack([a, b, torch.linalg.cross(a, b)], -1)


class BodySequence(nn.Module):
    """Free parameters of F frames and the points that a fit looks at.

    `surface` are the vertices that stand for the skin; `offset` moves them along their normals (m), because what a
    camera sees are clothes. Shape is in prior deviations from the prior mean. The pelvis is in body sizes from
    the camera, so that a body that grows goes back as far as keeps its picture, and its shape changes without a detour.
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
        # an offset in the rest frame shifts every joint's share of the landmark by its weight
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
        self.pose = nn.Parameter(torch.zeros(frames, joints, 3))  # the root's row stays zero
        self.root = nn.Parameter(torch.tensor([1.0, 0, 0, 0, -1, 0]).repeat(frames, 1))  # facing the camera
        self.pelvis = nn.Parameter(torch.tensor([0.0, 0, 3]).repeat(frames, 1))
        self.offset = nn.Parameter(torch.zeros(joints))
        self.register_buffer("normals", self._rest_normals(), persistent=False)

    def shape_vector(self) -> Float[Tensor, "S"]:
        """The body model's shape parameters, on the CPU, where the body model is."""
        return self.body.shape_mean + self.shape.cpu() * self.body.shape_deviation

    @torch.no_grad()
    def _rest_normals(self) -> Float[Tensor, "M 3"]:
        template = self.body.template(self.shape_vector())
        return vertex_normals(template.vertices, template.faces)[self.surface].to(self.pose.device)

    def refresh_normals(self) -> None:
        """Recomputes rest normals for the present shape; between calls they are constant."""
        self.normals.copy_(self._rest_normals())

    def basis(self) -> Float[Tensor, "K"]:
        """The coefficients of the present shape, on the CPU, where the body model is."""
        return self.body.basis(self.shape_vector())

    def forward(self, basis: Float[Tensor, "K"] | None = None) -> Posed:
        """Poses the body in every frame. `basis`: what `basis()` has returned, on the parameters' device."""
        basis = self.basis().to(self.pose.device) if basis is None else basis
        rest = torch.einsum("k,kjc->jc", basis, self.joint_basis)
        rotations = torch.cat([matrix_from_6d(self.root)[:, None], skinning.axis_angle_to_matrix(self.pose[:, 1:])], 1)
        transforms = skinning.forward_kinematics(rotations, rest, list(self.body.parents))
        shift = torch.zeros_like(transforms)
        size = (rest - rest.mean(0)).square().mean().sqrt() / self.mean_extent
        shift[:, :, :3, 3] = (self.pelvis * size - rest[0])[:, None]
        transforms = transforms + shift
        moments = torch.einsum("k,kljc->ljc", basis, self.landmark_basis)
        skin = torch.einsum("k,kvc->vc", basis, self.vertex_basis)
        skin = skin + (self.surface_weights @ self.offset)[:, None] * self.normals
        blended = (transforms.flatten(2).transpose(1, 2) @ self.surface_weights.T).unflatten(1, (4, 4))  # F 4 4 M
        blended = blended[:, :3]
        return Posed(
            bone_transforms=transforms,
            joints=skinning.transform(transforms, rest),
            landmarks=torch.einsum("fjab,ljb->fla", transforms[:, :, :3], moments),
            vertices=(torch.einsum("fabm,mb->fam", blended[:, :, :3], skin) + blended[:, :, 3]).transpose(1, 2),
            size=size,
            normals=torch.einsum("fabm,mb->fma", blended[:, :, :3].detach(), self.normals),
        )


def vertex_normals(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "V 3"]:
    """Unit normals, outward for counter-clockwise faces, weighted by face area."""
    a, b, c = vertices[faces].unbind(1)
    face = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for k in range(3):
        total.index_add_(0, faces[:, k], face)
    return nn.functional.normalize(total, dim=-1)


def spread_vertices(vertices: Float[Tensor, "V 3"], count: int) -> Int[Tensor, "count"]:
    """Farthest-point sampling: `count` vertices spread evenly over a mesh, the first one first."""
    chosen = torch.zeros(count, dtype=torch.long)
    distance = torch.full((len(vertices),), torch.inf)
    for i in range(1, count):
        distance = torch.minimum(distance, (vertices - vertices[chosen[i - 1]]).square().sum(1))
        chosen[i] = distance.argmax()
    return chosen
