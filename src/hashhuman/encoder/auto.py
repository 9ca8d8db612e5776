"""The fastest hash grids that run where the data is."""

from jaxtyping import Float
from torch import Tensor

from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.encoder.triton_grid import TritonHashGrids
from hashhuman.gpu.backend import installed
from hashhuman.gpu.part_rows import PartRows


class AutoHashGrids(TritonHashGrids):
    """Triton's kernels for tensors on a GPU, if Triton is installed, and plain PyTorch for others."""

    def forward(self, x: Float[Tensor, "M 3"], rows: PartRows) -> Float[Tensor, "M LF"]:
        """Features, level by level, at positions in [0, 1]^3 of each row's own part."""
        backend = TritonHashGrids if x.is_cuda and installed() else TorchHashGrids
        return backend.forward(self, x, rows)
