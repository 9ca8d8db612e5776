"""One hash grid with its networks: the whole body's field, or a part's."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hashhuman.deformer.inverse_skinning import CanonicalPairs
from hashhuman.field.mlp import mlp

N_GEOMETRY = 15  # features that the density network hands to the colour network


class _TruncatedExp(torch.autograd.Function):
    """exp whose gradient stops growing at e^10, so that one opaque sample cannot blow up a step."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.exp(x.clamp(max=15))

    @staticmethod
    def backward(ctx, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * torch.exp(x.clamp(-15, 10))


class HashField(nn.Module):
    """Density and colour over a cube of canonical space.

    Args:
        low: the cube's lowest corner (m).
        extent: its side (m).
        encoder: the hash grid; `encoder.spec` is its specification.
        conditions: what colour depends on beside position.
        width: of the hidden layers.
        density_scale: density (1/m) of an untrained field.
    """

    low: Tensor

    def __init__(
        self,
        low: Float[Tensor, "3"],
        extent: float,
        encoder: nn.Module,
        conditions: Sequence[nn.Module],
        width: int = 64,
        density_scale: float = 10.0,
    ) -> None:
        super().__init__()
        self.register_buffer("low", low)
        self.extent, self.density_scale = extent, density_scale
        self.encoder = encoder
        self.conditions = nn.ModuleList(conditions)
        n_features: int = encoder.spec.n_features  # type: ignore[union-attr,assignment]
        self.density_network = mlp(n_features, width, 1, 1 + N_GEOMETRY)
        n_conditions = sum(int(c.n_features) for c in self.conditions)  # type: ignore[arg-type]
        self.color_network = mlp(N_GEOMETRY + n_conditions, width, 2, 3)

    def forward(self, pairs: CanonicalPairs) -> tuple[Float[Tensor, "M 3"], Float[Tensor, "M"]]:
        """Colour in [0, 1] and density (1/m) of each pair."""
        x = ((pairs.x - self.low) / self.extent).clamp(0, 1)
        hidden = self.density_network(self.encoder(x))
        density = self.density_scale * _TruncatedExp.apply(hidden[:, 0].float())
        features = [hidden[:, 1:]] + [condition(pairs) for condition in self.conditions]
        return torch.sigmoid(self.color_network(torch.cat(features, 1)).float()), density
