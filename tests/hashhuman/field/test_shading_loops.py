"""The light in loops against plain PyTorch."""

import torch
from torch.nn.functional import normalize

from hashhuman.cpu import loops
from hashhuman.deformer.pairs import CanonicalPairs
from hashhuman.field.shading import HarmonicLight
from hashhuman.field.shading_loops import BLOCK
from tests.hashhuman import small

N = 896  # a multiple of 128, as rows are padded, but not of BLOCK


def scene() -> tuple[torch.Tensor, CanonicalPairs, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(N, 3, 3, generator=generator)).Q
    normal = normalize(torch.randn(N, 3, generator=generator), dim=1)
    upstream = torch.randn(N, 3, generator=generator)
    upstream[::3] = 0  # rows that nobody sees
    pairs = small.pairs(torch.zeros(N, 3), [N], rotation=rotation, normal=normal)
    return 2 * torch.randn(N, 6, generator=generator), pairs, upstream


def light(kernels: str) -> HarmonicLight:
    generator = torch.Generator().manual_seed(1)
    module = HarmonicLight(2.0, 0.7, kernels)
    module.coefficients.data += 0.4 * torch.randn(9, 3, generator=generator)
    return module


def shaded(kernels: str) -> list[torch.Tensor]:
    output, pairs, upstream = scene()
    output.requires_grad_()
    module = light(kernels)
    color = module(output, pairs)
    assert (color == 0).any() and (color > 1).any()  # both bounds are met
    return [color, *torch.autograd.grad((color * upstream).sum(), [output, module.coefficients])]


def test_values_and_gradients():
    assert N % BLOCK and N > BLOCK
    for found, expected in zip(shaded("numba"), shaded("torch")):
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)


def test_threads_change_nothing():
    results = []
    for count in (1, 3):
        loops.limit_threads(count)
        try:
            results.append(shaded("numba"))
        finally:
            loops.limit_threads(None)
    assert all(torch.equal(one, three) for one, three in zip(*results))


def test_gradients_of_the_body_come_from_pytorch():
    output, pairs, _ = scene()
    pairs.rotation.requires_grad_()
    light("numba")(output, pairs).sum().backward()
    assert pairs.rotation.grad.abs().max() > 0


def test_no_rows_at_all():
    output, pairs, _ = scene()
    nothing = small.pairs(torch.zeros(0, 3), [0], rotation=pairs.rotation[:0], normal=pairs.normal[:0])
    module = light("numba")
    module(output[:0].requires_grad_(), nothing).sum().backward()
    assert (module.coefficients.grad == 0).all()
