"""A small avatar of the toy body, and what it is made of."""

import functools

import torch

from hashhuman.avatar import Avatar
from hashhuman.deformer.bodies import PosedBodies
from hashhuman.deformer.inverse_skinning import CanonicalPairs, InverseSkinning
from hashhuman.deformer.residual import NoResidual
from hashhuman.encoder.build import hash_grid
from hashhuman.encoder.torch_grid import TorchHashGrid
from hashhuman.field.build import parts_field
from hashhuman.field.conditions import FrameCode, Orientation
from hashhuman.field.parts import PartsField
from hashhuman.neighbors.grid import GridNeighbors
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
    return functools.partial(hash_grid, backend=TorchHashGrid, **(GRID | changes))


def bodies(n_frames: int = 3) -> PosedBodies:
    """The toy in its first poses."""
    poses = [toy.pose(frame) for frame in range(n_frames)]
    return PosedBodies.from_poses(toy.template(), poses, torch.arange(n_frames))


def part_points() -> list[torch.Tensor]:
    """Indices of the points of each of the toy's parts: every box has eight."""
    return [8 * toy.JOINT_NAMES.index(joint) + torch.arange(8) for (joint,) in toy.PARTS.values()]


def field(n_frames: int = 3, parts=None, reach: float = REACH) -> tuple[PartsField, list[torch.Tensor]]:
    """Five parts whose colours depend on the orientation and a code for each frame."""
    conditions = {"orientation": Orientation, "code": functools.partial(FrameCode, n_features=2), "none": None}
    return parts_field(toy.template(), n_frames, encoder(), reach, parts or PARTS, conditions, 16, 10.0)


def avatar(n_frames: int = 3, residual=None, neighbors=None, chunk: int = 4096, reach: float = REACH) -> Avatar:
    """An untrained avatar, the same one each time."""
    grid = functools.partial(GridNeighbors, voxel=VOXEL, reach=reach + VOXEL)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts, points = field(n_frames, reach=reach)
        return Avatar(
            toy.template(),
            points,
            parts,
            InverseSkinning(reach, 0.01),
            residual or NoResidual(n_frames, TorchHashGrid),
            neighbors or grid,
            ShellSampler(16, 48),
            VOXEL,
            chunk,
        )


def pairs(x: torch.Tensor, counts: list[int], **changes) -> CanonicalPairs:
    """Pairs at canonical positions, each with a query point of its own unless `changes` say otherwise."""
    count = len(x)
    values = {
        "point": torch.arange(count),
        "time": torch.zeros(count, dtype=torch.long),
        "rotation": torch.eye(3).expand(count, 3, 3),
        "viewdirs": torch.tensor([0.0, 0.0, 1.0]).expand(count, 3),
        "uv": None,
        "distance": torch.zeros(count),
    }
    return CanonicalPairs(x=x, counts=counts, **(values | changes))
