"""A body at rest (a mesh with a skeleton, of any number of joints and vertices) and its pose in a frame."""

import dataclasses
import functools

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.body.surface import vertex_normals
from hashhuman.geometry import skinning

SMPL_JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip
BIG_POSE_DEGREES = 30.0  # of each leg, as in instant-nvr


@dataclasses.dataclass(frozen=True)
class BodyTemplate:
    """A shaped body at rest, in metres. As in SMPL, y is up, the body faces +z, and its left is +x."""

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    lbs_weights: Float[Tensor, "V J"]  # rows sum to one
    joints: Float[Tensor, "J 3"]
    parents: tuple[int, ...]  # parents[0] == -1; a parent precedes its children
    joint_names: tuple[str, ...]
    uv: Float[Tensor, "V 2"] | None = None  # in [0, 1]; one a vertex, also at seams
    normals: Float[Tensor, "V 3"] | None = None  # unit; None: computed from the faces

    def to(self, device: torch.device | str) -> "BodyTemplate":
        """The same template with its tensors on `device`; itself, with its cached properties, if they are there."""
        if self.vertices.device == torch.device(device):
            return self
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        moved = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
        return dataclasses.replace(self, **moved)

    def surface_normals(self) -> Float[Tensor, "V 3"]:
        """Outward unit normals at rest: `normals`, or else those computed from the faces."""
        if self.normals is not None:
            return self.normals
        normals = vertex_normals(self.vertices, self.faces)
        return normals / normals.norm(dim=1, keepdim=True).clamp_min(1e-12)

    @functools.cached_property
    def canonical_from_rest(self) -> Float[Tensor, "V 4 4"]:
        """Each vertex's affine map from rest to canonical space, which is the body in the big pose."""
        return skinning.blend(self.lbs_weights, self.bone_transforms(self.big_pose()))

    @functools.cached_property
    def canonical_vertices(self) -> Float[Tensor, "V 3"]:
        """The vertices in canonical space (m)."""
        return skinning.transform(self.canonical_from_rest, self.vertices)

    @functools.cached_property
    def canonical_normals(self) -> Float[Tensor, "V 3"]:
        """Outward unit normals in canonical space."""
        normals = (self.canonical_from_rest[:, :3, :3] @ self.surface_normals()[..., None])[..., 0]
        return normals / normals.norm(dim=1, keepdim=True).clamp_min(1e-12)

    def big_pose(self) -> Float[Tensor, "J 3"]:
        """The canonical pose, axis-angle (radians): each leg is turned outwards by 30 degrees, to separate them."""
        pose = torch.zeros_like(self.joints)
        for name, sign in (("left_hip", 1), ("right_hip", -1)):
            if name in self.joint_names:
                pose[self.joint_names.index(name), 2] = sign * torch.pi * BIG_POSE_DEGREES / 180
        return pose

    def bone_transforms(self, body_pose: Float[Tensor, "*batch J 3"]) -> Float[Tensor, "*batch J 4 4"]:
        """`posed_from_rest` of every joint for axis-angle rotations relative to the parent (radians).

        The root joint stays at its rest position: `BodyPose.world_from_posed` is applied afterwards.
        """
        return skinning.forward_kinematics(skinning.axis_angle_to_matrix(body_pose), self.joints, list(self.parents))

    def pose_vertices(self, body_pose: Float[Tensor, "*batch J 3"]) -> Float[Tensor, "*batch V 3"]:
        """Vertices in posed space (m): linear blend skinning of the rest vertices by `bone_transforms`."""
        return skinning.skin(self.vertices, self.lbs_weights, self.bone_transforms(body_pose))


@dataclasses.dataclass(frozen=True)
class BodyPose:
    """One frame's pose: world = rotation(orient) posed + transl.

    `orient` turns the posed body about the world's origin. SMPL's `global_orient` turns it about the pelvis, so that
    SMPL's `transl` differs from this one; `hashhuman.body.conventions` converts.
    """

    body_pose: Float[Tensor, "J 3"]  # axis-angle relative to the parent joint (radians); row 0, the root, is zero
    orient: Float[Tensor, "3"]  # axis-angle (radians)
    transl: Float[Tensor, "3"]  # metres

    def to(self, device: torch.device | str) -> "BodyPose":
        """The same pose with its tensors on `device`."""
        return BodyPose(self.body_pose.to(device), self.orient.to(device), self.transl.to(device))

    def world_from_posed(self) -> Float[Tensor, "4 4"]:
        """The rigid transform (m) from posed to world space."""
        return skinning.rigid(skinning.axis_angle_to_matrix(self.orient), self.transl)


def thinned(template: BodyTemplate, max_points: int | None) -> BodyTemplate:
    """The template reduced to at most `max_points` evenly spread vertices, without faces.

    One vertex is kept in each cube of a grid over the rest body; the cubes are as small as `max_points` allows. The
    template itself is returned if it has no more vertices, or `max_points` is None.
    """
    count = len(template.vertices)
    if max_points is None or count <= max_points:
        return template
    low, high = 1e-4, 1.0  # bisect the cube's side (m)
    kept = torch.arange(count)
    for _ in range(24):
        side = (low * high) ** 0.5
        cubes = ((template.vertices - template.vertices.amin(0)) / side).long().numpy(force=True)
        _, first = np.unique(np.ravel_multi_index(tuple(cubes.T), cubes.max(0) + 1), return_index=True)
        if len(first) > max_points:
            low = side
        else:
            high, kept = side, torch.from_numpy(np.sort(first)).to(kept)
    return dataclasses.replace(
        template,
        vertices=template.vertices[kept],
        lbs_weights=template.lbs_weights[kept],
        uv=None if template.uv is None else template.uv[kept],
        normals=template.surface_normals()[kept],
        faces=template.faces[:0],
    )
