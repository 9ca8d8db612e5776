"""Builds the field of all parts over a body's canonical space."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hashhuman.body.parts import part_of_vertices
from hashhuman.body.template import BodyTemplate
from hashhuman.encoder.protocol import EncoderFactory
from hashhuman.errors import UserError
from hashhuman.field.parts import PartsField
from hashhuman.io.packages import requiring


def require_parts(parts: Mapping[str, Any]) -> None:
    """Raises UserError if a part is null or does not say which joints it has."""
    for name, options in parts.items():
        if not isinstance(options, Mapping) or "joints" not in options:
            raise UserError(
                f"field.parts.{name} has no joints: name them with field.parts.{name}.joints=[...], or choose "
                "field=single for a field of one part."
            )


@requiring(require_parts)
def parts_field(
    template: BodyTemplate,
    n_frames: int,
    encoder: EncoderFactory,
    networks: Callable[..., nn.Module],
    reach: float,
    parts: Mapping[str, Mapping],
    conditions: Mapping[str, Callable[..., nn.Module] | None],
    shading: nn.Module,
    width: int,
    density_scale: float,
    kernels: str = "auto",
) -> tuple[PartsField, list[torch.Tensor]]:
    """Builds the field. Each part covers a cube of canonical space that contains its vertices with a margin of `reach`.

    Args:
        template: the body.
        n_frames: number of training frames, for conditions that learn a code for each.
        encoder: factory of the encoder, called with `extents`, the sides (m) of the parts' cubes, and `grids`, the
            options of their grids.
        networks: factory of the parts' networks.
        reach: margin (m) around the body up to which the field extends.
        parts: name -> `joints` (None: every joint that no other part names) and `grid`, options that replace the
            encoder's for this part; those that are None replace nothing.
        conditions: name -> factory of a condition, called with `n_frames`; None leaves the condition out.
        shading: turns the output of the colour network into colours (`field/shading.py`).
        width: width of the networks' hidden layers.
        density_scale: density (1/m) of the untrained field.
        kernels: auto, triton or torch.

    Returns:
        The field, and the vertices of each part, as indices in [0, V).

    Raises:
        UserError: if a joint lies in no part or in several, or a part has none of the body's joints.
    """
    part = part_of_vertices(template, joints_of_parts(template.joint_names, parts))
    points = [(part == index).nonzero()[:, 0] for index in range(len(parts))]
    low, extent = cubes(template, points, reach)
    grids = encoder(extents=extent.tolist(), grids=[_own_options(options) for options in parts.values()])
    own_conditions = [make(n_frames=n_frames) for make in conditions.values() if make is not None]
    field = PartsField(
        list(parts), low, extent, grids, networks, own_conditions, shading, width, density_scale, kernels
    )
    return field, points


def cubes(
    template: BodyTemplate, points: Sequence[Int[Tensor, "_"]], reach: float
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P"]]:
    """The cube of each part: its lowest corner and its side (m, canonical).

    Args:
        template: the body.
        points: the vertices of each part, as indices into V.
        reach: distance (m) between the vertices and the cube's faces, at least.
    """
    canonical = template.pose_vertices(template.big_pose())
    low = torch.stack([canonical[mine].amin(0) - reach for mine in points])
    high = torch.stack([canonical[mine].amax(0) + reach for mine in points])
    return low, (high - low).amax(1)


def _own_options(options: Mapping) -> dict[str, Any]:
    return {name: value for name, value in (options.get("grid") or {}).items() if value is not None}


def joints_of_parts(joint_names: Sequence[str], parts: Mapping[str, Mapping]) -> dict[str, Sequence[str]]:
    """The joint names of each part. A part whose `joints` is None gets every joint that no part names."""
    named = {joint for options in parts.values() for joint in options["joints"] or ()}
    rest = [joint for joint in joint_names if joint not in named]
    return {name: rest if options["joints"] is None else list(options["joints"]) for name, options in parts.items()}
