"""Chooses the fastest hash-grid backend for the device."""

from jaxtyping import Float
from torch import Tensor

from hashhuman.encoder.numba_grid import NumbaHashGrids
from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.encoder.triton_grid import TritonHashGrids
from hashhuman.gpu.backend import installed
from hashhuman.gpu.part_rows import PartRows


class AutoHashGrids(TritonHashGrids, NumbaHashGrids):
    """Triton kernels on a GPU, loops on a CPU, and plain PyTorch on a GPU without Triton."""

    @staticmethod
    def require() -> None:
        """Nothing: it runs on every device."""

    def forward(self, x: Float[Tensor, "M 3"], rows: PartRows) -> Float[Tensor, "M LF"]:
        """Features at positions in [0, 1]^3 in the cube of each row's part; see `TorchHashGrids.forward`."""
        if x.device.type == "cpu":
            return NumbaHashGrids.forward(self, x, rows)
        return (TritonHashGrids if installed() else TorchHashGrids).forward(self, x, rows)
