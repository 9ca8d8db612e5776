"""Chooses the fastest network backend for the device."""

from jaxtyping import Float
from torch import Tensor

from hashhuman.gpu.backend import installed
from hashhuman.gpu.part_rows import PartRows
from hashhuman.network.torch_mlp import TorchMLPs
from hashhuman.network.triton_mlp import TritonMLPs


class AutoMLPs(TritonMLPs):
    """Triton kernels for tensors on a GPU, if Triton is installed; otherwise plain PyTorch."""

    @staticmethod
    def require() -> None:
        """Nothing: it runs on every device."""

    def forward(self, x: Float[Tensor, "M n_in"], rows: PartRows) -> Float[Tensor, "M n_out"]:
        """Output of the network of each row's part; see `TorchMLPs.forward`."""
        backend = TritonMLPs if x.is_cuda and installed() else TorchMLPs
        return backend.forward(self, x, rows)
