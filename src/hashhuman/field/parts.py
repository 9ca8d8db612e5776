"""The canonical field: a hash grid and two small networks for each part, merged by the highest density."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hashhuman.deformer.pairs import CanonicalPairs, Points
from hashhuman.encoder.protocol import Encoder
from hashhuman.field.base import CanonicalField
from hashhuman.field.merge import densest, merge
from hashhuman.gpu.part_rows import PartRows

N_GEOMETRY = 15  # number of features that the density network passes to the colour network


class _TruncatedExp(torch.autograd.Function):
    """exp with its gradient limited to e^10, so that a single opaque sample cannot dominate a step."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.exp(x.clamp(max=15))

    @staticmethod
    def backward(ctx, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * torch.exp(x.clamp(-15, 10))


class PartsField(CanonicalField):
    """Colour and density of canonical space, all parts at once (instant-nvr, Geng et al. 2023, Sec. 3.2).

    Args:
        names: names of the parts (P).
        low: lowest corner of each part's cube (m, canonical).
        extent: side of each part's cube (m).
        encoder: turns positions into `encoder.n_features` features; a module (`encoder/protocol.py`).
        networks: factory of the parts' networks, called as `networks(n_parts, n_in, width, n_hidden, n_out)`.
        conditions: inputs of the colour besides the position (`field/conditions.py`).
        shading: turns the output of the colour network into colours (`field/shading.py`).
        width: width of the hidden layers.
        density_scale: density (1/m) of an untrained field.
        kernels: auto, triton or torch, for merging the parts.
    """

    def __init__(
        self,
        names: Sequence[str],
        low: Float[Tensor, "P 3"],
        extent: Float[Tensor, "P"],
        encoder: Encoder,
        networks,
        conditions: Sequence[nn.Module],
        shading: nn.Module,
        width: int,
        density_scale: float,
        kernels: str = "auto",
    ) -> None:
        super().__init__(low, extent)
        self.kernels = kernels
        self.names, self.density_scale = list(names), density_scale
        self.encoder, self.shading = encoder, shading
        self.conditions = nn.ModuleList(conditions)
        n_conditions = sum(int(c.n_features) for c in self.conditions)  # type: ignore[arg-type]
        self.density_network = networks(self.n_parts, encoder.n_features, width, 1, 1 + N_GEOMETRY)
        self.color_network = networks(self.n_parts, N_GEOMETRY + n_conditions, width, 2, shading.n_out)

    def geometry(self, unit: Float[Tensor, "M 3"], rows: PartRows) -> tuple[Float[Tensor, "M"], Float[Tensor, "M 15"]]:
        """Density (1/m) and features for the colour, at positions relative to the parts' cubes, in [0, 1]."""
        hidden = self.density_network(self.encoder(unit, rows), rows)
        return self.density_scale * _TruncatedExp.apply(hidden[:, 0]), hidden[:, 1:]

    def density(self, unit: Float[Tensor, "M 3"], rows: PartRows) -> Float[Tensor, "M"]:
        """Density (1/m) at positions relative to the parts' cubes, in [0, 1]."""
        return self.geometry(unit, rows)[0]

    def query(
        self,
        x: Float[Tensor, "N 3"],
        normal: Float[Tensor, "N 3"],
        rotation: Float[Tensor, "N 3 3"] | None = None,
        viewdirs: Float[Tensor, "N 3"] | None = None,
        claims: Bool[Tensor, "P N"] | None = None,
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"]]:
        """Colour and density (1/m) at canonical positions, for exporters and losses, which have no rays.

        Args:
            x: positions (m, canonical).
            normal: unit normals of the nearby body surface (canonical), which the shading uses.
            rotation: canonical from world; the light is fixed in the world. None: identity.
            viewdirs: unit viewing directions (canonical); None: opposite to the normal.
            claims: which parts each position belongs to; None: the parts whose cubes contain it. Cubes overlap, and a
                part is untrained far from its own body points. `HashGridAvatar.query` uses only parts that are near.
        """
        if claims is None:
            unit = (x - self.low[:, None]) / self.extent[:, None, None]
            claims = ((unit >= 0) & (unit <= 1)).all(-1)
        rotation = torch.eye(3, device=x.device).expand(len(x), 3, 3) if rotation is None else rotation
        viewdirs = -normal if viewdirs is None else viewdirs
        directions = (rotation.transpose(1, 2) @ viewdirs[..., None])[..., 0]
        points = Points(x, directions, torch.zeros(len(x), dtype=torch.long, device=x.device))
        return self(CanonicalPairs.claimed(points, claims, rotation, normal))

    def forward(self, pairs: CanonicalPairs) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"]]:
        """Colour (`field/shading.py`) and density (1/m) of the query points; density 0 for points without a part."""
        density, features = self.geometry(self.unit(pairs.x, pairs.rows), pairs.rows)
        return merge(self._color(features, pairs), density, pairs.slots, self.kernels)

    @torch.no_grad()
    def visible(
        self,
        pairs: CanonicalPairs,
        weigh: Callable[[Float[Tensor, "N"]], Float[Tensor, "N"]],
        faint: float,
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"]]:
        """See `CanonicalField.visible`. First all densities, then the colours of the parts and points that are seen."""
        density, features = self.geometry(self.unit(pairs.x, pairs.rows), pairs.rows)
        row = densest(density, pairs.slots, self.kernels)
        row = torch.where(row < 0, len(density), row)  # points without rows read the zero at the end
        density = torch.cat([density, density.new_zeros(1)]).index_select(0, row)
        seen = torch.zeros(pairs.rows.total, dtype=torch.bool, device=density.device)
        seen[row[weigh(density) > faint]] = True
        some, source = pairs.of(seen.nonzero()[:, 0])
        color = density.new_zeros(len(density), 3)
        used = some.rows.mask()
        color[some.point[used]] = self._color(features.index_select(0, source), some)[used]
        return color, density

    def _color(self, features: Float[Tensor, "M 15"], pairs: CanonicalPairs) -> Float[Tensor, "M 3"]:
        """The colours of the rows."""
        conditions = [condition(pairs) for condition in self.conditions]
        inputs = torch.cat([features, *conditions], 1) if conditions else features
        return self.shading(self.color_network(inputs, pairs.rows), pairs)
