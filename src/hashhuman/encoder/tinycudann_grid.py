"""tiny-cuda-nn's hash grid, for those who have built it; it is in no package registry."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hashhuman.encoder.spec import HashGridSpec
from hashhuman.errors import UserError


class TinyCudaHashGrid(nn.Module):
    """The same features as `TorchHashGrid` from the same `table`, computed in half precision on the GPU."""

    def __init__(self, spec: HashGridSpec) -> None:
        super().__init__()
        try:
            import tinycudann  # type: ignore[import-not-found]
        except ImportError as error:
            raise UserError(
                "encoder=tinycudann needs the package tinycudann, which is not installed: build it from its repository "
                "(see environment.yml), or choose encoder=torch"
            ) from error
        self.spec = spec
        config = {
            "otype": "HashGrid",
            "n_levels": spec.n_levels,
            "n_features_per_level": spec.features_per_level,
            "log2_hashmap_size": spec.log2_hashmap_size,
            "base_resolution": spec.base_resolution,
            "per_level_scale": spec.per_level_scale,
        }
        self.encoding = tinycudann.Encoding(3, config)
        if self.encoding.params.numel() != spec.n_entries * spec.features_per_level:
            raise RuntimeError("this version of tiny-cuda-nn lays out its parameters differently from HashGridSpec")
        self.table = nn.Parameter(self.encoding.params.detach().float().view(-1, spec.features_per_level))
        del self.encoding.params  # its forward reads the attribute: below it is a view of our table
        self.encoding.params = self.table.view(-1)

    def forward(self, x: Float[Tensor, "N 3"]) -> Float[Tensor, "N LF"]:
        """Features at positions in [0, 1]^3, level by level."""
        self.encoding.params = self.table.view(-1)
        return self.encoding(x.contiguous()).to(torch.float32)
