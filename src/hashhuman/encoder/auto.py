"""Chooses the fastest hash-grid backend for the device."""

from jaxtyping import Float
from torch import Tensor

from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.encoder.triton_grid import TritonHashGrids
from hashhuman.gpu.backend import installed
from hashhuman.gpu.part_rows import PartRows


class AutoHashGrids(TritonHashGrids):
    """Triton kernels for tensors on a GPU, if Triton is installed; otherwise plain PyTorch."""

    @staticmethod
    def require() -> None:
        """Nothing: it runs on every device."""

    def forward(self, x: Float[Tensor, "M 3"], rows: PartRows) -> Float[Tensor, "M LF"]:
        """Features at positions in [0, 1]^3 in the cube of each row's part; see `TorchHashGrids.forward`."""
        backend = TritonHashGrids if x.is_cuda and installed() else TorchHashGrids
        return backend.forward(self, x, rows)
