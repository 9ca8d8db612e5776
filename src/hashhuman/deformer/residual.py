"""Learned deformation on top of inverse skinning: a displacement field over the body's surface and time."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hashhuman.deformer.inverse_skinning import CanonicalPairs
from hashhuman.encoder.spec import HashGridSpec
from hashhuman.field.mlp import mlp


class NoResidual(nn.Module):
    """Skinning alone."""

    def __init__(self, n_frames: int, backend: Callable[[HashGridSpec], nn.Module]) -> None:
        super().__init__()

    def forward(self, pairs: CanonicalPairs) -> Float[Tensor, "M 3"] | None:
        """Nothing to add."""
        return None


class UVTimeResidual(nn.Module):
    """Displacements from a hash grid over (u, v, t), as in instant-nvr, Sec. 3.3 ("2D-parametrised residual field").

    Frames that training did not see have no t of their own: they get no displacement.

    Args:
        n_frames: training frames; t = (frame + 0.5) / n_frames.
        backend: makes a hash grid from its specification.
        spec: the grid over (u, v, t).
        hidden: width of the network's one hidden layer.
        limit: largest displacement along an axis (m).
    """

    def __init__(
        self, n_frames: int, backend: Callable[[HashGridSpec], nn.Module], spec: HashGridSpec, hidden: int, limit: float
    ) -> None:
        super().__init__()
        self.n_frames, self.limit = n_frames, limit
        self.encoder = backend(spec)
        self.network = mlp(spec.n_features, hidden, 1, 3)
        nn.init.zeros_(self.network[-1].weight)  # training starts from skinning alone

    def forward(self, pairs: CanonicalPairs) -> Float[Tensor, "M 3"] | None:
        """Displacement of every pair (m, canonical axes); zero where time is -1."""
        if pairs.uv is None:
            raise ValueError("the residual field needs texture coordinates, and this body has none")
        seen = pairs.time >= 0
        time = ((pairs.time + 0.5) / self.n_frames).clamp(0, 1)
        features = self.encoder(torch.cat([pairs.uv.clamp(0, 1), time[:, None]], -1))
        return torch.tanh(self.network(features)) * self.limit * seen[:, None]
