"""A small avatar of the toy body, and its components."""

import dataclasses
import functools
from typing import Any

import torch

from hashhuman.avatar.model import HashGridAvatar
from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.deformer.inverse_skinning import InverseSkinning
from hashhuman.deformer.pairs import CanonicalPairs, Points
from hashhuman.deformer.residual import NoResidual
from hashhuman.encoder.build import hash_grids
from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.field.build import parts_field
from hashhuman.field.conditions import FrameCode, Orientation
from hashhuman.field.occupancy import Occupancy
from hashhuman.field.parts import PartsField
from hashhuman.field.shading import HarmonicLight
from hashhuman.gpu.part_rows import PartRows, padded
from hashhuman.neighbors.grid import GridNeighbors
from hashhuman.network.torch_mlp import TorchMLPs
from hashhuman.renderer.shell_sampler import ShellSampler
from tests import toy

REACH, VOXEL = 0.06, 0.03
GRID = {
    "n_levels": 3,
    "features_per_level": 2,
    "log2_hashmap_size": 8,
    "coarsest_voxel": 0.2,
    "finest_voxel": 0.02,
}
PARTS = {name: {"joints": list(joints), "grid": {}} for name, joints in toy.PARTS.items()}


def encoder(**changes):
    """A factory of small grids."""
    return functools.partial(hash_grids, backend=TorchHashGrids, **(GRID | changes))


def bodies(n_frames: int = 3) -> PosedBodies:
    """The toy in its first `n_frames` poses."""
    poses = [toy.pose(frame) for frame in range(n_frames)]
    return PosedBodies.from_poses(toy.template(), poses, torch.arange(n_frames))


def on(value: Any, device: torch.device) -> Any:
    """A tensor, or a list, dictionary or dataclass with tensors, on a device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, list):
        return [on(item, device) for item in value]
    if isinstance(value, dict):
        return {key: on(item, device) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: on(getattr(value, field.name), device) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    return value


def part_points() -> list[torch.Tensor]:
    """Indices of the points of each of the toy's parts: every box has eight."""
    return [8 * toy.JOINT_NAMES.index(joint) + torch.arange(8) for (joint,) in toy.PARTS.values()]


def field(n_frames: int = 3, parts=None, reach: float = REACH) -> tuple[PartsField, list[torch.Tensor]]:
    """Five parts whose colours depend on the light, the orientation and a code for each frame."""
    conditions = {"orientation": Orientation, "code": functools.partial(FrameCode, n_features=2), "none": None}
    light = HarmonicLight(2.0, 0.7)
    return parts_field(
        toy.template(), n_frames, encoder(), TorchMLPs, reach, parts or PARTS, conditions, light, 16, 10.0
    )


def avatar(
    n_frames: int = 3, residual=None, neighbors=None, chunk: int = 4096, reach: float = REACH, kernels: str = "torch"
) -> HashGridAvatar:
    """An untrained avatar, the same one at each call."""
    grid = functools.partial(GridNeighbors, voxel=VOXEL, reach=reach + VOXEL)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts, points = field(n_frames, reach=reach)
        parts.kernels = parts.shading.kernels = kernels
        return HashGridAvatar(
            toy.template(),
            points,
            parts,
            Occupancy(parts, 16, 1.0, 0.9),
            InverseSkinning(reach, reach, 0.01, kernels),
            residual or NoResidual(n_frames),
            neighbors or grid,
            ShellSampler(0.02, 2, kernels),
            VOXEL,
            chunk,
            kernels=kernels,
        )


def pairs(x: torch.Tensor, counts: list[int], **changes) -> CanonicalPairs:
    """Pairs at canonical positions, part by part, each with its own query point unless `changes` say otherwise.

    Rows are padded as `PartRows` requires; the values of unused rows are zero.
    """
    count, sizes = len(x), [padded(n) for n in counts]
    rows = torch.cat([sum(sizes[:p]) + torch.arange(n) for p, n in enumerate(counts)])
    part = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    values = {
        "point": torch.arange(count),
        "rotation": torch.eye(3).expand(count, 3, 3),
        "normal": torch.tensor([0.0, 0.0, 1.0]).expand(count, 3),
        "uv": None,
    } | {name: value for name, value in changes.items() if name in ("point", "rotation", "normal", "uv")}
    n_points = int(values["point"].max()) + 1 if count else 0
    slots = torch.full((len(counts), n_points), -1)
    slots[part, values["point"]] = rows
    points = Points(
        torch.zeros(n_points, 3),
        torch.tensor([0.0, 0.0, 1.0]).expand(n_points, 3),
        torch.zeros(n_points, dtype=torch.long),
    )

    def placed(value: torch.Tensor) -> torch.Tensor:
        return value.new_zeros(sum(sizes), *value.shape[1:]).index_copy(0, rows, value)

    return CanonicalPairs(
        rows=PartRows(tuple(sizes), torch.tensor(counts, dtype=torch.int32)),
        slots=slots,
        x=placed(x),
        points=changes.get("points", points),
        frame_time=changes.get("frame_time", torch.zeros(1, dtype=torch.long)),
        needed=torch.tensor(counts, dtype=torch.int32),
        **{name: None if value is None else placed(value) for name, value in values.items()},
    )
