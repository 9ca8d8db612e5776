"""Shading: turns the output of the colour network into colours, with or without a model of light.

A shading has an attribute `n_out` and maps network outputs (M, n_out) to colours (M, 3). Colours are never negative; 1
is white, and strong light may exceed it.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hashhuman.deformer.pairs import CanonicalPairs
from hashhuman.errors import UserError
from hashhuman.gpu.backend import chosen, looped


class Unshaded(nn.Module):
    """Colours do not depend on light."""

    n_out = 3

    def forward(self, output: Float[Tensor, "M 3"], pairs: CanonicalPairs) -> Float[Tensor, "M 3"]:
        """The sigmoid of the output."""
        return torch.sigmoid(output)


class HarmonicLight(nn.Module):
    """A learned distant light that is fixed in the world and shared by all parts and frames.

    The irradiance of a matt surface is a quadratic polynomial of its normal, except for about 1 % of its energy
    (Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance Environment Maps", 2001, Eq. 12). All points
    share the light, so shading under orientations that were never filmed is learned from other points. Normals are
    those of the body, bent by the network.

    Args:
        brightest: the greatest colour of a surface in a light of 1; at least 1, and better above. Only the product of
            surface colour and light is observed. If 1 were the maximum and the learned light weaker, white clothes
            could only be explained by normals bent towards the light.
        steepest: sine of the greatest angle by which normals are bent, in [0, 1).
        kernels: auto, triton, numba or torch; Numba's loops run where nobody asks for gradients of the body.

    Raises:
        UserError: if `brightest` or `steepest` is out of range.
    """

    n_out = 6  # three for the colour, three that bend the canonical normal

    def __init__(self, brightest: float, steepest: float, kernels: str = "auto") -> None:
        super().__init__()
        if brightest < 1 or not 0 <= steepest < 1:
            raise UserError(
                f"field.shading.brightest={brightest} must be at least 1, and field.shading.steepest={steepest} must "
                "lie in [0, 1)."
            )
        self.brightest, self.steepest, self.kernels = brightest, steepest, kernels
        self.offset = math.log(2 * brightest - 1)  # so that an untrained network's colours are 0.5
        coefficients = torch.zeros(9, 3)
        coefficients[0] = 1.0
        self.coefficients = nn.Parameter(coefficients)

    def forward(self, output: Float[Tensor, "M 6"], pairs: CanonicalPairs) -> Float[Tensor, "M 3"]:
        """The surface colour times the light that reaches the surface, never negative."""
        constants = self.brightest, self.offset, self.steepest
        if len(output) and chosen(self.kernels, output.device):
            from hashhuman.field import shading_kernels

            return shading_kernels.shade(output, pairs.normal, pairs.rotation, self.coefficients, *constants)
        if looped(self.kernels, output.device) and not (pairs.normal.requires_grad or pairs.rotation.requires_grad):
            from hashhuman.field import shading_loops

            return shading_loops.shade(output, pairs.normal, pairs.rotation, self.coefficients, *constants)
        light = (harmonics(self.normals(output[:, 3:], pairs)) @ self.coefficients).relu()
        return self.brightest * torch.sigmoid(output[:, :3] - self.offset) * light

    def normals(self, bend: Float[Tensor, "M 3"], pairs: CanonicalPairs) -> Float[Tensor, "M 3"]:
        """Bent unit normals (world)."""
        canonical = pairs.normal + self.steepest * bend / (1 + bend.square().sum(1, keepdim=True)).sqrt()
        world = (pairs.rotation.transpose(1, 2) @ canonical[..., None])[..., 0]
        return world / world.norm(dim=1, keepdim=True).clamp_min(1e-4)


def harmonics(n: Float[Tensor, "M 3"]) -> Float[Tensor, "M 9"]:
    """Spherical harmonics up to the second order, without their constant factors."""
    x, y, z = n.unbind(1)
    return torch.stack([torch.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1], 1)
