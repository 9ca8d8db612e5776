"""Base class of body models whose rest bodies are linear in a basis that depends on the shape."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.body.template import BodyTemplate


class LinearBody(ABC):
    """Implements the methods of `BodyModel` that follow from the basis. V vertices, J joints, K basis functions."""

    faces: Int[Tensor, "F 3"]
    lbs_weights: Float[Tensor, "V J"]
    parents: tuple[int, ...]
    joint_names: tuple[str, ...]
    uv: Float[Tensor, "V 2"] | None
    _vertices: Float[Tensor, "K V 3"]
    _joints: Float[Tensor, "K J 3"]

    @staticmethod
    def files(**arguments: Any) -> list[Path]:
        """The user's files that a body made with these arguments is read from: none."""
        return []

    @abstractmethod
    def basis(self, shape: Float[Tensor, "S"]) -> Float[Tensor, "K"]:
        """Values of the K basis functions for a shape; the first is always 1."""

    @abstractmethod
    def _moments(self, name: str) -> Float[Tensor, "K J 4"]:
        """Moments of one landmark of each basis function (see `BodyModel`). KeyError for an unknown name."""

    def joint_basis(self) -> Float[Tensor, "K J 3"]:
        """Rest joints of each basis function (m). Those of a shape are the sum over k of basis[k] joint_basis[k]."""
        return self._joints

    def vertex_basis(self, indices: Int[Tensor, "N"]) -> Float[Tensor, "K N 3"]:
        """The chosen rest vertices of each basis function (m); see `joint_basis`."""
        return self._vertices[:, indices]

    def landmark_basis(self, names: tuple[str, ...]) -> Float[Tensor, "K L J 4"]:
        """Moments of L landmarks of each basis function (see `BodyModel`). KeyError for a name that the body lacks."""
        return torch.stack([self._moments(name) for name in names], 1)

    def template(self, shape: Float[Tensor, "S"]) -> BodyTemplate:
        """The rest body of a shape."""
        basis = self.basis(shape)
        return BodyTemplate(
            vertices=torch.einsum("k,kvc->vc", basis, self._vertices),
            faces=self.faces,
            lbs_weights=self.lbs_weights,
            joints=torch.einsum("k,kjc->jc", basis, self._joints),
            parents=self.parents,
            joint_names=self.joint_names,
            uv=self.uv,
        )

    def pose_vertices(
        self, template: BodyTemplate, body_pose: Float[Tensor, "*batch J 3"]
    ) -> Float[Tensor, "*batch V 3"]:
        """Vertices in posed space (m) by linear blend skinning, for bodies without pose blend shapes."""
        return template.pose_vertices(body_pose)
