"""The free body (`body=anny`): the Anny model, with its bones grouped into SMPL's 24 joints.

Anny (PyPI, code Apache-2.0, data CC0) has 13,718 vertices, 104 bones and six phenotype parameters in [0, 1].
Rest vertices and bone heads are linear in blend-shape coefficients, which are piecewise multilinear in the phenotypes.
Each bone moves with one of SMPL's joints, so that a joint's skinning weight is the sum over its bones. Each joint lies
at the head of one bone.
"""

import re
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.body import anny_targets
from hashhuman.body.linear import LinearBody
from hashhuman.body.template import SMPL_JOINTS
from hashhuman.errors import UserError
from hashhuman.io.packages import require_package

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)

# Joint (without its side) -> the bone at whose head it lies, and a pattern for the bones that move with it.
BONES = {
    "pelvis": ("root", r"root|pelvis|spine05"),
    "spine1": ("spine04", r"spine04"),
    "spine2": ("spine03", r"spine03"),
    "spine3": ("spine02", r"spine0[12]"),
    "neck": ("neck01", r"neck0\d"),
    "head": ("head", r"head|eye"),
    "hip": ("upperleg01", r"upperleg0\d"),
    "knee": ("lowerleg01", r"lowerleg0\d"),
    "ankle": ("foot", r"foot"),
    "foot": ("toe2-1", r"toe\d-\d"),
    "collar": ("clavicle", r"clavicle|shoulder01"),
    "shoulder": ("upperarm01", r"upperarm0\d"),
    "elbow": ("lowerarm01", r"lowerarm0\d"),
    "wrist": ("wrist", r"wrist|metacarpal\d"),
    "hand": ("finger3-1", r"finger\d-\d"),
}
SIDES = {"L": "left", "R": "right"}
# Landmarks that are heads of bones. For all others, Anny has regressors from vertices.
KNUCKLES = {"pinky_knuckle": "finger5-1", "index_knuckle": "finger2-1", "thumb_knuckle": "finger1-2"}

# In Anny's coordinates z is up and the body faces -y.
YUP_FROM_ANNY = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))

# Phenotype -> mean and standard deviation of the prior: adults of either sex and ordinary build.
PRIOR = {
    "gender": (0.5, 0.3),
    "age": (0.67, 0.06),
    "muscle": (0.55, 0.12),
    "weight": (0.5, 0.12),
    "height": (0.55, 0.1),
    "proportions": (0.5, 0.12),
}


def joint_of_bone(label: str) -> str:
    """The joint of SMPL that a bone of Anny moves with, e.g. 'finger2-3.L' -> 'left_hand'.

    Raises KeyError for an unknown bone.
    """
    bone, _, side = label.partition(".")
    for joint, (_, pattern) in BONES.items():
        if re.fullmatch(pattern, bone):
            return f"{SIDES[side]}_{joint}" if f"left_{joint}" in SMPL_JOINTS else joint
    raise KeyError(label)


def bone_at_joint(joint: str) -> str:
    """The bone of Anny at whose head a joint of SMPL lies, e.g. 'left_knee' -> 'lowerleg01.L'."""
    side, _, base = joint.rpartition("_")
    return BONES[base][0] + (f".{side[0].upper()}" if side else "")


class AnnyBody(LinearBody):
    """Anny as a `hashhuman.body.model.BodyModel`.

    Args:
        prior: phenotype -> mean and standard deviation of the prior. Phenotypes that it lacks, or all with None, keep
            the default, an adult.

    Raises:
        UserError: if the package `anny` is not installed, or `prior` names an unknown phenotype.
    """

    name = "anny"
    joint_names = SMPL_JOINTS
    parents = PARENTS

    def __init__(self, prior: dict[str, tuple[float, float]] | None = None) -> None:
        anny, phenotype, paths = self.require()
        with anny_targets.read_fast():
            model = anny.Anny(skinning_method="lbs").to(dtype=torch.float32)
        prior = PRIOR | dict(prior or {})
        unknown = set(prior) - set(model.phenotype_labels)
        if unknown:
            raise UserError(f"body.prior names {sorted(unknown)}: Anny's phenotypes are {model.phenotype_labels}")
        self.shape_names = tuple(model.phenotype_labels)
        self.shape_mean = torch.tensor([prior[n][0] for n in self.shape_names])
        self.shape_deviation = torch.tensor([prior[n][1] for n in self.shape_names])

        self._blend_weights = phenotype.phenotype_blendshape_weights
        self._anchors = model.anchors
        self._mask = model.stacked_phenotype_blend_shapes_mask
        self._compact = model.phenotype_blendshape_projection
        turn = torch.tensor(YUP_FROM_ANNY)
        self._vertices = torch.cat([model.template_vertices[None], model.blendshapes]) @ turn.T
        labels = list(model.bone_labels)
        heads = torch.cat([model.template_bone_heads[None], model.bone_heads_blendshapes]) @ turn.T
        self._joints = heads[:, [labels.index(bone_at_joint(j)) for j in self.joint_names]]
        self._heads = {label: heads[:, i] for i, label in enumerate(labels)}

        column = torch.tensor([self.joint_names.index(joint_of_bone(label)) for label in labels])
        weights = torch.zeros(len(model.template_vertices), len(self.joint_names))
        weights.scatter_add_(1, column[model.vertex_bone_indices], model.vertex_bone_weights)
        self.lbs_weights = weights / weights.sum(1, keepdim=True)
        self.faces = model.faces.long()
        uv = np.zeros((len(weights), 2), np.float32)
        uv[self.faces.numpy().ravel()] = model.texture_coordinates.numpy()[
            model.face_texture_coordinate_indices.numpy().ravel()
        ]
        self.uv = torch.from_numpy(uv)
        self._regressors = torch.load(paths.get_anny_root_dir() / "data" / "keypoints" / "coco.pth", weights_only=True)
        self._base_vertices = model.base_mesh_vertex_indices

    @staticmethod
    def require() -> tuple[Any, ...]:
        """The package's modules `anny`, `anny.models.phenotype` and `anny.paths`. Raises UserError without it."""
        advice = "`pip install 'anny==0.6.2'` or 'hashhuman[preprocess]', or choose body=smpl"
        names = ("anny", "anny.models.phenotype", "anny.paths")
        return tuple(require_package(name, "body=anny", advice) for name in names)

    def basis(self, shape: Float[Tensor, "S"]) -> Float[Tensor, "K"]:
        """1, then the blend-shape coefficients of a phenotype vector. Phenotypes are clamped to Anny's range."""
        weights = self._blend_weights(shape[None], list(self.shape_names), self._anchors, self._mask, extrapolate=False)
        return torch.cat([torch.ones_like(weights[0, :1]), weights[0] @ self._compact])

    def _moments(self, name: str) -> Float[Tensor, "K J 4"]:
        side, _, base = name.partition("_")
        if base in KNUCKLES:
            label = f"{KNUCKLES[base]}.{side[0].upper()}"
            moments = torch.zeros(len(self._vertices), len(self.joint_names), 4)
            joint = self.joint_names.index(joint_of_bone(label))
            moments[:, joint, :3] = self._heads[label]
            moments[0, joint, 3] = 1
            return moments
        regressor = self._regressors[name][self._base_vertices].float()
        used = regressor.nonzero()[:, 0]
        weights = regressor[used, None] * self.lbs_weights[used]  # N J
        weights = weights / weights.sum()
        constant = torch.zeros(len(self._vertices), len(used), 1)
        constant[0] = 1
        return torch.einsum("nj,knc->kjc", weights, torch.cat([self._vertices[:, used], constant], -1))
