"""What all body models share whose rest bodies are linear in a basis of their shape."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.body.template import BodyTemplate


class LinearBody(ABC):
    """The part of the BodyModel protocol that follows from the basis; V vertices, J joints, K basis bodies."""

    faces: Int[Tensor, "F 3"]
    lbs_weights: Float[Tensor, "V J"]
    parents: tuple[int, ...]
    joint_names: tuple[str, ...]
    uv: Float[Tensor, "V 2"] | None
    _vertices: Float[Tensor, "K V 3"]
    _joints: Float[Tensor, "K J 3"]

    @abstractmethod
    def basis(self, shape: Float[Tensor, "S"]) -> Float[Tensor, "K"]:
        """Coefficients of the linear basis; the first is the constant one."""

    @abstractmethod
    def _moments(self, name: str) -> Float[Tensor, "K J 4"]:
        """Moments of one landmark (see BodyModel)."""

    def joint_basis(self) -> Float[Tensor, "K J 3"]:
        """Rest joints are `basis @ joint_basis`."""
        return self._joints

    def vertex_basis(self, indices: Int[Tensor, "N"]) -> Float[Tensor, "K N 3"]:
        """Rest positions of the chosen vertices are `basis @ vertex_basis`."""
        return self._vertices[:, indices]

    def landmark_basis(self, names: tuple[str, ...]) -> Float[Tensor, "K L J 4"]:
        """Moments of landmarks (see BodyModel). Raises KeyError for a name that the body lacks."""
        return torch.stack([self._moments(name) for name in names], 1)

    def template(self, shape: Float[Tensor, "S"]) -> BodyTemplate:
        """The whole rest body of one shape."""
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
