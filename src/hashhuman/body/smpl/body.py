"""`body=smpl` and `body=smplx`: the user's own model files.

Rest vertices are linear in the shape parameters (betas, in standard deviations). While a body is fitted, it moves by
plain skinning; the vertices that the fit writes have the pose blend shapes too (`pose_vertices`).
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.body import blend_shapes
from hashhuman.body.linear import LinearBody
from hashhuman.body.smpl import names, source
from hashhuman.body.smpl.landmarks import landmarks
from hashhuman.body.template import BodyTemplate
from hashhuman.geometry import skinning


class SmplBody(LinearBody):
    """A model of SMPL's family as a `hashhuman.body.model.BodyModel`, of any number of joints and vertices.

    SMPL+H and SMPL-X get SMPL's joints (`hashhuman.body.smpl.gather`).

    Args:
        root: the folder with the model's files (`hashhuman.body.smpl.source`).
        model: name of the model file in it: the original .pkl or .npz, or one that `hashhuman convert-smpl` wrote. The
            names that sites and tools give the same file are known (`hashhuman.body.smpl.names`).

    Raises:
        UserError: if the files are missing, malformed or of different bodies.
    """

    name = "smpl"

    def __init__(self, root: Path | str, model: str) -> None:
        body = source.load(names.find(Path(root).expanduser(), model))
        self.joint_names, self.parents = body.joint_names, body.parents
        self.faces = torch.from_numpy(body.faces)
        self.lbs_weights = torch.from_numpy(body.weights)
        self.posedirs = torch.from_numpy(body.posedirs)
        self.uv = None if body.uv is None else torch.from_numpy(body.uv)
        count = body.shapedirs.shape[-1]
        self.shape_names = tuple(f"beta_{i}" for i in range(count))
        self.shape_mean, self.shape_deviation = torch.zeros(count), torch.ones(count)
        shapedirs = torch.from_numpy(body.shapedirs).permute(2, 0, 1)
        self._vertices = torch.cat([torch.from_numpy(body.v_template)[None], shapedirs])
        self._joints = torch.from_numpy(body.J_regressor) @ self._vertices
        self._landmarks = landmarks(body)

    @staticmethod
    def require(root: Path | str, model: str) -> None:
        """Raises UserError where the model cannot be read, now and not after minutes of other work."""
        source.load(names.find(Path(root).expanduser(), model))

    @staticmethod
    def files(root: Path | str, model: str) -> list[Path]:
        """The model file and the files beside it that belong to it."""
        return source.sources(names.find(Path(root).expanduser(), model))

    def basis(self, shape: Float[Tensor, "S"]) -> Float[Tensor, "K"]:
        """1, then the betas."""
        return torch.cat([torch.ones_like(shape[:1]), shape])

    def _moments(self, name: str) -> Float[Tensor, "K J 4"]:
        landmark = self._landmarks[name]
        # The regression weight of each vertex, divided among the joints that move it.
        shares = torch.zeros(len(landmark.vertices), len(self.joint_names))
        used = list(landmark.vertices)
        if used:
            shares = self.lbs_weights[used] * torch.tensor([landmark.vertices[i] for i in used])[:, None]
        moments = torch.zeros(len(self._vertices), len(self.joint_names), 4)
        moments[..., :3] = torch.einsum("nj,knc->kjc", shares, self._vertices[:, used])
        moments[0, :, 3] = shares.sum(0)
        for joint, weight in landmark.joints.items():
            index = self.joint_names.index(joint)
            moments[:, index, :3] += weight * self._joints[:, index]
            moments[0, index, 3] += weight
        return moments

    def pose_vertices(
        self, template: BodyTemplate, body_pose: Float[Tensor, "*batch J 3"]
    ) -> Float[Tensor, "*batch V 3"]:
        """Vertices in posed space (m) by linear blend skinning, with the pose blend shapes."""
        rest = template.vertices + blend_shapes.pose_offsets(self.posedirs, skinning.axis_angle_to_matrix(body_pose))
        return skinning.skin(rest, template.lbs_weights, template.bone_transforms(body_pose))


class SmplxBody(SmplBody):
    """SMPL-X with SMPL's joints: the fingers move with the hands, the face with the head."""

    name = "smplx"
