"""The interface of a body model, for fitting and writing bodies."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.body.template import BodyTemplate


class BodyModel(Protocol):
    """A family of rest bodies (metres; y up, facing +z), differentiable in a shape vector of S numbers.

    Every quantity at rest is linear in `basis(shape)`, K numbers, so that a fit computes only the points that it needs.

    A landmark is a fixed linear regression from vertices. Linear blend skinning moves it to the sum over joints of
    A_j m_j: A_j is the joint's transform; the moments m_j are homogeneous vectors whose last components add up to 1.
    """

    name: str
    shape_names: tuple[str, ...]
    shape_mean: Float[Tensor, "S"]
    shape_deviation: Float[Tensor, "S"]  # standard deviations of the prior
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    faces: Int[Tensor, "F 3"]
    lbs_weights: Float[Tensor, "V J"]

    @staticmethod
    def files(**arguments: Any) -> list[Path]:
        """The user's files that a body made with these arguments is read from."""
        ...

    def basis(self, shape: Float[Tensor, "S"]) -> Float[Tensor, "K"]:
        """Values of the K basis functions for a shape; the first is always 1."""
        ...

    def joint_basis(self) -> Float[Tensor, "K J 3"]:
        """Rest joints of each basis function (m). Those of a shape are the sum over k of basis[k] joint_basis[k]."""
        ...

    def vertex_basis(self, indices: Int[Tensor, "N"]) -> Float[Tensor, "K N 3"]:
        """The chosen rest vertices of each basis function (m); see `joint_basis`."""
        ...

    def landmark_basis(self, names: tuple[str, ...]) -> Float[Tensor, "K L J 4"]:
        """Moments of L landmarks of each basis function; see `joint_basis`.

        Raises KeyError for a name that the body lacks.
        """
        ...

    def template(self, shape: Float[Tensor, "S"]) -> BodyTemplate:
        """The rest body of a shape."""
        ...

    def pose_vertices(
        self, template: BodyTemplate, body_pose: Float[Tensor, "*batch J 3"]
    ) -> Float[Tensor, "*batch V 3"]:
        """Vertices in posed space (m), with the pose blend shapes of the model, if it has any.

        `body_pose` is axis-angle relative to the parent joints (radians); see `BodyTemplate.pose_vertices`.
        """
        ...


def settings_of(maker: Callable[[], BodyModel]) -> dict[str, Any]:
    """A body's class and arguments, for the stamp of a preprocessing stage.

    `maker` is the class or a partial of it. `root` is left out: the stamp holds the content of its files (`files_of`).
    """
    arguments = {name: value for name, value in getattr(maker, "keywords", {}).items() if name != "root"}
    return {"class": getattr(_class_of(maker), "__qualname__", repr(maker)), **arguments}


def files_of(maker: Callable[[], BodyModel]) -> list[Path]:
    """The user's files that `maker`, a body's class or a partial of it, reads."""
    files = getattr(_class_of(maker), "files", None)
    return [] if files is None else files(**getattr(maker, "keywords", {}))


def _class_of(maker: Callable[[], BodyModel]) -> Any:
    return getattr(maker, "func", maker)
