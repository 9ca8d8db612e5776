"""The torch grid against a slow loop over points, levels and corners, and its gradients."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from hashhuman.encoder.build import hash_grid
from hashhuman.encoder.spec import HashGridSpec
from hashhuman.encoder.torch_grid import TorchHashGrid

SPECS = {
    "dense": HashGridSpec(2, 2, 12, 3, 1.7),
    "hashed": HashGridSpec(2, 3, 5, 9, 2.0),
    "both": HashGridSpec(5, 2, 8, 4, 1.5),
    "tiny": HashGridSpec(2, 2, 5, 3, 1.5),  # one level of each kind
    "wide": HashGridSpec(3, 1, 14, 700, 2.1),  # products with the primes exceed 32 bits thousands of times
}
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


def made(spec: HashGridSpec) -> TorchHashGrid:
    """A grid in float64 whose entries all differ."""
    grid = TorchHashGrid(spec).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        grid.table.copy_(torch.randn(grid.table.shape, generator=generator, dtype=torch.double))
    # The buffers are stored as float32; computed in double they say what the loop says, to rounding.
    grid.scale = torch.tensor([level.scale for level in spec.levels()], dtype=torch.double)
    return grid


@pytest.mark.parametrize("name", SPECS)
def test_values_against_the_loop(name: str):
    spec = SPECS[name]
    grid = made(spec)
    assert [level.hashed for level in spec.levels()] == HASHED[name]
    x = torch.rand(40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    x[0], x[1], x[2] = 0, 1, torch.tensor([0.0, 1.0, 0.5])
    expected = np.stack([tiny_cuda_nn(spec, grid.table.detach().numpy(), point) for point in x.numpy()])
    np.testing.assert_allclose(grid(x).detach(), expected, atol=1e-9)


def test_gradients_by_finite_differences():
    grid = made(SPECS["tiny"])
    x = torch.rand(6, 3, generator=torch.Generator().manual_seed(2), dtype=torch.double)
    x[1] = x[0]  # two points that share all entries
    table = grid.table.detach().requires_grad_()

    def features(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(grid, {"table": table}, (x,))

    assert gradcheck(features, (x.requires_grad_(), table))


@pytest.mark.parametrize("name", ["both", "wide"])
def test_gradient_of_the_table_against_the_loop(name: str):
    """The features are linear in the table, so the gradient of entry e is the features' value for the table 1_e."""
    spec = SPECS[name]
    grid = made(spec)
    x = torch.rand(30, 3, generator=torch.Generator().manual_seed(3), dtype=torch.double)
    upstream = torch.randn(30, spec.n_features, generator=torch.Generator().manual_seed(4), dtype=torch.double)
    grid(x).backward(upstream)
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
    double, single = made(spec), TorchHashGrid(spec)
    with torch.no_grad():
        single.table.copy_(double.table)
    x = torch.rand(500, 3, generator=torch.Generator().manual_seed(6))
    torch.testing.assert_close(single(x), double(x.double()).float(), atol=1e-4, rtol=0)


def test_untrained_tables_are_small():
    table = TorchHashGrid(SPECS["both"]).table
    assert 9e-5 < table.abs().max() <= 1e-4 and abs(table.mean()) < 1e-5


def test_checkpoints_hold_the_table_and_nothing_else():
    assert list(TorchHashGrid(SPECS["both"]).state_dict()) == ["table"]


def test_grids_of_a_physical_size():
    grid = hash_grid(TorchHashGrid, 1.0, 4, 2, 12, 0.25, 0.03125)
    assert grid.spec == HashGridSpec.from_voxels(1.0, 0.25, 0.03125, 4, 2, 12)
    assert grid(torch.rand(7, 3)).shape == (7, 8) and grid(torch.rand(0, 3)).shape == (0, 8)


@pytest.mark.gpu
def test_the_gpu_computes_the_same():
    spec = SPECS["both"]
    cpu = TorchHashGrid(spec)
    gpu = TorchHashGrid(spec).cuda()
    gpu.load_state_dict(cpu.state_dict())
    x = torch.rand(5000, 3, generator=torch.Generator().manual_seed(7))
    upstream = torch.randn(5000, spec.n_features, generator=torch.Generator().manual_seed(8))
    here, there = cpu(x), gpu(x.cuda())
    torch.testing.assert_close(there.cpu(), here, atol=1e-7, rtol=1e-4)
    here.backward(upstream)
    there.backward(upstream.cuda())
    torch.testing.assert_close(gpu.table.grad.cpu(), cpu.table.grad, atol=1e-3, rtol=1e-3)
