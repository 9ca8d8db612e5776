"""Learned deformation on top of inverse skinning: a displacement field over the body's surface and time."""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hashhuman.deformer.pairs import CanonicalPairs
from hashhuman.encoder.spec import HashGridSpec
from hashhuman.errors import UserError
from hashhuman.gpu.part_rows import PartRows


@dataclasses.dataclass(frozen=True)
class Residual:
    """Displacements of canonical positions (m)."""

    value: Float[Tensor, "M 3"]
    nearby: Float[Tensor, "M 3"]  # at random nearby surface points, for the smoothness loss; in evaluation, `value`
    real: Bool[Tensor, "M"]  # False in unused rows


class NoResidual(nn.Module):
    """No displacement: positions are those of inverse skinning."""

    displaces = False

    def __init__(self, n_frames: int, **backends: Callable[..., nn.Module]) -> None:
        super().__init__()

    def forward(self, pairs: CanonicalPairs) -> Residual | None:
        """Returns None."""
        return None


class UVTimeResidual(nn.Module):
    """Displacements from a hash grid over (u, v, t): the 2D-parametrised residual field of instant-nvr, Sec. 3.3.

    Frames outside the training set have no t, so their displacement is zero.

    Args:
        n_frames: number of training frames; t = (frame + 0.5) / n_frames.
        grids: factory of hash grids, called as `grids([spec])`.
        networks: factory of networks, called as `networks(n_parts, n_in, width, n_hidden, n_out)`.
        spec: specification of the grid over (u, v, t).
        hidden: width of the network's single hidden layer.
        limit: largest displacement along an axis (m).
        neighborhood: side, in u and v, of the square from which `Residual.nearby` is sampled.
    """

    displaces = True

    def __init__(
        self,
        n_frames: int,
        grids: Callable[[Sequence[HashGridSpec]], nn.Module],
        networks: Callable[..., nn.Module],
        spec: HashGridSpec,
        hidden: int,
        limit: float,
        neighborhood: float,
    ) -> None:
        super().__init__()
        self.n_frames, self.limit, self.neighborhood = n_frames, limit, neighborhood
        self.encoder = grids([spec])
        self.network = networks(1, spec.n_features, hidden, 1, 3)
        for parameter in self.network.last:  # type: ignore[union-attr]
            nn.init.zeros_(parameter)  # training starts with zero displacements

    def forward(self, pairs: CanonicalPairs) -> Residual | None:
        """The displacement of every pair (m, canonical axes); zero where time is -1.

        Raises:
            UserError: if the body has no texture coordinates.
        """
        if pairs.uv is None:
            raise UserError("deformer=uv_time needs texture coordinates, and this body has none: use inverse_skinning")
        value = self.displacement(pairs.uv, pairs)
        real = pairs.rows.mask()
        if not self.training:
            return Residual(value, value, real)
        jitter = self.neighborhood * (torch.rand_like(pairs.uv) - 0.5)
        return Residual(value, self.displacement(pairs.uv + jitter, pairs), real)

    def displacement(self, uv: Float[Tensor, "M 2"], pairs: CanonicalPairs) -> Float[Tensor, "M 3"]:
        """The displacement (m) at texture coordinates `uv` and the pairs' times."""
        time = ((pairs.time + 0.5) / self.n_frames).clamp(0, 1)
        rows = PartRows.all_used([len(uv)], uv.device)
        features = self.encoder(torch.cat([uv.clamp(0, 1), time[:, None]], -1), rows)
        return torch.tanh(self.network(features, rows)) * self.limit * (pairs.time >= 0)[:, None]
