"""Shading: by hand, against scipy's rotations, and Triton against plain PyTorch."""

import dataclasses
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


def test_untrained_light_leaves_colours_unchanged():
    pairs = some_pairs()[0]
    output = torch.randn(len(pairs.x), 6)
    albedo = torch.from_numpy(2 / (1 + 3 * np.exp(-output[:, :3].numpy())))
    torch.testing.assert_close(HarmonicLight(2.0, 0.7, "torch")(output, pairs), albedo)
    assert HarmonicLight(2.0, 0.7, "torch")(torch.zeros_like(output), pairs).eq(0.5).all()
    torch.testing.assert_close(Unshaded()(output[:, :3], pairs), torch.sigmoid(output[:, :3]))


def test_light_is_fixed_in_the_world():
    pairs, rotations, normals = some_pairs()
    light = HarmonicLight(2.0, 0.7, "torch")
    with torch.no_grad():
        light.coefficients[:] = 0
        light.coefficients[2] = 1  # the second component of the world's normal
    seen = light(torch.zeros(len(pairs.x), 6), pairs)[:COUNT]
    world = np.einsum("nij,ni->nj", rotations, normals)  # rotations are canonical from world, so transposed
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
    bent = normals + math.sqrt(0.5) * directions  # the limit for long bends
    cosines = (bent * normals).sum(1) / np.linalg.norm(bent, axis=1)
    np.testing.assert_allclose(angles(1e4), np.degrees(np.arccos(cosines)), atol=0.1)
    assert 40 < angles(1e4).max() < 45 and angles(0.01).max() < 2


@pytest.mark.parametrize("brightest, steepest", [(0.9, 0.7), (2.0, 1.0), (2.0, -0.1)])
def test_values_out_of_range_are_refused(brightest: float, steepest: float):
    with pytest.raises(UserError, match=r"field\.shading"):
        HarmonicLight(brightest, steepest)


def test_harmonics_are_orthogonal():
    x = torch.nn.functional.normalize(torch.randn(200_000, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    products = harmonics(x).T @ harmonics(x) / len(x)
    off = products - products.diag().diag()
    assert off.abs().max() < 0.02 and products.diag().min() > 0.05


def learnable(pairs: CanonicalPairs, device: torch.device) -> CanonicalPairs:
    """The pairs on a device, with normals and rotations that require gradients."""
    pairs = small.on(pairs, device)
    normal, rotation = (x.clone().requires_grad_() for x in (pairs.normal, pairs.rotation))
    return dataclasses.replace(pairs, normal=normal, rotation=rotation)


def shaded(kernels: str, pairs: CanonicalPairs, size: float = 2.0) -> list[torch.Tensor]:
    """Colours of random outputs, and all gradients of a randomly weighted sum."""
    light = lit(kernels).to(pairs.x.device)
    output = size * torch.randn(len(pairs.x), 6, generator=torch.Generator().manual_seed(1))
    output = output.to(pairs.x.device).requires_grad_()
    real = pairs.rows.mask()
    color = light(output, pairs)[real]
    (color * torch.rand(color.shape, generator=torch.Generator().manual_seed(2)).to(color)).sum().backward()
    of_rows = [x.grad[real] for x in (output, pairs.normal, pairs.rotation) if x.requires_grad]
    return [color.detach(), light.coefficients.grad, *of_rows]


def test_kernel_and_torch_shade_the_same(device: torch.device):
    slow, fast = (shaded(kernels, learnable(some_pairs()[0], device)) for kernels in ("torch", "triton"))
    assert len(slow) == len(fast) == 5
    for expected, mine in zip(slow, fast):
        assert expected.abs().max() > 0.01
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=1e-4)


def test_unneeded_gradients_change_nothing(device: torch.device):
    all_of_them = shaded("triton", learnable(some_pairs()[0], device))
    for name in ("normal", "rotation"):
        pairs = learnable(some_pairs()[0], device)
        pairs = dataclasses.replace(pairs, **{name: getattr(pairs, name).detach()})
        found = shaded("triton", pairs)
        expected = [x for index, x in enumerate(all_of_them) if index != {"normal": 3, "rotation": 4}[name]]
        assert len(found) == 4 and getattr(pairs, name).grad is None
        for mine, theirs in zip(found, expected):
            torch.testing.assert_close(mine, theirs)


def test_kernel_and_torch_agree_on_nearly_vanishing_normals(device: torch.device):
    """As with blends of opposite rotations. Normals shorter than 1e-4 are divided by 1e-4 instead of their length."""
    pairs = some_pairs()[0]
    shrunk = dataclasses.replace(
        pairs, rotation=pairs.rotation * 0.1 ** (torch.arange(len(pairs.x)) % 7)[:, None, None]
    )
    results = [shaded(kernels, learnable(shrunk, device)) for kernels in ("torch", "triton")]
    for expected, mine in zip(*results):
        torch.testing.assert_close(mine, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-3)
