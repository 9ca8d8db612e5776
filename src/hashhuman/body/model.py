"""What a body model offers to whoever fits or exports a body."""

from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.body.template import BodyTemplate


class BodyModel(Protocol):
    """A family of rest bodies (metres; y up, facing +z), differentiable in a shape vector of S numbers.

    Every quantity is linear in `basis(shape)`, K numbers, so that a fit computes only the points that it needs.
    A landmark is a fixed linear regression of vertices; under linear blend skinning its posed position is
    `sum_j A_j m_j`, with `m` its moments: J homogeneous vectors whose last components sum to one.
    """

    name: str
    shape_names: tuple[str, ...]
    shape_mean: Float[Tensor, "S"]
    shape_deviation: Float[Tensor, "S"]  # prior standard deviations
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    faces: Int[Tensor, "F 3"]
    lbs_weights: Float[Tensor, "V J"]

    def basis(self, shape: Float[Tensor, "S"]) -> Float[Tensor, "K"]:
        """Coefficients of the linear basis; the first is the constant one."""
        ...

    def joint_basis(self) -> Float[Tensor, "K J 3"]:
        """Rest joints are `basis @ joint_basis`."""
        ...

    def vertex_basis(self, indices: Int[Tensor, "N"]) -> Float[Tensor, "K N 3"]:
        """Rest positions of the chosen vertices are `basis @ vertex_basis`."""
        ...

    def landmark_basis(self, names: tuple[str, ...]) -> Float[Tensor, "K L J 4"]:
        """Moments of the named landmarks are `basis @ landmark_basis`. Raises KeyError for a name that it lacks."""
        ...

    def template(self, shape: Float[Tensor, "S"]) -> BodyTemplate:
        """The whole rest body of one shape."""
        ...
