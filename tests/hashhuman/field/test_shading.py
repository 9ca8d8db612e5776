"""Light: by hand, against scipy's rotations, and Triton against plain PyTorch."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hashhuman.deformer.pairs import CanonicalPairs
from hashhuman.errors import UserError
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
    light = HarmonicLight(1.5, 0.6, kernels)
    generator = torch.Generator().manual_seed(0)
    torch.nn.init.normal_(light.coefficients, std=0.5, generator=generator)
    with torch.no_grad():
        light.coefficients[0] += 1
    return light


def test_untrained_light_changes_nothing():
    pairs = some_pairs()[0]
    output = torch.randn(len(pairs.x), 6)
    albedo = torch.from_numpy(2 / (1 + 3 * np.exp(-output[:, :3].numpy())))
    torch.testing.assert_close(HarmonicLight(2.0, 0.7, "torch")(output, pairs), albedo)
    assert HarmonicLight(2.0, 0.7, "torch")(torch.zeros_like(output), pairs).eq(0.5).all()
    torch.testing.assert_close(Unshaded()(output[:, :3], pairs), torch.sigmoid(output[:, :3]))


def test_light_stands_in_the_world():
    pairs, rotations, normals = some_pairs()
    light = HarmonicLight(2.0, 0.7, "torch")
    with torch.no_grad():
        light.coefficients[:] = 0
        light.coefficients[2] = 1  # the second component of the world's normal
    seen = light(torch.zeros(len(pairs.x), 6), pairs)[:COUNT]
    world = np.einsum("nij,ni->nj", rotations, normals)  # canonical from world, so its transpose
    torch.testing.assert_close(seen[:, 0], 0.5 * torch.from_numpy(world[:, 1].clip(0)).float())


def test_normals_are_bent_by_45_degrees_at_most():
    pairs, rotations, normals = some_pairs()
    light = HarmonicLight(2.0, math.sqrt(0.5), "torch")
    bend = torch.randn(COUNT, 3, generator=torch.Generator().manual_seed(3))
    world = np.einsum("nij,ni->nj", rotations, normals)

    def angles(size: float) -> np.ndarray:
        padded = torch.cat([size * bend, bend.new_zeros(len(pairs.x) - COUNT, 3)])
        return np.degrees(np.arccos((light.normals(padded, pairs)[:COUNT].numpy() * world).sum(1)))

    directions = bend.numpy() / np.linalg.norm(bend, axis=1, keepdims=True)
    bent = normals + math.sqrt(0.5) * directions  # what bends of any length come close to
    cosines = (bent * normals).sum(1) / np.linalg.norm(bent, axis=1)
    np.testing.assert_allclose(angles(1e4), np.degrees(np.arccos(cosines)), atol=0.1)
    assert 40 < angles(1e4).max() < 45 and angles(0.01).max() < 2


@pytest.mark.parametrize("brightest, steepest", [(0.9, 0.7), (2.0, 1.0), (2.0, -0.1)])
def test_refuses_what_is_out_of_range(brightest: float, steepest: float):
    with pytest.raises(UserError, match=r"field\.shading"):
        HarmonicLight(brightest, steepest)


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
        output = 2 * torch.randn(len(pairs.x), 6, generator=torch.Generator().manual_seed(1))
        output = output.to(device).requires_grad_()
        real = pairs.rows.mask()
        color = light(output, pairs)[real]
        (color * torch.rand(color.shape, generator=torch.Generator().manual_seed(2)).to(device)).sum().backward()
        results.append((color, light.coefficients.grad, output.grad[real]))
    for slow, fast in zip(*results):
        assert slow.abs().max() > 0.01
        torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-4)
