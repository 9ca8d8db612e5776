"""The torch grids against a slow loop over points, levels and corners, and its gradients."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from hashhuman.encoder.build import hash_grids
from hashhuman.encoder.spec import HashGridSpec
from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.errors import UserError
from hashhuman.gpu.part_rows import GRANULE
from tests.hashhuman.encoder.grids import SPECS, randomised
from tests.hashhuman.part_rows import evaluate, gather, rows_of, spread

HASHED = {
    "dense": [False, False],
    "hashed": [True, True],
    "both": [False, False, True, True, True],
    "tiny": [False, True],
    "wide": [True, True, True],
}


def tiny_cuda_nn(spec: HashGridSpec, table: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What tiny-cuda-nn's `kernel_grid` computes for one point, in its 32-bit unsigned arithmetic."""
    features, offset = [], 0
    for i in range(spec.n_levels):
        scale = np.exp2(i * math.log2(spec.per_level_scale)) * spec.base_resolution - 1
        resolution = int(np.ceil(scale)) + 1
        size = min((resolution**3 + 7) // 8 * 8, 2**spec.log2_hashmap_size)
        position = x * scale + 0.5
        low = np.floor(position).astype(int)
        value = np.zeros(spec.features_per_level)
        for corner in np.ndindex(2, 2, 2):
            weight, node = 1.0, [0, 0, 0]
            for axis in range(3):
                fraction = position[axis] - low[axis]
                weight *= fraction if corner[axis] else 1 - fraction
                node[axis] = int(low[axis]) + corner[axis]
            stride, index = 1, 0
            for axis in range(3):
                if stride <= size:
                    index = (index + node[axis] * stride) % 2**32
                    stride *= resolution
            if size < stride:
                index = 0
                for coordinate, prime in zip(node, (1, 2654435761, 805459861)):
                    index ^= coordinate * prime % 2**32
            value += weight * table[offset + index % size]
        features.append(value)
        offset += size
    assert offset == len(table)
    return np.concatenate(features)


def made(*specs: HashGridSpec) -> TorchHashGrids:
    """Grids in float64 whose entries all differ."""
    grids = randomised(TorchHashGrids(specs).double())
    # The buffer is float32; with double scales the result equals the loop's up to rounding.
    grids.scale = torch.tensor([[level.scale for level in spec.levels()] for spec in specs], dtype=torch.double)
    return grids


@pytest.mark.parametrize("name", HASHED)
def test_values_against_the_loop(name: str):
    spec = SPECS[name]
    grid = made(spec)
    assert [level.hashed for level in spec.levels()] == HASHED[name]
    x = torch.rand(40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    x[0], x[1], x[2] = 0, 1, torch.tensor([0.0, 1.0, 0.5])
    expected = np.stack([tiny_cuda_nn(spec, grid.table.detach().numpy(), point) for point in x.numpy()])
    np.testing.assert_allclose(evaluate(grid, x).detach(), expected, atol=1e-9)


def test_parts_have_grids_of_their_own():
    specs = [SPECS["both"], dataclasses.replace(SPECS["both"], log2_hashmap_size=9, base_resolution=6)]
    grids = made(*specs)
    xs = [torch.rand(n, 3, generator=torch.Generator().manual_seed(n), dtype=torch.double) for n in (20, 150)]
    tables = grids.table.detach().split([spec.n_entries for spec in specs])
    expected = [
        tiny_cuda_nn(spec, table.numpy(), point) for spec, table, x in zip(specs, tables, xs) for point in x.numpy()
    ]
    np.testing.assert_allclose(evaluate(grids, *xs).detach(), np.stack(expected), atol=1e-9)


def test_parts_may_be_empty():
    grids = made(SPECS["tiny"], SPECS["tiny"])
    assert evaluate(grids, torch.rand(0, 3).double(), torch.rand(5, 3).double()).shape == (5, 4)
    assert evaluate(grids, torch.rand(0, 3).double(), torch.rand(0, 3).double()).shape == (0, 4)


def test_gradients_by_finite_differences():
    grids = made(SPECS["tiny"], SPECS["tiny"])
    x = torch.rand(6, 3, generator=torch.Generator().manual_seed(2), dtype=torch.double)
    x[1] = x[0]  # two points that share all entries
    table = grids.table.detach().requires_grad_()
    rows = rows_of(4, 2)

    def features(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        out = torch.func.functional_call(grids, {"table": table}, (spread(x.split([4, 2]), rows), rows))
        return torch.cat(gather(out, rows))

    assert gradcheck(features, (x.requires_grad_(), table))


def test_no_gradient_comes_from_unused_rows():
    grid = made(SPECS["tiny"])
    rows = rows_of(3, spare=GRANULE)
    x = spread([torch.rand(3, 3, dtype=torch.double)], rows).requires_grad_()
    upstream = spread([torch.ones(3, 4, dtype=torch.double)], rows)
    grid(x, rows).backward(upstream)
    assert x.grad.isfinite().all() and (x.grad[3:] == 0).all() and grid.table.grad.isfinite().all()
    np.testing.assert_allclose(grid.table.grad.sum(), 3 * 4)  # the corners' weights add up to one


@pytest.mark.parametrize("name", ["both", "wide"])
def test_gradient_of_the_table_against_the_loop(name: str):
    """The features are linear in the table, so the gradient of entry e is the features' value for the table 1_e."""
    spec = SPECS[name]
    grid = made(spec)
    x = torch.rand(30, 3, generator=torch.Generator().manual_seed(3), dtype=torch.double)
    upstream = torch.randn(30, spec.n_features, generator=torch.Generator().manual_seed(4), dtype=torch.double)
    evaluate(grid, x).backward(upstream)
    gradient = grid.table.grad
    touched = gradient.abs().sum(1).nonzero()[:, 0]
    for entry in touched[torch.randperm(len(touched), generator=torch.Generator().manual_seed(5))[:4]]:
        alone = np.zeros(gradient.shape)
        alone[entry] = 1
        features = np.stack([tiny_cuda_nn(spec, alone, point) for point in x.numpy()])
        expected = (features * upstream.numpy()).reshape(30, spec.n_levels, -1).sum((0, 1))
        np.testing.assert_allclose(gradient[entry], expected, atol=1e-9)
    untouched = torch.ones(len(gradient), dtype=torch.bool)
    untouched[touched] = False
    assert untouched.any() or name == "both"


def test_single_precision_is_enough():
    spec = SPECS["both"]
    double, single = made(spec), randomised(TorchHashGrids([spec]))
    x = torch.rand(500, 3, generator=torch.Generator().manual_seed(6))
    torch.testing.assert_close(evaluate(single, x), evaluate(double, x.double()).float(), atol=1e-4, rtol=0)


def test_untrained_tables_are_small():
    table = TorchHashGrids([SPECS["both"]]).table
    assert 9e-5 < table.abs().max() <= 1e-4 and abs(table.mean()) < 1e-5


def test_checkpoints_hold_the_table_and_nothing_else():
    assert list(TorchHashGrids([SPECS["both"]]).state_dict()) == ["table"]


def test_parts_differ_in_their_sizes_alone():
    grids = hash_grids(TorchHashGrids, [1.0, 0.5], [{}, {"finest_voxel": 0.0625}], 4, 2, 12, 0.25, 0.03125)
    assert grids.specs[0] == HashGridSpec.from_voxels(1.0, 0.25, 0.03125, 4, 2, 12)
    assert grids.specs[1] == HashGridSpec.from_voxels(0.5, 0.25, 0.0625, 4, 2, 12)
    assert grids.n_features == 8
    with pytest.raises(UserError, match="differ in n_levels or features_per_level: set these for all parts alike"):
        TorchHashGrids([HashGridSpec(3, 2), HashGridSpec(4, 2)])
    with pytest.raises(TypeError, match="no_such_key"):
        hash_grids(TorchHashGrids, [1.0], [{"no_such_key": 1}], 4, 2, 12, 0.25, 0.03125)
