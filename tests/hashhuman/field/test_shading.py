"""Light: by hand, against scipy's rotations, and Triton against plain PyTorch."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hashhuman.deformer.pairs import CanonicalPairs
from hashhuman.field.shading import HarmonicLight, Unshaded, harmonics
from tests.hashhuman import small

COUNT = 20


def some_pairs() -> tuple[CanonicalPairs, np.ndarray, np.ndarray]:
    rotations = Rotation.random(COUNT, random_state=0).as_matrix()
    normals = np.random.default_rng(0).normal(size=(COUNT, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    tensors = (torch.from_numpy(x).float() for x in (rotations, normals))
    rotation, normal = tensors
    return small.pairs(torch.zeros(COUNT, 3), [COUNT], rotation=rotation, normal=normal), rotations, normals


def lit(kernels: str) -> HarmonicLight:
    light = HarmonicLight(kernels)
    generator = torch.Generator().manual_seed(0)
    torch.nn.init.normal_(light.coefficients, std=0.5, generator=generator)
    with torch.no_grad():
        light.coefficients[0] += 1
    return light


def test_untrained_light_changes_nothing():
    pairs = some_pairs()[0]
    output = torch.randn(len(pairs.x), 6)
    torch.testing.assert_close(HarmonicLight("torch")(output, pairs), torch.sigmoid(output[:, :3]))
    torch.testing.assert_close(Unshaded()(output[:, :3], pairs), torch.sigmoid(output[:, :3]))


def test_light_stands_in_the_world():
    pairs, rotations, normals = some_pairs()
    light = HarmonicLight("torch")
    with torch.no_grad():
        light.coefficients[:] = 0
        light.coefficients[2] = 1  # the second component of the world's normal
    seen = light(torch.zeros(len(pairs.x), 6), pairs)[:COUNT]
    world = np.einsum("nij,ni->nj", rotations, normals)  # canonical from world, so its transpose
    torch.testing.assert_close(seen[:, 0], 0.5 * torch.from_numpy(world[:, 1].clip(0)).float())


def test_harmonics_are_orthogonal():
    x = torch.nn.functional.normalize(torch.randn(200_000, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    products = harmonics(x).T @ harmonics(x) / len(x)
    off = products - products.diag().diag()
    assert off.abs().max() < 0.02 and products.diag().min() > 0.05


def test_both_shade_alike(device: torch.device):
    results = []
    for kernels in ("torch", "triton"):
        pairs = small.on(some_pairs()[0], device)
        light = lit(kernels).to(device)
        output = torch.randn(len(pairs.x), 6, generator=torch.Generator().manual_seed(1)).to(device).requires_grad_()
        real = pairs.rows.mask()
        color = light(output, pairs)[real]
        (color * torch.rand(color.shape, generator=torch.Generator().manual_seed(2)).to(device)).sum().backward()
        results.append((color, light.coefficients.grad, output.grad[real]))
    for slow, fast in zip(*results):
        assert slow.abs().max() > 0.01
        torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-4)
