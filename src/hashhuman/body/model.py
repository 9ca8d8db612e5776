"""What a body model offers to whoever fits or exports a body."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

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

    @staticmethod
    def files(**arguments: Any) -> list[Path]:
        """The user's files that decide what the body is that these arguments make."""
        ...

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

    def pose_vertices(
        self, template: BodyTemplate, body_pose: Float[Tensor, "*batch J 3"]
    ) -> Float[Tensor, "*batch V 3"]:
        """Vertices in posed space (no global motion), with what of the surface depends on the pose."""
        ...


def settings_of(maker: Callable[[], BodyModel]) -> dict[str, Any]:
    """What names a body in a stage's stamp: its class and arguments; a folder counts by its content (`files_of`)."""
    arguments = {name: value for name, value in getattr(maker, "keywords", {}).items() if name != "root"}
    return {"class": getattr(_class_of(maker), "__qualname__", repr(maker)), **arguments}


def files_of(maker: Callable[[], BodyModel]) -> list[Path]:
    """The user's files that a maker, such as a partial of a body's class, will read."""
    files = getattr(_class_of(maker), "files", None)
    return [] if files is None else files(**getattr(maker, "keywords", {}))


def _class_of(maker: Callable[[], BodyModel]) -> Any:
    return getattr(maker, "func", maker)
