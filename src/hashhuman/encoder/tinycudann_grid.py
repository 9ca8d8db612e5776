"""tiny-cuda-nn's hash grid. The user builds the package, since no registry has it."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hashhuman.encoder.spec import HashGridSpec
from hashhuman.encoder.torch_grid import common_shape
from hashhuman.gpu.part_rows import PartRows
from hashhuman.io.packages import require_package


class _ContiguousGradient(torch.autograd.Function):
    """The identity, whose gradient is contiguous: the package refuses any other (`dL_doutput.is_contiguous()`)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0].contiguous()


class TinyCudaHashGrids(nn.Module):
    """Computes the features of `TorchHashGrids` from the same `table`, in half precision on the GPU.

    Raises UserError if the package `tinycudann` is not installed, or does not import.
    """

    uncapturable = "encoder=tinycudann launches its kernels in streams of its own"  # see `HashGridAvatar`

    def __init__(self, specs: Sequence[HashGridSpec]) -> None:
        super().__init__()
        tinycudann = self.require()
        n_levels, features_per_level = common_shape(specs)
        self.n_features = n_levels * features_per_level
        self.n_entries = [spec.n_entries for spec in specs]
        encodings = [tinycudann.Encoding(3, configuration(spec)) for spec in specs]
        initial = []
        for encoding, n_entries in zip(encodings, self.n_entries):
            if encoding.params.numel() != n_entries * features_per_level:
                raise RuntimeError("this version of tiny-cuda-nn lays out its parameters differently from HashGridSpec")
            initial.append(encoding.params.detach().float().view(-1, features_per_level))
            del encoding.params  # its forward reads this attribute, which `forward` below sets to a view of `table`
        self.encodings = nn.ModuleList(encodings)
        self.table = nn.Parameter(torch.cat(initial))

    @staticmethod
    def require() -> Any:
        """The package. Raises UserError where it is missing, or was built for another GPU or PyTorch."""
        advice = "build it from its repository for this GPU (see environment.yml), or choose encoder=auto"
        return require_package("tinycudann", "encoder=tinycudann", advice)

    def forward(self, x: Float[Tensor, "M 3"], rows: PartRows) -> Float[Tensor, "M LF"]:
        """Features at positions in [0, 1]^3 in the cube of each row's part; see `TorchHashGrids.forward`."""
        real = rows.mask()[:, None]
        x = torch.where(real, x, 0)
        features = []
        for encoding, table, mine in zip(self.encodings, self.table.split(self.n_entries), rows.slices()):
            if mine.start == mine.stop:
                continue
            encoding.params = table.flatten()
            features.append(_ContiguousGradient.apply(encoding(x[mine])).to(torch.float32))  # type: ignore[union-attr]
        if not features:
            return x.new_zeros(0, self.n_features)
        return torch.where(real, torch.cat(features), 0)


def configuration(spec: HashGridSpec) -> dict[str, str | int | float]:
    """tiny-cuda-nn's configuration of a grid."""
    return {
        "otype": "HashGrid",
        "n_levels": spec.n_levels,
        "n_features_per_level": spec.features_per_level,
        "log2_hashmap_size": spec.log2_hashmap_size,
        "base_resolution": spec.base_resolution,
        "per_level_scale": spec.per_level_scale,
    }
